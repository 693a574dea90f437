"""Verification says nothing about true tables, and names every kind of difference that is planted."""

import msgspec
import pytest

from libs.events import (
    Event,
    JobCancelRequested,
    JobScheduled,
    OwnerClaimed,
    Response,
    ScheduleCreated,
    ScheduleTicked,
    WebhookAttempted,
    encode,
)
from libs.events.ids import delivery_id, new_schedule_id, tick_job_id
from libs.events.retry_policy import RetryPolicy
from libs.log.memory import MemoryLog
from libs.store.projection.changes import Flush, PartitionChanges
from libs.store.rebuild.verify import differences
from tests.conformance.store.conftest import CLAIM, NONCE, PARTITIONS, Harness
from tests.conformance.store.test_flush import NOW, SPEC, due, finished, scheduled

SCHEDULE = new_schedule_id(NOW, 1, bytes(8))
DECISIONS = ("AttemptDue", "ScheduleTicked")


def history(partition: int) -> list[Event]:
    """A claim, two jobs on their way, and in partition 1 a schedule that ticked."""
    first, second = scheduled(partition, 1), scheduled(partition, 2)
    first = msgspec.structs.replace(first, labels={"tenant": "acme"})
    events: list[Event] = [
        OwnerClaimed(epoch=1, nonce="claimclaim", node="n", at=NOW),
        first,
        second,
        first,
        due(first),
        msgspec.structs.replace(finished(first), response=Response(data=b'{"head":"no"}')),
        JobCancelRequested(job_id=second.job_id, at=NOW),
    ]
    if partition == 1:
        events.append(
            ScheduleCreated(schedule_id=SCHEDULE, account="acme", at=NOW, spec=SPEC, cron="* * * * *", next_run_at=NOW)
        )
        events.append(
            ScheduleTicked(
                schedule_id=SCHEDULE, at=NOW, tick_at=NOW, job_id=tick_job_id(SCHEDULE, NOW), next_run_at=NOW + 60_000
            )
        )
        events.append(
            WebhookAttempted(
                delivery_id=delivery_id(first.job_id),
                account="acme",
                at=NOW,
                attempt=1,
                outcome="failure",
                duration_ms=5,
                job_id=first.job_id,
                event="job.completed",
                retry=RetryPolicy(max_retries=3, delay_ms=5_000),
                spec_id=first.job_id,
            )
        )
    return events


@pytest.fixture
async def log(harness: Harness) -> MemoryLog:
    """A log with a history in every partition, folded into the tables in steps of two records."""
    made = MemoryLog(partitions=PARTITIONS)
    await made.start()
    for partition, ledger in harness.ledgers.items():
        ledger.claim = None
        events = history(partition)
        stamps = [CLAIM if type(event).__name__ in DECISIONS else None for event in events]
        await made.append(partition, [encode(event, stamp) for event, stamp in zip(events, stamps, strict=True)])
        for start in range(0, len(events), 2):
            changes = PartitionChanges(partition)
            for position in range(start, min(start + 2, len(events))):
                stamp = stamps[position]
                changes.note(encode(events[position], stamp))
                changes.add(ledger.apply(position, events[position], str(stamp) if stamp else None))
            flush = Flush(partition, NONCE, start - 1, ledger.position, ledger.claim, changes)
            assert await harness.projector.flush([flush]) == set()
    return made


async def test_true_tables_have_no_differences(harness: Harness, log: MemoryLog) -> None:
    """However the fold was cut into flushes, the tables equal the fold of the whole log."""
    assert await differences(log, harness.pool) == []


async def test_tables_that_are_behind_are_compared_at_their_position(harness: Harness, log: MemoryLog) -> None:
    """Records behind the flushed position do not count yet."""
    await log.append(2, [encode(scheduled(2, 9))])
    assert await differences(log, harness.pool, 2) == []


PLANTED = {
    "builds that must not serve it": ("UPDATE progress SET needs = 0 WHERE part = 1", "needs is 0", "the log says 1"),
    "a changed field": ("UPDATE jobs SET fire_at = 5 WHERE part = 1", "jobs: job_", "fire_at is 5"),
    "a lost job": ("DELETE FROM jobs WHERE part = 1", "jobs: job_", "is in the log and not in the tables"),
    "a job too many": (
        "INSERT INTO jobs SELECT (j).* FROM (SELECT jsonb_populate_record(j, jsonb_build_object('job_id',"
        " gen_random_uuid())) AS j FROM jobs j WHERE part = 1 LIMIT 1) x",
        "jobs: job_",
        "is in the tables and not in the log",
    ),
    "another spec": ("UPDATE specs SET spec = '{}' WHERE part = 1", "specs: ", "spec is not what the log says"),
    "a lost spec": ("DELETE FROM specs WHERE part = 1", "specs: ", "is in the log and not in the tables"),
    "an outcome": ("UPDATE executions SET ok = false WHERE part = 1", "executions: job_", "ok is False"),
    "a schedule's run": (
        "UPDATE schedules SET next_run_at = 1 WHERE part = 1",
        "schedules: sched_",
        "next_run_at is 1",
    ),
    "a delivery's next try": (
        "UPDATE deliveries SET next_at = 1 WHERE part = 1",
        "deliveries: whd_",
        "next_at is 1",
    ),
    "a count": (
        "UPDATE usage_daily SET executions = 9 WHERE part = 1",
        "usage_daily: acme",
        "is 9, and the log says 1",
    ),
    "another answer": (
        "UPDATE responses SET data = '{}' WHERE part = 1",
        "responses: job_",
        "digest is",
    ),
    "a lost answer": (
        "DELETE FROM responses WHERE part = 1",
        "responses: job_",
        "is in the log and not in the tables",
    ),
    "an answer too many": (
        "INSERT INTO responses SELECT part, job_id, 7, at, key, data FROM responses WHERE part = 1",
        "responses: job_",
        "7 is in the tables and not in the log",
    ),
    "another label": (
        "UPDATE labels SET value = 'other' WHERE part = 1",
        "labels: job_",
        "tenant=other is in the tables and not in the log",
    ),
    "a lost label": (
        "DELETE FROM labels WHERE part = 1",
        "labels: job_",
        "tenant=acme is in the log and not in the tables",
    ),
    "a claim": (
        "UPDATE progress SET claim_epoch = 8 WHERE part = 1",
        "claim is '8.claimclaim'",
        "the log says '1.claimclaim'",
    ),
    "a position beyond the log": ("UPDATE progress SET position = 99 WHERE part = 1", "position is 99", "an end at 10"),
    "a position behind the rows": ("UPDATE progress SET position = 3 WHERE part = 1", "jobs: job_", "status is"),
    "offsets": ("UPDATE jobs SET offsets = offsets || offsets WHERE part = 1", "jobs: job_", "offsets is"),
}


@pytest.mark.parametrize("planted", PLANTED)
async def test_each_planted_difference_is_found(harness: Harness, log: MemoryLog, planted: str) -> None:
    """A line names the partition, the row and what differs; the other partitions are clean."""
    statement, *expected = PLANTED[planted]
    await harness.pool.execute(statement)
    lines = await differences(log, harness.pool)
    assert any(all(text in line for text in expected) for line in lines), lines
    assert all(line.startswith("partition 1:") for line in lines), lines


async def test_a_spec_is_never_shown(harness: Harness, log: MemoryLog) -> None:
    """What differs in a spec may be a caller's secret."""
    await harness.pool.execute("UPDATE specs SET spec = 'the secret'")
    assert "secret" not in "".join(await differences(log, harness.pool))


async def test_many_differences_are_counted(harness: Harness) -> None:
    """After the first twenty of a table the rest is a number."""
    log = MemoryLog(partitions=PARTITIONS)
    await log.start()
    jobs: list[JobScheduled] = [scheduled(0, number) for number in range(30)]
    await log.append(0, [encode(job) for job in jobs])
    await harness.pool.execute("UPDATE progress SET position = 29 WHERE part = 0")
    lines = await differences(log, harness.pool, 0)
    assert len(lines) == 2 * 21
    assert "partition 0: jobs: 10 more" in lines
