"""A real Prometheus scrapes a running Fliq of four processes: dashboards and rules have data, labels are few, nothing fires."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator

import aiohttp
import pytest
import yaml

from libs.domain.heartbeat import ACCOUNT
from libs.runtime.telemetry.metric_table import LABEL_VALUES, TABLE
from scripts.dashboards import DASHBOARDS
from tests.fakes.running.fold import fold_differences
from tests.fakes.running.processes import RunningFliq
from tests.fakes.running.sink import Sink
from tests.fakes.running.topologies import OTHER_TOKEN, Client, FliqOf
from tests.fakes.until import until
from tests.prometheus.server import FOLDER, Prometheus
from tests.prometheus.source import Binaries

# Not there while all is well: nothing has failed.
ABSENT_RULES = {"fliq:causes:recent10m", "fliq:causes:recent40m"}
LEFT_TO_PROMETHEUS = {
    "__name__",
    "job",
    "instance",
    "le",
    "generation",
    "implementation",
    "major",
    "minor",
    "patchlevel",
}

# Alerts that a crowded machine is no reason for.
WHATEVER_THE_SPEED = {
    *("FliqDown", "FliqApiDown", "FliqSchedulerDown", "FliqDispatcherDown", "FliqWebhooksDown", "FliqPartitionHalted"),
    *("FliqIllegalDecisions", "FliqPoisonRecords", "FliqFilesRunningOut", "FliqClockSkewed", "FliqSchedulesMissed"),
}

pytestmark = pytest.mark.timeout(200)


async def work(client: Client, sink: Sink) -> None:
    """Have jobs succeed, fail and be told of."""
    hook = {"webhook_url": f"{sink.url}/hook"}
    told = len(sink.at("/hook"))
    jobs = [await client.create(f"{sink.url}/{path}", 0.3, **hook) for path in ("ok", "ok", "status/500", "status/404")]
    for job in jobs:
        await client.wait_status(job["id"])
    await client.call("GET", "/v1/jobs")
    await client.call("GET", "/v1/nothing")
    await sink.wait_for(lambda: len(sink.at("/hook")) == told + len(jobs))


@pytest.fixture(params=["split", pytest.param("kafka", marks=pytest.mark.nightly)])
async def fliq(request: pytest.FixtureRequest, fliq_of: FliqOf) -> AsyncIterator[RunningFliq]:
    """A Fliq of four processes, with a heartbeat each second."""
    running = fliq_of(request.param, FLIQ_HEARTBEAT_SECONDS="1")
    try:
        await asyncio.to_thread(running.start)
        yield running
    finally:
        await asyncio.to_thread(running.close)


async def test_what_prometheus_sees(fliq: RunningFliq, sink: Sink, promtool: Binaries) -> None:
    """One run for all: it takes seconds to start."""
    async with Prometheus(promtool, fliq, interval_s=1) as prometheus, Client(fliq.url) as client:
        await work(client, sink)

        async def all_up() -> bool:
            return await prometheus.value('sum(up{job=~"fliq-.+"})') == 4

        await until(all_up, every_s=0.25, saying=lambda: "four processes are not scraped")
        await work(client, sink)
        await dashboards_have_data(prometheus)
        await rules_have_data(prometheus)
        await metrics_are_those_of_the_table(prometheus)
        await promtool_finds_nothing(promtool, fliq)
        await labels_are_few(prometheus)
        await heartbeats_come_and_nobody_sees_them(prometheus, fliq, client)
        assert await prometheus.firing() & WHATEVER_THE_SPEED == set()


async def dashboards_have_data(prometheus: Prometheus) -> None:
    """Every query of every panel returns something, but for those whose silence is good news."""
    queries = {
        (title, panel.title, query): panel.is_rare
        for title, panels in DASHBOARDS.values()
        for panel in panels
        for query in panel.queries.values()
    }

    missing: list[tuple[str, str, str]] = []

    async def none_missing() -> bool:
        missing.clear()
        for place, is_rare in queries.items():
            query = place[2].replace("$__rate_interval", "10s")
            if not await prometheus.query(query) and not is_rare:
                missing.append(place)
        return not missing

    await until(none_missing, every_s=0.5, saying=lambda: missing)


async def rules_have_data(prometheus: Prometheus) -> None:
    """Every rule and alert is evaluated without an error; every recorded series is there once its rule saw two scrapes."""
    groups = (await prometheus.get("rules"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    shipped = [
        rule
        for file in ("fliq.rules.yaml", "fliq.alerts.yaml")
        for group in yaml.safe_load((FOLDER / file).read_text())["groups"]
        for rule in group["rules"]
    ]
    assert len(rules) == len(shipped)
    assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []
    recorded = {rule["record"] for rule in shipped if "record" in rule} - ABSENT_RULES

    missing: set[str] = set()

    async def none_missing() -> bool:
        missing.clear()
        missing.update([name for name in recorded if not await prometheus.query(name)])
        return not missing

    await until(none_missing, every_s=0.5, saying=lambda: missing)


async def metrics_are_those_of_the_table(prometheus: Prometheus) -> None:
    """What is scraped under fliq_ is what the page documents, neither more nor less."""
    names = set(await prometheus.get("label/__name__/values"))
    ours = {name for name in names if name.startswith("fliq_")}
    known = {row.name for row in TABLE if row.kind != "histogram"}
    known |= {f"{row.name}_{end}" for row in TABLE if row.kind == "histogram" for end in ("bucket", "count", "sum")}
    assert ours - known == set()
    assert known - ours == set()
    assert {"process_open_fds", "process_resident_memory_bytes", "process_start_time_seconds"} <= names


async def promtool_finds_nothing(promtool: Binaries, fliq: RunningFliq) -> None:
    """Names, units and help texts are as Prometheus' own lint wants them."""
    async with aiohttp.ClientSession() as session, session.get(f"{fliq.admin_url}/metrics") as answer:
        shown = await answer.read()
    linting = await asyncio.create_subprocess_exec(
        *(promtool.promtool, "check", "metrics"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(linting.communicate(shown), 30)
    assert [line for line in said.decode().splitlines() if line.startswith("fliq_")] == []


async def labels_are_few(prometheus: Prometheus) -> None:
    """No label holds an account, an address or an id, and none has a name that the page does not list."""
    series = await prometheus.get("series", **{"match[]": '{job=~"fliq-.+"}'})
    ours = [each for each in series if each["__name__"].startswith("fliq_")]
    assert len(ours) > 300
    assert {name for each in ours for name in each} <= LEFT_TO_PROMETHEUS | set(LABEL_VALUES)
    banned = re.compile(r"(job|sched|exec)_[0-9a-z]{26}|://|default|" + ACCOUNT)
    values = {each[name] for each in ours for name in each if name not in ("instance", "__name__")}
    assert [value for value in values if banned.search(value)] == []
    assert len(values) < 150, sorted(values)


async def heartbeats_come_and_nobody_sees_them(prometheus: Prometheus, fliq: RunningFliq, client: Client) -> None:
    """The gauge is seconds old; no account can list, read or make one; the tables are the fold of the log, with them."""
    age = await prometheus.value("fliq:heartbeat_age_seconds:min")
    assert age is not None
    assert age < 60
    beat = None
    async with fliq.open_log() as log:
        for partition in range(await log.partitions()):
            for record in await log.read(partition, 0):
                event = json.loads(record.envelope.value)
                if record.envelope.type == "job.scheduled" and event["account"] == ACCOUNT:
                    beat = event["job_id"]
    assert beat is not None
    async with Client(fliq.url, OTHER_TOKEN) as other:
        for each in (client, other):
            status, page, _ = await each.call("GET", "/v1/jobs?limit=100")
            assert status == 200
            assert [job["id"] for job in page["jobs"] if job["url"].startswith("fliq:")] == []
            assert (await each.call("GET", f"/v1/jobs/{beat}"))[0] == 404
            assert (await each.call("DELETE", f"/v1/jobs/{beat}"))[0] == 404
            refused = {"url": "fliq://heartbeat/", "scheduled_at": "2099-01-01T00:00:00Z"}
            assert (await each.call("POST", "/v1/jobs", refused))[0] == 400
    assert await fold_differences(fliq) == []
