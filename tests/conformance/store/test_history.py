"""What is forgotten goes from the tables, nothing else does, and the tables stay the fold of the log."""

from __future__ import annotations

import random

import msgspec
import pytest

from libs.domain.heartbeat import ACCOUNT
from libs.domain.history.choice import DAY_MS, HistoryTerms, wanted
from libs.domain.history.floors import FORGOTTEN, NOTHING_FORGOTTEN, Floors
from libs.domain.job import JobState, JobStatus
from libs.domain.jobs.delivery import DeliveryState, DeliveryStatus
from libs.domain.state_registry import States
from libs.events import (
    Event,
    HistoryForgotten,
    JobFinished,
    JobScheduled,
    OwnerClaimed,
    Response,
    Spec,
    WebhookAttempted,
    encode,
)
from libs.events.codec import kind_of
from libs.events.ids import delivery_id, new_job_id
from libs.events.retry_policy import RetryPolicy
from libs.log.memory import MemoryLog
from libs.store.control.idempotency import IdempotencyKeys
from libs.store.history.history_report import HistoryReport
from libs.store.history.janitor import Janitor
from libs.store.rebuild.verify import differences
from tests.conformance.store.conftest import CLAIM, NOW, Harness, state
from tests.fakes import events

SPEC = Spec(url="https://example.com/", body="x" * 200)
ENDS = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)


def job(number: int, at: int = NOW, **fields: object) -> JobScheduled:
    """Return the request for a job that is due a second after *at*."""
    job_id = new_job_id(at, 0, number.to_bytes(8, "big"))
    return events.asked(job_id, at, **({"spec": SPEC, "fire_at": at + 1_000, "at": at} | fields))


def life(asked: JobScheduled, *, is_failure: bool = False) -> list[Event]:
    """Return the records of a job that has one attempt."""
    at = asked.fire_at
    return [
        asked,
        events.due(asked.job_id, at, 1, account=asked.account, at=at - 75),
        events.finished(asked.job_id, at, 1, at=at + 5, ok=not is_failure, status_code=500 if is_failure else 200),
        JobFinished(
            job_id=asked.job_id,
            account=asked.account,
            at=at + 10,
            status="failed" if is_failure else "completed",
            attempt=1,
            has_webhook=asked.spec.webhook_url is not None,
        ),
    ]


def forgetting(harness: Harness, before: int, failed_before: int | None = None) -> HistoryForgotten:
    """Return the decision that forgets all that ended before these instants and stands in the log by now."""
    through = harness.ledgers[0].position + 1
    failed_before = before if failed_before is None else failed_before
    return HistoryForgotten(through=through, success_before=before, failed_before=failed_before, at=before)


async def swept(harness: Harness) -> int:
    """Let the janitor delete all that it finds, two of a kind at a time; return how many jobs that were."""
    janitor, count = Janitor(harness.pool), 0
    while found := await janitor.sweep(0, 2):
        count += found
    return count


async def rows_of(harness: Harness, table: str) -> int:
    found: int = await harness.pool.fetchval(f"SELECT count(*) FROM {table}")
    return found


def drawn(rng: random.Random, number: int) -> list[JobState | DeliveryState]:
    """Return a job in any state, near any floor, with or without a delivery."""
    made = state(
        number,
        rng.choice((*ENDS, *ENDS, JobStatus.RUNNING, JobStatus.SCHEDULED)),
        job_id=new_job_id(NOW + rng.randint(0, 20), 0, number.to_bytes(8, "big")),
        account=rng.choice(("acme", "acme", ACCOUNT)),
        has_webhook=rng.random() < 0.6,
        offsets=tuple(sorted(rng.sample(range(20), rng.randint(1, 4)))),
    )
    if made.is_terminal:
        at = NOW + rng.randint(0, 20)
        made = msgspec.structs.replace(made, completed_at=at, webhook_at=rng.choice((None, at)))
    if not made.has_webhook or rng.random() < 0.5:
        return [made]
    delivery = DeliveryState(
        delivery_id=delivery_id(made.job_id),
        job_id=made.job_id,
        account=made.account,
        event=rng.choice(("job.completed", "job.failed")),
        status=DeliveryStatus.EXHAUSTED,
        held=rng.random() < 0.1,
        created_at=NOW,
        last_at=NOW + rng.randint(0, 20),
        next_at=rng.choice((None, None, NOW)),
        offsets=(rng.randrange(20),),
    )
    return [made, delivery]


@pytest.mark.parametrize("seed", range(3))
async def test_the_janitor_deletes_what_the_fold_forgets(harness: Harness, seed: int) -> None:
    """The rule in SQL is the rule of the fold, for jobs of every kind near every floor."""
    rng = random.Random(seed)
    floors = Floors(through=12, success_before=NOW + 12, failed_before=NOW + 8, heartbeat_before=NOW + 15)
    states = States({id_of(each): each for number in range(400) for each in drawn(rng, number)})
    await harness.put(*states.values(), floors=floors)  # type: ignore[arg-type]
    jobs = states.of(JobState)
    kept = {known for known, each in jobs.items() if not floors.forget(each, states)}
    would = await Janitor(harness.pool).look(0, floors)

    assert 8 < len(jobs) - len(kept) < len(jobs) - 8
    assert would.is_needed
    assert await swept(harness) == len(jobs) - len(kept)
    left = await harness.tables.load(0, list(states))
    assert {each.job_id for each in left} == kept
    assert not (await Janitor(harness.pool).look(0, floors)).is_needed


def id_of(each: JobState | DeliveryState) -> str:
    return each.job_id if isinstance(each, JobState) else each.delivery_id


async def test_what_belongs_to_a_job_goes_with_it(harness: Harness) -> None:
    """Its executions, its spec, its key; of a job that is still there nothing."""
    old = job(1, idempotency_key="old", labels={"a": "1", "b": "2"})
    young = job(2, NOW + 5_000, idempotency_key="young", labels={"a": "1"})
    keys = IdempotencyKeys(harness.pool)
    for each in (old, young):
        await keys.reserve("acme", str(each.idempotency_key), b"", each.job_id, each.at)
    await harness.write(0, *life(old), *life(young))
    await harness.write(0, forgetting(harness, young.at))

    assert await swept(harness) == 1
    assert [each.job_id for each in await harness.tables.load(0, [old.job_id, young.job_id])] == [young.job_id]
    assert {table: await rows_of(harness, table) for table in ("executions", "specs", "idempotency", "labels")} == {
        "executions": 1,
        "specs": 1,
        "idempotency": 1,
        "labels": 1,
    }
    assert await keys.reservation("acme", "old") is None


async def test_answers_are_forgotten_by_their_own_age(harness: Harness) -> None:
    """Older ones go while their jobs stay; with a job goes its answer; the tables stay the fold, before and after."""
    jobs = [job(number, NOW + number * 10_000) for number in range(3)]
    lives = [life(each, is_failure=True) for each in jobs]
    for each in lives:
        each[2] = msgspec.structs.replace(each[2], response=Response(data=b"{}", key=None))
    log = await logged(harness, *[record for each in lives for record in each])
    janitor = Janitor(harness.pool)
    floors = Floors(responses_before=NOW + 5_000)
    assert (await janitor.look(0, floors)).has_old_responses
    assert not (await janitor.look(0, NOTHING_FORGOTTEN)).has_old_responses
    assert await janitor.sweep_responses(0, 10) == 0

    await add(harness, log, HistoryForgotten(through=1, responses_before=NOW + 5_000, at=NOW))
    assert await differences(log, harness.pool, 0) == []
    assert await janitor.sweep_responses(0, 10) == 1
    assert (await rows_of(harness, "responses"), await rows_of(harness, "jobs")) == (2, 3)
    assert await differences(log, harness.pool, 0) == []
    await add(harness, log, lives[0][2])  # a late repeat brings nothing back
    await add(harness, log, forgetting(harness, NOW + 15_000))
    assert await swept(harness) == 2
    assert await rows_of(harness, "responses") == 1
    assert await differences(log, harness.pool, 0) == []
    await harness.pool.execute("DELETE FROM responses")
    assert len(await differences(log, harness.pool, 0)) == 1


async def test_a_spec_goes_with_the_last_job_that_has_it(harness: Harness) -> None:
    """A copy of a failed job has the spec of that job, and may outlive it."""
    first = job(1)
    copy = job(2, NOW + 5_000, replay_of=first.job_id, spec_id=first.job_id)
    await harness.write(0, *life(first, is_failure=True), copy)
    await harness.write(0, forgetting(harness, NOW + 4_000))

    assert await swept(harness) == 1
    assert set(await harness.tables.stored_specs([first.job_id], size_max=None)) == {first.job_id}
    await harness.write(0, *life(copy)[1:])
    await harness.write(0, forgetting(harness, NOW + 60_000))
    assert await swept(harness) == 1
    assert await rows_of(harness, "specs") == 0


async def test_a_key_whose_id_is_void_is_given_to_another(harness: Harness) -> None:
    """Of two callers that find that out at once, one gets the key, and the other its job."""
    keys = IdempotencyKeys(harness.pool)
    void, first, second = (new_job_id(NOW + n, 0, bytes(8)) for n in range(3))
    held = await keys.reserve("acme", "k", b"hash", void, NOW)
    one = await keys.replace("acme", "k", held, first, NOW + 1)
    other = await keys.replace("acme", "k", held, second, NOW + 2)

    assert (one.job_id, one.is_new, one.created_at, one.request_hash) == (first, True, NOW + 1, b"hash")
    assert (other.job_id, other.is_new) == (first, False)


async def logged(harness: Harness, *facts: Event) -> MemoryLog:
    """Return a log of *facts* behind a claim, folded into the tables of partition 0."""
    log = MemoryLog(partitions=4)
    await log.start()
    ledger = harness.ledgers[0]
    ledger.claim = None
    await add(harness, log, OwnerClaimed(epoch=1, nonce=CLAIM.nonce, node="n", at=NOW), *facts)
    return log


async def add(harness: Harness, log: MemoryLog, *items: Event) -> None:
    stamps = [CLAIM if kind_of(each).role == "decision" else None for each in items]
    await log.append(0, [encode(each, stamp) for each, stamp in zip(items, stamps, strict=True)])
    await harness.write(0, *items)


async def test_the_tables_are_the_fold_while_rows_go(harness: Harness) -> None:
    """Before the janitor came, between two slices and afterwards; late repeats change nothing."""
    jobs = [job(number, NOW + number, labels={"n": str(number)} if number % 2 else None) for number in range(7)]
    hook = msgspec.structs.replace(SPEC, webhook_url="https://example.com/hook")
    told = job(90, NOW, spec=hook)
    outcome = WebhookAttempted(
        delivery_id=delivery_id(told.job_id),
        account="acme",
        at=NOW + 2_000,
        attempt=1,
        outcome="success",
        duration_ms=1,
        job_id=told.job_id,
        event="job.completed",
        retry=RetryPolicy(max_retries=1),
        spec_id=told.job_id,
    )
    log = await logged(harness, *(each for one in [*jobs, told] for each in life(one)), outcome, job(50, NOW + 60_000))
    await add(harness, log, forgetting(harness, NOW + 10_000))

    assert await differences(log, harness.pool) == []
    assert await Janitor(harness.pool).sweep(0, 3) == 3
    assert await differences(log, harness.pool) == []
    await add(harness, log, *jobs, told, outcome)
    assert await swept(harness) == 5
    assert await differences(log, harness.pool) == []
    assert {
        table: await rows_of(harness, table) for table in ("jobs", "deliveries", "executions", "labels", "specs")
    } == {
        "labels": 0,
        "jobs": 1,
        "deliveries": 0,
        "executions": 0,
        "specs": 1,
    }


PLANTED = {
    "a job that waits": "DELETE FROM jobs WHERE status = 0",
    "an ended job that is kept": "DELETE FROM jobs WHERE status = 5",
    "a spec that is needed": "DELETE FROM specs WHERE spec_id IN (SELECT job_id FROM jobs WHERE status = 0)",
    "an execution that is kept": "DELETE FROM executions WHERE job_id IN (SELECT job_id FROM jobs WHERE status = 5)",
    "a label that is kept": "DELETE FROM labels WHERE job_id IN (SELECT job_id FROM jobs WHERE status = 5)",
    "a floor": "UPDATE history SET success_before = success_before + 1",
    "all floors": "DELETE FROM history",
    "a forgotten row that is not what the log says": "UPDATE jobs SET attempt = 7 WHERE status = 4",
}


@pytest.mark.parametrize("planted", PLANTED)
async def test_a_row_that_is_not_forgotten_is_missed(harness: Harness, planted: str) -> None:
    """Rows may be gone if they are forgotten, and only then."""
    log = await logged(harness, *life(job(1)), *life(job(2, labels={"n": "2"}), is_failure=True), job(3))
    await add(harness, log, forgetting(harness, NOW + 10_000, failed_before=NOW))
    await harness.pool.execute(PLANTED[planted])

    assert await differences(log, harness.pool) != []


TERMS = HistoryTerms(days=3, failed_days=5)


async def grown(harness: Harness, *, days: int, jobs_a_day: int, looks_a_day: int) -> list[tuple[int, int]]:
    """Live *days* days; return rows and bytes of the tables at the end of each."""
    janitor, found, number = Janitor(harness.pool), [], 0
    for day in range(days):
        for look in range(looks_a_day):
            at = NOW + day * DAY_MS + look * DAY_MS // looks_a_day
            lives: list[Event] = []
            for _ in range(jobs_a_day // looks_a_day):
                number += 1
                asked = job(number, at + number % 1000, account=ACCOUNT if number % 50 == 0 else "acme")
                lives += life(asked, is_failure=number % 20 == 0)
            await harness.write(0, *lives)
            ledger, now = harness.ledgers[0], at + DAY_MS // looks_a_day
            new = wanted(TERMS, ledger.floors, now=now, position=ledger.position, oldest_at=None, is_pressed=False)
            if (await janitor.look(0, new)).is_needed:
                await harness.write(0, HistoryForgotten(**{name: getattr(new, name) for name in FORGOTTEN}, at=now))
            while await janitor.sweep(0, 250):
                pass
            for known in [known for known, each in ledger.states.items() if ledger.floors.forget(each, ledger.states)]:
                del ledger.states[known]
        tables = ("jobs", "specs", "executions")
        for table in tables:
            await harness.pool.execute(f"VACUUM {table}")
        size = await harness.pool.fetchval(
            "SELECT sum(pg_total_relation_size(t::regclass)) FROM unnest($1::text[]) t", tables
        )
        found.append((sum([await rows_of(harness, table) for table in tables]), int(size)))
    return found


SLICE_AT_NIGHT = pytest.param(21_600, 24, marks=[pytest.mark.nightly, pytest.mark.timeout(3_600)])


@pytest.mark.parametrize(("jobs_a_day", "looks_a_day"), [(240, 2), SLICE_AT_NIGHT])
async def test_twenty_days_are_as_large_as_six(harness: Harness, jobs_a_day: int, looks_a_day: int) -> None:
    """A history of three days, of failures five, at the same rate all the time: a slice of 50 jobs a second."""
    sizes = await grown(harness, days=20, jobs_a_day=jobs_a_day, looks_a_day=looks_a_day)

    assert sizes[1][0] > 1.8 * sizes[0][0]
    assert abs(sizes[-1][0] - sizes[5][0]) <= sizes[5][0] * 0.05
    # An index uses a page again two vacuums after its last entry went, so the bytes follow two days later.
    assert sizes[-1][1] <= sizes[7][1] * 1.05


async def test_the_report_counts_what_is_kept_and_what_would_go(harness: Harness) -> None:
    """By kind of end; what waits is no part of it."""
    beat = job(4, account=ACCOUNT)
    await harness.write(0, *life(job(1)), *life(job(2, NOW + 50)), *life(job(3), is_failure=True), *life(beat), job(5))
    report = HistoryReport(harness.pool)
    kept = await report.kept()
    floors = Floors(through=99, success_before=NOW + 1_040, failed_before=NOW, heartbeat_before=NOW + 9_000)

    assert [(each.status, each.rows, each.oldest_at) for each in kept] == [
        (JobStatus.COMPLETED, 2, NOW + 1_010),
        (JobStatus.FAILED, 1, NOW + 1_010),
        (None, 1, NOW + 1_010),
    ]
    assert await report.would_go({0: floors, 1: floors}) == 2
    assert (await report.floors())[0] == NOTHING_FORGOTTEN
    assert await report.positions() == {0: 16, 1: -1, 2: -1, 3: -1}
    await harness.pool.execute("ANALYZE")
    assert await report.bytes_a_job() > 0
