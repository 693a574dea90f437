"""Whose targets hang, waits alone."""

import asyncio
from itertools import pairwise

from libs.events import encode
from libs.events.ids import new_endpoint_id
from libs.following.round_portion import LONG
from services.dispatcher.service import LIMITS
from tests.fakes.partition import SECRET, due_of
from tests.simulation.dispatcher.harness import Harness, harness

BLACK_HOLE = "http://black-hole.example"
HEALTHY = "http://healthy.example"


async def flood(here: Harness, count: int, *, account: str) -> None:
    """Let *count* jobs of *account* fall due whose target never answers."""
    jobs = [await here.owner.schedule(here.clock.now(), url=f"{BLACK_HOLE}/x", account=account) for _ in range(count)]
    for start in range(0, count, 100):
        await here.log.append(0, [encode(due_of(job), here.owner.claim) for job in jobs[start : start + 100]])
        await here.settle()


async def test_a_black_hole_does_not_delay_a_healthy_host_of_the_same_account() -> None:
    """With two thousand calls hanging or waiting, the next call to another host leaves at its instant."""
    async with harness(slots=100, per_lane=10) as here:
        await here.begin()
        here.egress.hang(BLACK_HOLE)
        await flood(here, 2_000, account="default")
        job = await here.owner.schedule(here.clock.now() + 50, url=f"{HEALTHY}/x")
        await here.owner.due(job)
        await here.clock.advance(50)

        assert [call.at for call in here.egress.calls if call.request.url.startswith(HEALTHY)] == [job.fire_at]
        assert here.egress.most_active[BLACK_HOLE] == 10
        here.egress.answer(BLACK_HOLE)


async def test_a_webhook_endpoint_that_hangs_delays_no_other_of_its_host() -> None:
    """Each endpoint of an account has slots of its own; the slots of a host are for jobs that call it."""
    async with harness(slots=100, per_lane=10) as here:
        ids = [new_endpoint_id(here.clock.now(), 0, "default", number.to_bytes(4, "big")) for number in range(2)]
        here.tables.secrets |= dict.fromkeys(ids, (SECRET,))
        await here.begin()
        here.egress.hang(f"{BLACK_HOLE}/x")
        await flood(here, 300, account=ids[0])
        job = await here.owner.schedule(here.clock.now() + 50, url=f"{BLACK_HOLE}/fast", account=ids[1])
        await here.owner.due(job)
        await here.clock.advance(50)

        assert [call.at for call in here.egress.calls if call.request.url.endswith("/fast")] == [job.fire_at]
        here.egress.answer(f"{BLACK_HOLE}/x")


async def test_an_account_whose_targets_all_hang_does_not_delay_another_account() -> None:
    """It may take half of the slots; the other's call finds one at its instant."""
    async with harness(slots=20, per_lane=20) as here:
        await here.begin()
        here.egress.hang(BLACK_HOLE)
        await flood(here, 500, account="default")
        assert here.egress.active[BLACK_HOLE] == 10
        job = await here.owner.schedule(here.clock.now() + 50, url=f"{HEALTHY}/x", account="other")
        await here.owner.due(job)
        await here.clock.advance(50)

        assert [call.at for call in here.egress.calls if call.request.url.startswith(HEALTHY)] == [job.fire_at]
        here.egress.answer(BLACK_HOLE)


async def test_what_waited_for_a_slot_goes_out_as_slots_become_free() -> None:
    """Every attempt is made exactly once, never more at a time than allowed."""
    async with harness(slots=8, per_lane=4) as here:
        await here.begin()
        here.egress.hang(BLACK_HOLE)
        await flood(here, 300, account="default")
        here.egress.answer(BLACK_HOLE)
        for _ in range(100):
            await here.settle()

        assert len(here.egress.calls) == len(set(here.egress.execution_ids)) == 300
        assert here.egress.most_active[BLACK_HOLE] == 4
        assert len(await here.finished()) == 300


async def test_calls_start_in_portions() -> None:
    """Those that are due together, and those whose slots became free together: the loop's other work goes on in between."""
    count = 20 * LIMITS.per_round
    async with harness(slots=2 * count, per_lane=count // 2) as here:
        await here.begin()
        here.egress.hang(BLACK_HOLE)
        at = here.clock.now() + 50
        jobs = [await here.owner.schedule(at, url=f"{BLACK_HOLE}/x") for _ in range(count)]
        await here.log.append(0, [encode(due_of(job), here.owner.claim) for job in jobs])
        await here.settle()
        started: list[int] = []

        async def look() -> None:
            while True:
                started.append(len(here.egress.calls))
                await asyncio.sleep(0)

        looking = asyncio.create_task(look())
        await here.clock.advance(50)
        assert started[-1] == count // 2
        here.egress.answer(BLACK_HOLE)
        await here.settle()
        looking.cancel()

        assert started[-1] == count
        assert max(after - before for before, after in pairwise(started)) <= LONG * LIMITS.per_round
