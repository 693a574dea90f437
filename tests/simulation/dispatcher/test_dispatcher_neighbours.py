"""Nobody hurts a neighbour: the calls of an innocent account leave in time, whatever up to five hostile ones do."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from libs.events import encode
from libs.following.calls import BLOCKED_MS
from services.dispatcher.attempt_calls import SLOT_BYTES
from tests.fakes.partition import due_of
from tests.simulation.dispatcher.harness import Harness, harness
from tests.simulation.neighbours import BODY, HEALTHY, HOSTILE, INNOCENT, WIDE_BODY, black_holes, know, let_pass

SLOTS = 120
SLOTS_FOR_BODIES = 1_500  # a large body takes nine
PLACES = 400


async def flood(here: Harness, accounts: Sequence[str], count: int, hosts: Sequence[str], body: str | None) -> None:
    """Let *count* jobs of each of *accounts* fall due, spread over *hosts* that never answer."""
    for account in accounts:
        jobs = [
            await here.owner.schedule(
                here.clock.now(), url=f"{hosts[number % len(hosts)]}/x", account=account, body=body, timeout_ms=300_000
            )
            for number in range(count)
        ]
        await here.log.append(0, [encode(due_of(job), here.owner.claim) for job in jobs])
        await here.settle()


async def innocent_lateness(here: Harness, *, body: str | None = None, count: int = 10) -> list[int]:
    """Let a job of the innocent account fall due each half second, and return how late their calls left, in ms."""
    jobs = []
    for _ in range(count):
        job = await here.owner.schedule(here.clock.now() + 75, url=f"{HEALTHY}/x", account=INNOCENT, body=body)
        await here.owner.due(job)
        jobs.append(job)
        await here.clock.advance(500)
    await let_pass(here.clock, 5)
    left_at = {call.header("X-Fliq-Job-Id"): call.at for call in here.egress.calls}
    return [left_at[job.job_id] - job.fire_at for job in jobs]


def held_bytes(here: Harness) -> int:
    """Return how many bytes of requests and specs are in memory."""
    calls = here.service._calls
    kept = sum(len(call.spec or b"") for held in calls.held._held.values() for call in held.values())
    return kept + sum(call.spec_bytes for call in calls._calling.values())


@pytest.mark.parametrize("hostile", [1, 5])
async def test_accounts_whose_targets_never_answer_take_no_slot_of_another(hostile: int) -> None:
    """Each of their jobs has a host of its own, and each call lasts as long as its timeout."""
    async with harness(slots=SLOTS, places=PLACES) as here:
        know(here.tables)
        await here.begin()
        await flood(here, HOSTILE[:hostile], 300, black_holes(here.egress, 300), None)

        assert max(await innocent_lateness(here)) <= 100
        assert here.service.active_count >= SLOTS // 2
        assert here.service.ready() is None


@pytest.mark.parametrize("hostile", [1, 5])
@pytest.mark.parametrize("body", [BODY, WIDE_BODY], ids=["large", "wide"])
@pytest.mark.parametrize("hole_count", [1, 200])
async def test_large_bodies_fill_the_memory_of_nobody(hostile: int, body: str, hole_count: int) -> None:
    """A body is in memory only while its call is made, and what these calls hold has a bound; others have their share of it."""
    async with harness(slots=SLOTS_FOR_BODIES, places=PLACES) as here:
        know(here.tables)
        await here.begin()
        await flood(here, HOSTILE[:hostile], 200, black_holes(here.egress, hole_count), body)

        assert max(await innocent_lateness(here, body=body)) <= 100
        assert 0 < held_bytes(here) <= SLOTS_FOR_BODIES * SLOT_BYTES
        assert here.service.ready() is None


@pytest.mark.parametrize("hostile", [1, 5])
async def test_accounts_that_hold_all_they_may_leave_places_for_another(hostile: int) -> None:
    """Their attempts beyond that stay in the tables, in the order of their instants, and are called once there is room."""
    async with harness(slots=SLOTS, places=PLACES, per_lane=5) as here:
        know(here.tables)
        await here.begin()
        (hole,) = black_holes(here.egress, 1)
        await flood(here, HOSTILE[:hostile], 500, [hole], None)
        assert here.service.held_count <= PLACES

        assert max(await innocent_lateness(here)) <= 100
        here.egress.answer(hole)
        await let_pass(here.clock, 40)
        assert len(set(here.egress.execution_ids)) == len(here.egress.calls) == 500 * hostile + 10
        assert here.service.held_count == 0


async def test_an_account_that_came_first_shrinks_as_others_come() -> None:
    """Calls under way are never cut short; as they end, five accounts and a newcomer come to equal shares."""
    async with harness(slots=SLOTS, places=6_000) as here:
        know(here.tables)
        await here.begin()
        holes = black_holes(here.egress, 300)
        await flood(here, HOSTILE[:1], 300, holes, None)
        assert here.service.active_count == SLOTS // 2
        await flood(here, HOSTILE[1:], 300, holes, None)
        for hole in holes[:60]:
            here.egress.answer(hole)
        await here.settle()

        held = here.service._calls._fair_queue._shares.held_by
        assert all(abs(held(account) - SLOTS // 6) <= 1 for account in HOSTILE)


async def test_a_large_body_waits_for_its_hosts_slot_like_any_other() -> None:
    """Its host is known once it was read; then it queues there, and is read again when its turn has come."""
    async with harness(slots=SLOTS, per_lane=1) as here:
        await here.begin()
        here.egress.hang(HEALTHY)
        for _ in range(3):
            await here.due(url=f"{HEALTHY}/x", body=BODY)
        await here.settle()
        assert len(here.egress.calls) == 1

        here.egress.answer(HEALTHY)
        await here.settle()
        assert len(here.egress.calls) == len(await here.finished()) == 3
        assert {len(call.request.body or b"") for call in here.egress.calls} == {len(BODY)}
        assert here.egress.most_active[HEALTHY] == 1


async def test_a_large_body_that_waits_for_the_tables_is_dropped_with_its_lease() -> None:
    """It is called once the lease is back."""
    async with harness() as here:
        await here.begin()
        due = await here.due(100, url=f"{HEALTHY}/x", body=BODY)
        await here.settle()
        here.tables.fails = ConnectionError("away")
        await here.clock.advance(100)
        await here.keeper.take_away()
        here.tables.fails = None
        await here.clock.advance(5_000)
        assert here.egress.calls == []
        assert here.service.held_count == 0

        await here.keeper.give()
        await here.settle()
        assert here.egress.execution_ids == [due.execution_id]


async def test_a_process_whose_calls_cannot_leave_says_so() -> None:
    """As many accounts as there are slots hold them all: the calls of one more are due, and none leaves."""
    async with harness(slots=2) as here:
        know(here.tables)
        await here.begin()
        holes = black_holes(here.egress, 1)
        await flood(here, HOSTILE[:2], 1, holes, None)
        await here.due(url=f"{HEALTHY}/x", account=INNOCENT)
        await here.clock.advance(BLOCKED_MS - 1_000)
        assert here.service.ready() is None
        await here.clock.advance(1_000)
        assert here.service.ready() == "no call has left for 30 s, and calls are due"

        here.egress.answer(holes[0])
        await here.settle()
        assert here.service.ready() is None
