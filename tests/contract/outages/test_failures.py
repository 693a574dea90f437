"""When parts of Fliq do not answer: 503 in the error shape, in time, and never a wrong yes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from libs.domain.instants import next_midnight
from libs.log.memory import LOST, REPLY_LOST
from libs.store.control.limits import Limits
from services.api.contract.instants import utc_day
from services.api.handlers import context
from services.api.handlers.jobs import jobs
from services.api.state import creation_limits
from tests.contract.harness import PARTITIONS, Harness
from tests.fakes.running.topologies import Client, in_seconds
from tests.fakes.until import until

URL = "https://example.com/x"
JOB = {"url": URL, "scheduled_at": "2032-01-01T00:00:00Z"}


async def test_log_does_not_take_it(api: Client, harness: Harness) -> None:
    """Without a durable append there is no 201: 503 unavailable with Retry-After."""
    harness.faults.appends_unavailable = True
    for path, body in (
        ("/v1/jobs", JOB),
        ("/v1/jobs/batch", {"jobs": [JOB]}),
        ("/v1/schedules", {"url": URL, "cron": "0 8 * * *"}),
    ):
        status, answer, headers = await api.call("POST", path, body)
        assert (status, answer["error"]["code"]) == (503, "unavailable")
        assert headers["Retry-After"] == "1"
    harness.faults.heal()
    await harness.caught_up()
    assert not harness.tables.jobs
    assert (await api.call("POST", "/v1/jobs", JOB))[0] == 201


async def test_append_in_time() -> None:
    """A caller hears of a failed append within 5 s."""
    assert context.APPEND_S < 5


async def test_tables_are_down(api: Client, harness: Harness) -> None:
    """Without the tables a token cannot be looked up, nor anything read: 503, and well again afterwards."""
    job = await api.create(URL, 60)
    harness.tables.is_down = True
    for method, path in (("GET", "/v1/jobs"), ("GET", f"/v1/jobs/{job['id']}"), ("DELETE", f"/v1/jobs/{job['id']}")):
        status, answer, headers = await api.call(method, path)
        assert (status, answer["error"]["code"]) == (503, "unavailable")
        assert "Retry-After" in headers
    async with Client(api.url, harness.token()) as stranger:
        assert (await stranger.call("GET", "/v1/jobs"))[0] == 503
    harness.tables.is_down = False
    assert (await api.job(job["id"]))["status"] == "scheduled"


async def test_creating_needs_no_tables(api: Client, harness: Harness) -> None:
    """A job without a key is accepted while the tables are down: the log is the truth."""
    await api.create(URL, 60)
    harness.tables.is_down = True

    assert (await api.call("POST", "/v1/jobs", JOB))[0] == 201
    assert (await api.call("POST", "/v1/jobs", JOB | {"idempotency_key": "k"}))[0] == 503


async def test_fold_stands_still(api: Client, harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that cannot be made current is 503, never a 404 or a list that lacks what was accepted."""
    monkeypatch.setattr(harness.replicas[0]._ports.progress, "_poll_s", 0.001)
    harness.hold()
    job = await api.create(URL, 60)
    context_of = _context(harness)
    context_of.read_index._wait_s = 0.05
    for path in (f"/v1/jobs/{job['id']}", "/v1/jobs", f"/v1/jobs/{job['id']}/executions", "/v1/schedules"):
        status, answer, _ = await api.call("GET", path)
        assert (status, answer["error"]["code"]) == (503, "unavailable")
    harness.release()
    context_of.read_index._wait_s = 3.0
    assert (await api.job(job["id"]))["id"] == job["id"]


async def test_a_job_is_shown_while_the_fold_stands_still(api: Client, harness: Harness) -> None:
    """A job that the tables have is shown as they have it when they cannot be made current; it is not replayed by that."""
    job = await api.create(URL, 60)
    await harness.caught_up()
    harness.hold()
    await api.create(URL, 60)
    await api.create(URL, 60)
    await api.create(URL, 60)
    _context(harness).read_index._wait_s = 0.05
    assert (await api.job(job["id"]))["status"] == "scheduled"
    harness.release()
    assert (await api.job(job["id"]))["status"] == "scheduled"


async def test_cancel_is_not_decided(api: Client, harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancellation that no owner decides in time is 503 outcome_unknown; repeated later it is 204."""
    job = await api.create(URL, 60)
    await harness.caught_up()
    harness.decides = False
    _jobs(harness)._cancel_s = 0.2
    status, answer, headers = await api.call("DELETE", f"/v1/jobs/{job['id']}")
    assert (status, answer["error"]["code"]) == (503, "outcome_unknown")
    assert "Retry-After" in headers
    assert jobs.CANCEL_S == 3.0

    harness.decides = True
    _jobs(harness)._cancel_s = jobs.CANCEL_S
    assert (await api.call("DELETE", f"/v1/jobs/{job['id']}"))[0] == 204


@pytest.mark.parametrize(("fate", "after"), [(LOST, "scheduled"), (REPLY_LOST, "cancelled")])
async def test_cancel_append_failed(api: Client, harness: Harness, fate: Any, after: str) -> None:
    """When the append of a cancellation fails its outcome is said to be unknown, as it is."""
    job = await api.create(URL, 60)
    await harness.caught_up()
    harness.faults.plan(fate)

    status, answer, _ = await api.call("DELETE", f"/v1/jobs/{job['id']}")
    assert (status, answer["error"]["code"]) == (503, "outcome_unknown")
    await harness.caught_up()
    await harness.caught_up()
    assert (await api.job(job["id"]))["status"] == after
    assert (await api.call("DELETE", f"/v1/jobs/{job['id']}"))[0] == 204


async def test_cancel_raced_with_fire(api: Client, harness: Harness) -> None:
    """Of a cancellation and a due event that race, exactly one wins, and the answer says which (C2)."""
    answers: list[int] = []
    for number in range(400):
        if number >= 40 and len(set(answers)) == 2:  # how many turns of the loop a request takes is not ours to say
            break
        job = await api.create(URL, 60)
        await harness.caught_up()
        cancel = asyncio.create_task(api.call("DELETE", f"/v1/jobs/{job['id']}"))
        for _ in range(number):
            await asyncio.sleep(0)
        await harness.fire(job["id"])
        status, _, _ = await cancel
        await harness.caught_up()
        assert (await api.job(job["id"]))["status"] == {204: "cancelled", 409: "running"}[status]
        answers.append(status)
    assert set(answers) == {204, 409}


async def test_back_pressure(harness: Harness) -> None:
    """New jobs are put off with 503 while all tables are too far behind, and taken again when they have caught up."""
    service = await harness.replica(lag_max=30)
    async with Client(f"http://127.0.0.1:{service.port}", harness.token()) as client:
        harness.hold()
        assert service._limits is not None
        for _ in range(PARTITIONS):  # each goes to a partition that is not behind yet
            assert (await client.call("POST", "/v1/jobs/batch", {"jobs": [JOB] * 100}))[0] == 200
            await service._limits.look()
        for path, body in (("/v1/jobs", JOB), ("/v1/jobs/batch", {"jobs": [JOB]})):
            status, answer, headers = await client.call("POST", path, body)
            assert (status, answer["error"]["code"]) == (503, "unavailable")
            assert "Retry-After" in headers
        harness.release()
        await harness.caught_up()
        await service._limits.look()
        assert (await client.call("POST", "/v1/jobs", JOB))[0] == 201


async def test_daily_limit(harness: Harness) -> None:
    """Over the day's executions creates are 429 until midnight UTC; reads, cancels and repeats go on."""
    service = await harness.replica(limits_of=lambda _: Limits(executions_per_day=3))
    async with (
        Client(f"http://127.0.0.1:{service.port}", harness.token()) as client,
        Client(f"http://127.0.0.1:{service.port}", harness.token("other")) as other,
    ):
        job = await client.create(URL, 60)
        keyed = JOB | {"idempotency_key": "k"}
        _, first, _ = await client.call("POST", "/v1/jobs", keyed)
        now = harness.clock.now()
        harness.tables.used["default", utc_day(now)] = 3
        for path, body in (
            ("/v1/jobs", JOB),
            ("/v1/jobs", JOB | {"idempotency_key": "new"}),
            ("/v1/jobs/batch", {"jobs": [JOB]}),
            ("/v1/schedules", {"url": URL, "cron": "0 8 * * *"}),
        ):
            status, answer, headers = await client.call("POST", path, body)
            assert (status, answer["error"]["code"]) == (429, "daily_limit_reached")
            assert abs(int(headers["Retry-After"]) - (next_midnight(now) - now) / 1000) < 5
        assert (await client.call("POST", "/v1/jobs", keyed))[:2] == (201, first)
        assert (await other.call("POST", "/v1/jobs", JOB))[0] == 201
        assert "waiting_for" not in await client.job(job["id"])
        harness.clock.ahead_ms = 61_000
        assert (await client.job(job["id"]))["waiting_for"]["blocked_on"] == "daily_limit"
        assert (await client.call("DELETE", f"/v1/jobs/{job['id']}"))[0] == 204
        assert "waiting_for" not in await client.job(job["id"])
        harness.clock.ahead_ms = 86_400_000
        assert (await client.call("POST", "/v1/jobs", JOB))[0] == 201


async def test_usage_is_remembered_only_far_from_the_limit(harness: Harness) -> None:
    """Near its limit an account's usage is looked at for every create; far from it a second-old number does."""
    assert creation_limits._NEAR == 1000
    service = await harness.replica(limits_of=lambda _: Limits(executions_per_day=5000))
    day = utc_day(harness.clock.now())
    async with Client(f"http://127.0.0.1:{service.port}", harness.token()) as client:
        harness.tables.used["default", day] = 4500
        assert (await client.call("POST", "/v1/jobs", JOB))[0] == 201
        harness.tables.used["default", day] = 5000
        assert (await client.call("POST", "/v1/jobs", JOB))[0] == 429


async def test_too_large_for_a_record(api: Client, harness: Harness) -> None:
    """A job whose record would be longer than the log takes is 413 before anything is written. Sealed it is shorter, and fits."""
    body = "\x00" * 170_000  # six bytes each as JSON

    status, answer, _ = await api.call("POST", "/v1/jobs", JOB | {"body": body})
    assert (status, answer["error"]["code"]) == (413, "payload_too_large")
    await harness.caught_up()
    assert not harness.tables.jobs


async def test_a_defect_is_500(api: Client, harness: Harness) -> None:
    """What nobody foresaw is 500 internal_error in the error shape, and the next request is served."""

    async def broken(account: str, job_id: str) -> Any:
        raise RuntimeError("canary")

    harness.tables.get_job = broken  # type: ignore[method-assign]
    status, answer, _ = await api.call("GET", "/v1/jobs/job_" + "0" * 26)
    assert (status, answer["error"]) == (500, {"code": "internal_error", "message": "something went wrong on our end"})
    assert (await api.call("POST", "/v1/jobs", JOB))[0] == 201


async def test_stop(harness: Harness) -> None:
    """Stop is fine before start and twice; requests under way are answered first."""
    service = await harness.replica()
    async with Client(f"http://127.0.0.1:{service.port}", harness.token()) as client:
        job = await client.create(URL, in_seconds(60))
        harness.hold()
        created = await client.create(URL, in_seconds(60))
        waiting = asyncio.create_task(client.call("GET", f"/v1/jobs/{created['id']}"))
        await until(harness.watches[-1].is_awaited, every_s=0)
        stopping = asyncio.create_task(service.stop())
        for _ in range(20):
            await asyncio.sleep(0)
        harness.release()
        assert (await waiting)[0] == 200
        await stopping
        await service.stop()
    assert service.ready() == "not listening"
    assert job["id"] != created["id"]


def _context(harness: Harness) -> Any:
    return _jobs(harness)._c


def _jobs(harness: Harness) -> Any:
    server = harness.replicas[0].server
    assert server is not None
    handle: Any = server.handle
    return handle.__self__._fixed["/v1/jobs"]["GET"].handler.__self__
