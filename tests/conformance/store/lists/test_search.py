"""Searches find what their filters say, newest first and page by page, and go through a bounded number of rows."""

from __future__ import annotations

import random
from typing import Any

import pytest

from libs.domain.job import JobState, JobStatus
from libs.events import Event
from libs.events.ids import execution_id, new_job_id, new_schedule_id
from libs.store.reads import search
from libs.store.reads.account_queries import AccountQueries
from libs.store.reads.filters import JobFilter, ScheduleFilter
from libs.store.reads.search import Search
from tests.conformance.store.conftest import NOW, PARTITIONS, Harness
from tests.fakes import events

SCHEDULE = new_schedule_id(NOW - 1, 0, bytes(8))


def label(rng: random.Random) -> dict[str, str] | None:
    names = [name for name in ("tenant", "kind", "x/y") if rng.random() < 0.6]
    return {name: rng.choice(("a", "b", "a:b", "ü")) for name in names} or None


def job(number: int, rng: random.Random) -> list[Event]:
    """Return a job of partition *number* % 4, some of them due, failed, of another account, or of a schedule."""
    job_id = new_job_id(NOW + number // 3, number % PARTITIONS, number.to_bytes(8, "big"))
    account = "other" if rng.random() < 0.1 else "acme"
    made = events.asked(
        job_id,
        NOW,
        account=account,
        fire_at=NOW + rng.randrange(20),
        labels=label(rng),
        schedule_id=SCHEDULE if number % PARTITIONS == 0 and rng.random() < 0.5 else None,
    )
    if rng.random() < 0.3:
        return [made]
    due = events.due(job_id, NOW, account=account)
    return [
        made,
        due,
        events.finished(job_id, NOW, ok=False),
        events.ended(job_id, NOW, account=account, status="failed"),
    ]


async def filled(harness: Harness, seed: int, count: int = 150) -> list[JobState]:
    """Fold *count* jobs into the tables; return those of `acme`, newest first."""
    rng = random.Random(seed)
    await harness.write(0, events.created(SCHEDULE, NOW))
    for number in range(count):
        await harness.write(number % PARTITIONS, *job(number, rng))
    states = [each for ledger in harness.ledgers.values() for each in ledger.states.of(JobState).values()]
    return sorted((each for each in states if each.account == "acme"), key=lambda each: each.job_id, reverse=True)


def drawn(rng: random.Random, jobs: list[JobState]) -> JobFilter:
    def maybe(value: Any, share: float = 0.3) -> Any:
        return value if rng.random() < share else None

    labels = rng.choice(
        ((), (("tenant", "a"),), (("tenant", "a"), ("kind", "b")), (("x/y", "ü"),), (("tenant", "no"),))
    )
    return JobFilter(
        statuses=maybe(rng.choice(((JobStatus.FAILED,), (JobStatus.SCHEDULED, JobStatus.FAILED)))),
        schedule_id=maybe(SCHEDULE, 0.2),
        labels=labels,
        created_after=maybe(NOW + rng.randrange(50)),
        created_before=maybe(NOW + rng.randrange(50)),
        scheduled_after=maybe(NOW + rng.randrange(20)),
        scheduled_before=maybe(NOW + rng.randrange(20)),
        job_ids=maybe(tuple(each.job_id for each in rng.sample(jobs, 5)), 0.1),
    )


@pytest.mark.parametrize("seed", range(3))
async def test_a_search_finds_what_its_filter_takes(harness: Harness, seed: int, monkeypatch: Any) -> None:
    """The statements agree with `JobFilter.takes`, whatever index leads, in steps of any size, over all pages."""
    jobs = await filled(harness, seed)
    monkeypatch.setattr(search, "_STEP_MIN", 3)
    rng, searched = random.Random(seed), Search(harness.pool, AccountQueries(harness.pool))
    some = 0
    for _ in range(40):
        wanted = drawn(rng, jobs)
        expected = [each for each in jobs if wanted.takes(each)]
        some += bool(expected)
        found: list[JobState] = []
        while True:
            page, reached = await searched.search_jobs(
                "acme", wanted, limit=3, before=found[-1].job_id if found else None
            )
            assert reached is None
            found += [each.job for each in page]
            if len(page) < 3:
                break
        assert found == expected, wanted
    assert some > 10


async def test_a_look_ends_after_so_many_rows(harness: Harness, monkeypatch: Any) -> None:
    """It says how far it came, and the next look goes on there: nothing is found twice, and nothing is left out."""
    jobs = await filled(harness, 7)
    monkeypatch.setattr(search, "_STEP_MIN", 4)
    monkeypatch.setattr(search, "SCANNED_MAX", 12)
    wanted = JobFilter(statuses=(JobStatus.SCHEDULED, JobStatus.FAILED), scheduled_before=NOW + 2)
    found: list[JobState] = []
    looks, before = 0, None
    while True:
        page, reached = await Search(harness.pool, AccountQueries(harness.pool)).search_jobs(
            "acme", wanted, limit=50, before=before
        )
        found += [each.job for each in page]
        looks += 1
        if reached is None:
            break
        before = reached

    assert found == [each for each in jobs if wanted.takes(each)]
    assert looks == -(-(len(jobs) + 1) // 12)


async def test_an_execution_leads_to_its_job(harness: Harness) -> None:
    """Every attempt's id, of jobs of the same millisecond; of another account, or never made, none."""
    ids = [new_job_id(NOW, 1, number.to_bytes(8, "big")) for number in range(5)]
    await harness.write(1, *(events.asked(each, NOW) for each in ids))
    await harness.write(1, events.due(ids[3], NOW), events.finished(ids[3], NOW, ok=False))
    await harness.write(1, events.retried(ids[3], NOW), events.due(ids[3], NOW, 2))
    searched = Search(harness.pool, AccountQueries(harness.pool))

    assert [await searched.job_of_execution("acme", execution_id(ids[3], n)) for n in (1, 2, 3)] == [
        ids[3],
        ids[3],
        None,
    ]
    assert await searched.job_of_execution("acme", execution_id(ids[2], 1)) is None
    assert await searched.job_of_execution("other", execution_id(ids[3], 1)) is None


async def test_schedules_are_found_by_their_labels(harness: Harness) -> None:
    """A changed one by its new labels; text elsewhere in the row that looks like a label is none."""
    ids = [new_schedule_id(NOW + number, 0, bytes(8)) for number in range(4)]
    for number, schedule_id in enumerate(ids):
        labels = {"tenant": "a", "n": str(number)} if number < 3 else None
        key = '"labels":{"tenant":"a"}' if number == 3 else None
        await harness.write(0, events.defined(schedule_id, NOW, labels=labels, key=key))
    await harness.write(0, events.created(new_schedule_id(NOW + 9, 0, bytes(8)), NOW))
    searched = Search(harness.pool, AccountQueries(harness.pool))

    async def found(**fields: Any) -> list[str]:
        page, reached = await searched.search_schedules(
            "acme", ScheduleFilter(**fields), now=NOW, limit=10, before=None
        )
        assert reached is None
        assert all(ScheduleFilter(**{**fields, "status": None}).takes(each.schedule) for each in page)
        return [each.schedule.schedule_id for each in page]

    assert await found(labels=(("tenant", "a"),)) == ids[2::-1]
    assert await found(labels=(("tenant", "a"), ("n", "1"))) == [ids[1]]
    assert await found(labels=(("tenant", "a"), ("tenant", "b"))) == []
    assert await found(labels=(("tenant", "a"),), status="paused") == []
    assert await found(created_after=NOW + 1, created_before=NOW + 3) == [ids[2], ids[1]]
    assert await found(schedule_ids=(ids[0], ids[3])) == [ids[3], ids[0]]


async def test_a_look_through_schedules_ends_too(harness: Harness, monkeypatch: Any) -> None:
    """With a page that is not full and more schedules than one look goes through, it says how far it came."""
    ids = [new_schedule_id(NOW + number, 0, bytes(8)) for number in range(6)]
    await harness.write(0, *(events.defined(each, NOW, labels={"n": each[-30:-24] or "x"}) for each in ids))
    bound = search.SCANNED_MAX
    for name in ("_SCHEDULES", "_SCHEDULES_REACHED"):
        text = getattr(search, name)
        monkeypatch.setattr(
            search, name, text.replace(f"LIMIT {bound}", "LIMIT 4").replace(f"OFFSET {bound - 1}", "OFFSET 3")
        )
    wanted = ScheduleFilter(labels=(("tenant", "nobody"),))

    first = await Search(harness.pool, AccountQueries(harness.pool)).search_schedules(
        "acme", wanted, now=NOW, limit=3, before=None
    )
    assert first == ([], ids[2])
    assert await Search(harness.pool, AccountQueries(harness.pool)).search_schedules(
        "acme", wanted, now=NOW, limit=3, before=ids[2]
    ) == ([], None)


async def test_labels_are_found_by_their_index(harness: Harness) -> None:
    """The plan of each step of a search reads no whole table, whatever the server knows of its size."""
    await filled(harness, 1, count=60)
    await harness.pool.execute("ANALYZE")
    async with harness.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await connection.execute("SET LOCAL enable_seqscan = off")
        for query, values, index in (
            (search._BY_LABEL, "'acme', $2, $2, 100, 'tenant', 'a'", "labels_pkey"),
            (search._OF_MS, "'acme', $2, $2, 100", "jobs_pkey"),
        ):
            statement = query
            for number, value in enumerate(values.split(", "), 1):
                value = "'00000000-0000-0000-0000-000000000000'::uuid" if value == "$2" else value
                statement = statement.replace(f"${number}", value)
            plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {statement}"))
            assert index in plan, plan
            assert "Seq Scan" not in plan
            assert "Sort" not in plan


async def test_the_rarest_label_leads(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if there are more of each than are counted: a look that went through the jobs of the other one would end too early."""
    for number in range(40):
        labels = {"all": "x"} | ({"some": "y"} if number % 8 == 0 else {})
        await harness.write(0, events.asked(new_job_id(NOW + number, 0, bytes(8)), NOW, labels=labels))
    for name, value in (("_COUNTED_MAX", 3), ("SCANNED_MAX", 8), ("_STEP_MIN", 2)):
        monkeypatch.setattr(search, name, value)
    searched = Search(harness.pool, AccountQueries(harness.pool))
    for labels_wanted in ((("all", "x"), ("some", "y")), (("some", "y"), ("all", "x"))):
        found, reached = await searched.search_jobs("acme", JobFilter(labels=labels_wanted), limit=10, before=None)
        assert (len(found), reached) == (5, None)
