"""Restarts, lost leases, zombies and drains: what is sent again, and what never is."""

import asyncio

import pytest

from libs.domain.job import JobState
from libs.events import encode
from libs.log.memory import Fate
from services.dispatcher.service import LIMITS, DispatcherService
from tests.fakes.partition import due_of
from tests.fakes.startstop import stress
from tests.simulation.dispatcher.harness import HOST, Harness, harness
from tests.simulation.manual_clock import ManualClock


async def test_an_attempt_that_was_not_sent_before_a_crash_is_sent_by_the_next_life() -> None:
    """The due event is running in the tables: the new dispatcher finds it there, and fires at its instant."""
    async with harness() as here:
        await here.begin()
        job = await here.owner.schedule(here.clock.now() + 500)
        await here.owner.due(job)
        await here.settle()
        await here.die()

        await here.begin_anew()
        await here.clock.advance(499)
        assert here.egress.calls == []
        await here.clock.advance(1)

        assert [call.at for call in here.egress.calls] == [job.fire_at]


async def test_an_attempt_cut_off_by_a_crash_is_sent_again_under_the_same_execution_id() -> None:
    """At least once: the repeat carries the id with which the target can tell."""
    async with harness() as here:
        await here.begin()
        here.egress.hang(HOST)
        due = await here.due()
        await here.settle()
        await here.die()
        here.egress.answer(HOST)

        await here.begin_anew()

        assert here.egress.execution_ids == [due.execution_id, due.execution_id]
        assert len(await here.finished()) == 1


async def test_an_attempt_whose_outcome_is_in_the_log_is_not_sent_again() -> None:
    """Although the tables still say running when the next life begins: it waits for them first."""
    async with harness() as here:
        await here.begin()
        await here.due()
        await here.tables.fold(0)
        here.tables.freeze()
        await here.settle()
        assert len(await here.finished()) == 1
        await here.die()

        await here.begin_anew()
        await here.clock.advance(1_000)
        here.tables.thaw()
        await here.settle()
        assert here.service.ready() is None
        await here.due()
        await here.settle()

        assert len(here.egress.calls) == 2  # the first job's, and the one that proves the dispatcher at work


async def test_a_lost_lease_drops_what_has_not_started() -> None:
    """Nothing of the partition is sent by the one that lost it."""
    async with harness() as here:
        await here.begin()
        await here.due(100)
        await here.settle()
        await here.keeper.take_away()
        await here.clock.advance(1_000)

        assert here.egress.calls == []
        assert here.service.held_count == 0


async def test_what_was_under_way_when_the_lease_was_lost_ends_and_is_recorded() -> None:
    """A late outcome is a fact like any other; the first one wins."""
    async with harness() as here:
        await here.begin()
        here.egress.hang(HOST)
        due = await here.due()
        await here.settle()
        await here.keeper.take_away()
        other = here.new_service()
        await other.start()
        await other.keeper.give()  # type: ignore[attr-defined]
        await here.settle()
        here.egress.answer(HOST)
        await here.settle()

        assert here.egress.execution_ids == [due.execution_id] * 2  # the other could not know
        assert [event.execution_id for event in await here.finished()] == [due.execution_id] * 2
        ledger = await here.tables.fold(0)
        assert [job.attempt for job in ledger.states.of(JobState).values()] == [1]
        await other.stop()


async def test_a_lease_that_comes_back_starts_nothing_twice() -> None:
    """Calls under way, and outcomes being appended, are known to the same process."""
    async with harness() as here:
        await here.begin()
        here.egress.hang(HOST)
        await here.due()
        await here.settle()
        for _ in range(3):
            await here.keeper.take_away()
            await here.keeper.give()
            await here.settle()
        here.log.faults.plan(Fate(end="written", delay_ms=50))
        here.egress.answer(HOST)
        await here.settle()
        await here.keeper.take_away()
        await here.keeper.give()
        await here.clock.advance(1_000)

        assert len(here.egress.calls) == 1
        assert len(await here.finished()) == 1


async def test_an_outcome_appended_while_the_snapshot_is_taken_is_not_sent_again() -> None:
    """The snapshot may be older than the append: the attempt is remembered until the reader has passed its outcome."""
    async with harness() as here:
        await here.begin()
        here.egress.hang(HOST)
        await here.due()
        await here.settle()
        await here.tables.fold(0)
        here.tables.freeze()
        await here.keeper.take_away()
        here.egress.answer(HOST)
        await here.settle()
        assert len(await here.finished()) == 1
        # As if `end` had been asked for before the append: the tables stand where they stood.
        real_wait = here.tables.wait

        async def satisfied(*_: object) -> bool:
            return True

        async def end_as_it_was(_: int) -> int:
            return here.tables._ledgers[0].position + 1

        real_end = here.log.end
        here.tables.wait, here.log.end = satisfied, end_as_it_was  # type: ignore[method-assign]
        await here.keeper.give()
        await here.settle()
        here.tables.wait, here.log.end = real_wait, real_end  # type: ignore[method-assign]
        here.tables.thaw()
        await here.clock.advance(1_000)

        assert len(here.egress.calls) == 1


async def test_a_process_that_stood_still_sends_nothing_under_a_lease_that_may_be_anothers() -> None:
    """The timer rings before the keeper has looked: the attempt waits until the lease is sure, or is dropped with it."""
    async with harness() as here:
        await here.begin()
        await here.due(100)
        await here.due(110)
        await here.settle()
        here.keeper.is_certain = False
        await here.clock.advance(20_000)
        assert here.egress.calls == []

        here.keeper.is_certain = True
        await here.clock.advance(50)
        assert len(here.egress.calls) == 2

        await here.due(100)
        await here.settle()
        here.keeper.is_certain = False
        await here.clock.advance(1_000)
        await here.keeper.take_away()
        here.keeper.is_certain = True
        await here.clock.advance(1_000)
        assert len(here.egress.calls) == 2


async def test_stopping_lets_calls_under_way_end_before_the_leases_go() -> None:
    """The outcome is recorded and the lease released after it, so that nobody repeats the call; what waits is dropped."""
    async with harness() as here:
        await here.begin()
        here.egress.hang(HOST)
        await here.due()
        await here.due(5_000)
        await here.settle()
        keeper = here.keeper
        stopping = asyncio.create_task(here.service.stop())
        await here.settle()
        assert keeper.released_at_stop is None

        here.egress.answer(HOST)
        await stopping

        assert len(await here.finished()) == 1
        assert keeper.released_at_stop == {0}
        await here.clock.advance(10_000)
        assert len(here.egress.calls) == 1


async def test_a_second_signal_ends_the_drain_at_once() -> None:
    """A cancelled stop breaks the calls off: they are found running by the next life."""
    async with harness() as here:
        await here.begin()
        here.egress.hang(HOST)
        await here.due()
        await here.settle()
        keeper = here.keeper
        stopping = asyncio.create_task(here.service.stop())
        await here.settle()
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping

        assert keeper.released_at_stop == {0}
        assert here.egress.active[HOST] == 0
        assert await here.finished() == []


async def test_a_drain_is_bounded() -> None:
    """A call that does not end in time is broken off."""
    async with harness(drain_s=0.01) as here:
        await here.begin()
        here.egress.hang(HOST)
        await here.due()
        await here.settle()
        await here.service.stop()

        assert here.egress.active[HOST] == 0


async def test_a_partition_to_be_handed_over_is_free_once_its_calls_have_ended() -> None:
    """Asked to release, the dispatcher stops taking at once, and says yes when nothing is under way."""
    async with harness() as here:
        await here.begin()
        here.egress.hang(HOST)
        await here.due()
        await here.due(1_000)
        await here.settle()
        assert not here.service.may_release(0)
        here.egress.answer(HOST)
        await here.clock.advance(2_000)

        assert here.service.may_release(0)
        assert len(here.egress.calls) == 1


async def test_the_watchdog_takes_up_what_runs_in_the_tables_and_is_known_to_nobody() -> None:
    """An attempt long past its deadline that this process does not hold is counted and sent."""
    async with harness() as here:
        await here.begin()
        job = await here.owner.schedule(here.clock.now())
        due = await here.owner.due(job)
        await asyncio.sleep(0)
        here.service._calls.held.drop_unstarted(0)  # forgotten, by some defect
        await here.clock.advance(60_000)
        assert here.egress.calls == []

        await here.clock.advance(150_000)

        assert here.tally.counts["overdue"] >= 1
        assert here.egress.execution_ids == [due.execution_id]


async def test_a_call_that_never_ends_is_broken_off_two_minutes_after_its_deadline() -> None:
    """Whatever the client does wrong, the slot comes back and the attempt ends as a timeout."""
    async with harness() as here:
        await here.begin()
        here.egress.hang(HOST)
        await here.due()
        await here.clock.advance(165_000)

        assert [event.error for event in await here.finished()] == ["timeout"]
        assert here.service.held_count == 0


async def test_beyond_its_share_the_dispatcher_leaves_attempts_in_the_tables() -> None:
    """It holds no more of one account than half of the window, and takes up the others, in order, as calls end."""
    async with harness(places=200, slots=5) as here:
        await here.begin()
        here.egress.hang(HOST)
        jobs = [await here.owner.schedule(here.clock.now() - 1_200 + number) for number in range(1_200)]
        for start in range(0, 1_200, 100):
            await here.log.append(0, [encode(due_of(job), here.owner.claim) for job in jobs[start : start + 100]])
            await here.settle()
        assert here.service.held_count == 100

        here.egress.answer(HOST)
        for _ in range(40):
            await here.clock.advance(1_000)

        called = [call.header("X-Fliq-Job-Id") for call in here.egress.calls]
        assert sorted(called) == sorted(job.job_id for job in jobs)
        # Those that start in the same round of the loop, or the next one, may change places.
        assert max(abs(called.index(job.job_id) - number) for number, job in enumerate(jobs)) <= 2 * LIMITS.per_round
        assert len(await here.finished()) == 1_200


async def test_start_and_stop_hold_their_contract() -> None:
    """Stopped without a start, twice, started again, from many tasks at once: nothing hangs and nothing is left."""
    clock = ManualClock()
    async with harness() as here:
        here = Harness(here.log, clock)
        await stress(here.service)
        assert isinstance(here.service, DispatcherService)
        await here.begin()
        await here.due()
        await here.settle()

        assert len(here.egress.calls) == 1
        await here.service.stop()
