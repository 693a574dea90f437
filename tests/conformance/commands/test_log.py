"""`fliq log` shows what was written, finds it by every filter, and gives no secret away."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter

import pytest

from libs.events import Envelope, JobScheduled, ScheduleTicked, read
from libs.events.codec import KINDS
from libs.events.ids import partition_of
from libs.log.postgres import PostgresLog
from services.__main__ import build_parser
from services.commands.output import OutputClosed
from services.start_error import StartError
from tests.conformance.commands.conftest import PARTITIONS, Fliq, written
from tests.fakes.running.postgres import fetch

WRITTEN = written()
COUNT = sum(len(each) for each in WRITTEN)


def job_with(name: str) -> str:
    """Return a job that has a record of type *name*."""
    return next(each.key for records in WRITTEN for each in records if each.type == name)


def records_of(job: str) -> list[int]:
    """Return the positions of all records that name *job*."""
    return [
        position
        for position, each in enumerate(WRITTEN[partition_of(job)])
        if each.key == job or (each.type == "schedule.ticked" and job.encode() in each.value)
    ]


async def test_a_dump_is_the_log(fliq: Fliq) -> None:
    """Every record once, in the order of its partition, with the headers as they were written."""
    shown = (await fliq("log", "dump")).lines
    assert [(each["partition"], each["position"]) for each in shown] == [
        (partition, position) for partition, records in enumerate(WRITTEN) for position in range(len(records))
    ]
    for each in shown:
        envelope = WRITTEN[each["partition"]][each["position"]]
        headers = [each[name] for name in ("type", "version", "must_understand", "claim", "key")]
        assert headers == list(envelope[:5])
        assert ("event" in each) + ("unreadable" in each) + ("unknown" in each) == 1
    assert {each["type"] for each in shown} >= {kind.name for kind in KINDS}


async def test_no_secret_is_shown_unless_asked_for(fliq: Fliq) -> None:
    """Values of headers and bodies are hidden in what callers wrote, and there with --show-secrets."""
    hidden = (await fliq("log", "dump", "--type", "job.scheduled", "--type", "schedule.created")).text
    assert "Authorization" in hidden
    assert "secret" not in hidden
    assert "xxxxx" not in hidden
    open_ = (await fliq("log", "dump", "--type", "job.scheduled", "--show-secrets")).lines
    event = read(open_[0]["partition"], WRITTEN[open_[0]["partition"]][open_[0]["position"]])
    assert isinstance(event, JobScheduled)
    assert open_[0]["event"]["spec"]["headers"] == event.spec.headers
    assert open_[0]["event"]["spec"]["body"] == event.spec.body


@pytest.mark.parametrize("kind", ["job.retry_scheduled", "job.cancelled", "webhook.finished", "schedule.ticked"])
async def test_a_job_is_found_by_what_its_row_remembers(fliq: Fliq, kind: str) -> None:
    """Its records that counted, in their order; with --scan also those that changed nothing."""
    job = job_with(kind)
    if kind == "schedule.ticked":
        items = [read(partition, each) for partition in range(PARTITIONS) for each in WRITTEN[partition]]
        tick = next(each for each in items if isinstance(each, ScheduleTicked))
        job = tick.job_id
    quick = [each["position"] for each in (await fliq("log", "dump", "--job", job)).lines]
    every = [each["position"] for each in (await fliq("log", "dump", "--job", job, "--scan")).lines]
    assert every == records_of(job)
    assert set(quick) <= set(every)
    assert quick == sorted(quick)
    assert len(quick) >= 3


async def test_without_tables_a_job_is_found_all_the_same(fliq: Fliq, filled_dsn: str) -> None:
    """Its partition is read instead, and that is said on standard error."""
    job = job_with("job.retry_scheduled")
    await fetch(filled_dsn, "DROP SCHEMA fliq CASCADE")
    answer = await fliq("log", "dump", "--job", job)
    assert [each["position"] for each in answer.lines] == records_of(job)
    assert "its partition is read" in answer.errors


async def test_filters_go_together(fliq: Fliq) -> None:
    """By schedule, type, partition, position and number of lines."""
    schedule = job_with("schedule.created")
    shown = (await fliq("log", "dump", "--schedule", schedule)).lines
    assert {each["key"] for each in shown} == {schedule}
    assert shown[0]["type"] == "schedule.created"
    shown = (await fliq("log", "dump", "--partition", "1", "--type", "owner.claimed", "--from-position", "300")).lines
    assert shown
    assert all(each["partition"] == 1 and each["position"] >= 300 for each in shown)
    assert {each["type"] for each in shown} == {"owner.claimed"}
    assert len((await fliq("log", "dump", "--limit", "3")).lines) == 3


async def test_times_are_those_of_the_log(fliq: Fliq, filled_dsn: str) -> None:
    """--since and --until take exactly the records that the log took then, as instants or as times ago."""
    await fetch(filled_dsn, "UPDATE fliq_log.log_events SET at = 1767225600000 + off * 60000")  # a record a minute
    shown = await fliq(
        "log", "dump", "--since", "2026-01-01T01:00:00Z", "--until", "2026-01-01T03:00:00+01:00", "--partition", "0"
    )
    assert [each["position"] for each in shown.lines] == list(range(60, 121))
    assert (await fliq("log", "dump", "--since", "1m")).lines == []
    assert len((await fliq("log", "dump", "--until", "1m")).lines) == COUNT


@pytest.mark.parametrize(
    "words",
    [("--since", "noon"), ("--since", "10"), ("--job", "job_1"), ("--job", job_with("schedule.created")), ("--type",)],
)
def test_what_makes_no_sense_is_refused(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """With the usage and exit code 2."""
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(["log", "dump", *words])
    assert ended.value.code == 2
    assert words[0] in capsys.readouterr().err


async def test_a_partition_that_is_not_there_is_refused(fliq: Fliq) -> None:
    """In one line."""
    with pytest.raises(StartError, match="the log has 2"):
        await fliq("log", "dump", "--partition", "2")


async def test_what_cannot_be_read_is_shown_as_it_is(fliq: Fliq) -> None:
    """The reason and the bytes; what may hold a caller's secret only when asked for."""
    (torn, *_) = [each for each in (await fliq("log", "dump")).lines if "unreadable" in each]
    assert base64.b64decode(torn["value_base64"]) == WRITTEN[torn["partition"]][torn["position"]].value
    (unknown, *_) = (await fliq("log", "dump", "--type", "job.teleported")).lines
    assert (unknown["unknown"], unknown["value_base64"], unknown["value_bytes"]) == (True, None, 2)
    (unknown, *_) = (await fliq("log", "dump", "--type", "job.teleported", "--show-secrets")).lines
    assert base64.b64decode(unknown["value_base64"]) == b"{}"


async def test_stats_count_everything(fliq: Fliq) -> None:
    """Types, bytes, partitions and instants; claims and decisions that do not count; what cannot be read."""
    facts = (await fliq("log", "stats", "--json")).json
    types = Counter(each.type for records in WRITTEN for each in records)
    assert {name: each["records"] for name, each in facts["types"].items()} == types
    assert facts["records"] == COUNT
    assert facts["bytes"] == sum(len(each.value) for records in WRITTEN for each in records)
    assert [each["end"] for each in facts["partitions"]] == [len(records) for records in WRITTEN]
    assert facts["unreadable"] == len([e for p in range(PARTITIONS) for e in WRITTEN[p] if e.value.endswith(b"_01")])
    assert facts["unknown"] == types["job.teleported"]
    assert facts["void_claims"] == types["job.teleported"]  # one of each with every new owner
    assert facts["claims"] == types["owner.claimed"] - facts["void_claims"]
    assert facts["void_decisions"] > 0
    assert facts["undetermined_decisions"] == 0
    text = (await fliq("log", "stats")).text
    assert f"{COUNT:,} records" in text
    assert "attempt.due" in text


async def test_stats_of_a_part_know_what_they_cannot_know(fliq: Fliq) -> None:
    """Whether a decision before the first claim read was admitted is left open."""
    facts = (await fliq("log", "stats", "--json", "--from-position", "10")).json
    assert facts["undetermined_decisions"] > 0
    only_due = (await fliq("log", "stats", "--json", "--type", "attempt.due")).json
    assert set(only_due["types"]) == {"attempt.due"}
    assert only_due["undetermined_decisions"] == 0


async def test_tail_shows_the_last_ones(fliq: Fliq) -> None:
    """As many as asked for, the newest at the end, of those that are asked for."""
    shown = (await fliq("log", "tail", "--once", "-n", "7", "--partition", "1")).lines
    assert [each["position"] for each in shown] == list(range(len(WRITTEN[1]) - 7, len(WRITTEN[1])))
    claims = (await fliq("log", "tail", "--once", "-n", "2", "--type", "owner.claimed")).lines
    assert [each["type"] for each in claims] == ["owner.claimed"] * 2
    assert (await fliq("log", "tail", "--once", "-n", "0")).text == ""


async def test_tail_follows(fliq: Fliq, filled_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is appended comes out, until as many lines are shown as are wanted."""
    log = PostgresLog(filled_dsn, partitions=PARTITIONS)
    await log.start()
    shown = 0

    def write(_: object, line: bytes) -> None:
        nonlocal shown
        shown += 1
        if shown > 3:
            raise OutputClosed  # as when nobody reads any more

    async def append(*_: object) -> None:
        await log.append(0, [Envelope("job.teleported", 1, False, None, "owner", b"{}")] * 2)
        await asyncio.Event().wait()

    monkeypatch.setattr("services.commands.output.Output.write", write)
    monkeypatch.setattr("services.commands.log.command._watch", append)
    assert (await fliq("log", "tail", "-n", "2")).code == 0
    await log.stop()
    assert shown == 4


async def test_nothing_is_claimed_or_changed(fliq: Fliq, filled_dsn: str) -> None:
    """The log is as long as before, and no lease was taken."""
    query = "SELECT (SELECT sum(next_off) FROM fliq_log.log_heads), (SELECT count(*) FROM fliq.members), lease_epoch"
    before = await fetch(filled_dsn, f"{query} FROM fliq.progress ORDER BY part")
    for words in (("log", "dump"), ("log", "stats"), ("log", "tail", "--once"), ("verify",)):
        await fliq(*words)
    assert await fetch(filled_dsn, f"{query} FROM fliq.progress ORDER BY part") == before
