"""When the dispatcher calls, what it sends, and what it records."""

from collections.abc import Callable

from libs.egress.outcome import Outcome
from libs.events import Envelope, encode
from libs.log.memory import LOST, REPLY_LOST
from libs.runtime.clock import Timer
from libs.store.errors import StoreUnavailable
from tests.fakes import events
from tests.fakes.partition import Owner, due_of
from tests.simulation.dispatcher.harness import HOST, harness


async def test_a_call_leaves_at_its_instant_and_not_a_millisecond_before() -> None:
    """Nothing is sent at T - 1 ms; at T it is, and the outcome is recorded."""
    async with harness() as here:
        await here.begin()
        job = await here.owner.schedule(here.clock.now() + 75)
        await here.owner.due(job)
        await here.clock.advance(74)
        assert here.egress.calls == []

        await here.clock.advance(1)
        await here.settle()

        assert [call.at for call in here.egress.calls] == [job.fire_at]
        assert here.tally.lateness_ms == [0]
        assert await here.finished() == [events.finished(job.job_id, job.fire_at, duration_ms=0, status_code=200)]


async def test_a_due_event_read_at_the_last_moment_is_not_early_either() -> None:
    """With one millisecond left it still waits for that millisecond."""
    async with harness() as here:
        await here.begin()
        job = await here.owner.schedule(here.clock.now() + 1)
        await here.owner.due(job)
        await here.settle()
        assert here.egress.calls == []
        await here.clock.advance(1)

        assert [call.at for call in here.egress.calls] == [job.fire_at]


async def test_a_timer_that_rings_early_sends_nothing_early() -> None:
    """The loop counts monotonic time: when it rings, the wall clock is looked at again."""
    async with harness() as here:
        on_time = here.clock.call_at
        early: list[int] = []

        def ring_early(at_ms: int, callback: Callable[[], None]) -> Timer:
            if at_ms - here.clock.now() > 3:
                early.append(at_ms)
                at_ms -= 3
            return on_time(at_ms, callback)

        here.clock.call_at = ring_early  # type: ignore[method-assign]
        await here.begin()
        job = await here.owner.schedule(here.clock.now() + 20)
        await here.owner.due(job)
        await here.clock.advance(30)

        assert early == [job.fire_at]
        assert [call.at for call in here.egress.calls] == [job.fire_at]


async def test_calls_leave_in_the_order_of_their_instants() -> None:
    """Due events written in any order fire in the order of time."""
    async with harness() as here:
        await here.begin()
        start = here.clock.now()
        for offset in (50, 10, 30, 10, 70):
            await here.owner.due(await here.owner.schedule(start + offset))
        await here.clock.advance(100)

        assert [call.at - start for call in here.egress.calls] == [10, 10, 30, 50, 70]


async def test_one_query_loads_the_specs_of_all_that_arrive_together() -> None:
    """Fifty due events of one read cost one query, not fifty."""
    async with harness() as here:
        start = here.clock.now()
        jobs = [await here.owner.schedule(start + 500) for _ in range(50)]
        await here.begin()
        await here.log.append(0, [encode(due_of(job), here.owner.claim) for job in jobs])
        await here.clock.advance(1_000)

        assert len(here.egress.calls) == 50
        assert [len(query) for query in here.tables.spec_queries if query][-1] == 50


async def test_a_due_job_that_the_tables_do_not_know_yet_waits_for_them() -> None:
    """The row may come after the due event; the call is made once it is there."""
    async with harness() as here:
        await here.begin()
        here.tables.freeze()
        job = await here.owner.schedule(here.clock.now())
        await here.owner.due(job)
        await here.clock.advance(10)
        assert here.egress.calls == []

        here.tables.thaw()
        await here.settle()

        assert len(here.egress.calls) == 1


async def test_a_due_job_that_the_tables_will_never_know_is_recorded_as_failed() -> None:
    """With the tables past the due event and no spec, the attempt ends as spec_missing and nothing is sent."""
    async with harness() as here:
        await here.begin()
        here.tables.forget_specs = True
        stranger = await here.owner.schedule(here.clock.now())
        await here.owner.due(stranger)
        await here.settle()

        assert here.egress.calls == []
        assert [(event.ok, event.error) for event in await here.finished()] == [(False, "spec_missing")]


async def test_an_account_without_a_secret_sends_nothing_unsigned() -> None:
    """The attempt is recorded as failed for want of a secret."""
    async with harness() as here:
        await here.begin()
        await here.due(account="nobody")
        await here.settle()

        assert here.egress.calls == []
        assert [event.error for event in await here.finished()] == ["signing_secret_missing"]


async def test_an_attempt_waits_while_the_tables_are_away() -> None:
    """A store that fails delays the call; the dispatcher says so, and goes on when it is back."""
    async with harness() as here:
        await here.begin()
        here.tables.fails = StoreUnavailable("server closed the connection")
        await here.due()
        await here.clock.advance(300)
        assert here.egress.calls == []
        assert here.service.ready() == "tables: server closed the connection"

        here.tables.fails = None
        await here.clock.advance(2_000)

        assert len(here.egress.calls) == 1
        assert here.service.ready() is None


async def test_the_outcome_of_a_failed_call_is_recorded_as_it_was() -> None:
    """Status, error and Retry-After stand in the fact."""
    async with harness() as here:
        await here.begin()
        here.egress.answers[HOST] = Outcome(
            ok=False, status_code=503, error="HTTP 503", duration_ms=12, retry_after_ms=7_000, sent_at=here.clock.now()
        )
        await here.due()
        await here.settle()

        (event,) = await here.finished()
        assert (event.ok, event.status_code, event.error) == (False, 503, "HTTP 503")
        assert (event.duration_ms, event.retry_after_ms) == (12, 7_000)


async def test_a_defect_costs_one_attempt_and_not_the_partition() -> None:
    """A client that raises ends the attempt as internal_error; the next one goes out."""
    async with harness() as here:
        await here.begin()
        here.egress.answers[HOST] = ZeroDivisionError("planted")
        await here.due()
        await here.settle()
        del here.egress.answers[HOST]
        await here.due()
        await here.settle()

        assert [event.error for event in await here.finished()] == ["internal_error", None]


async def test_an_outcome_is_appended_until_it_is_in() -> None:
    """A lost append and a lost reply are both answered by appending again; the call itself is made once."""
    async with harness() as here:
        await here.begin()
        job = await here.owner.schedule(here.clock.now() + 10)
        await here.owner.due(job)
        await here.settle()
        here.log.faults.plan(LOST, REPLY_LOST)
        await here.clock.advance(10)
        assert here.service.ready() == "partition 0: outcomes cannot be appended"
        await here.clock.advance(1_000)

        assert len(here.egress.calls) == 1
        assert len({event.execution_id for event in await here.finished()}) == 1
        assert len(await here.finished()) == 2
        assert here.service.held_count == 0
        assert here.service.ready() is None


async def test_a_decision_under_another_claim_is_never_fired() -> None:
    """A zombie owner's due event, and one under a claim that was not admitted, are void."""
    async with harness() as here:
        await here.begin()
        zombie = here.owner
        here.owner = Owner(here.log, epoch=2)
        await here.owner.take_over()
        late = Owner(here.log, epoch=2, nonce="samebutother")
        await late.take_over()
        job = await here.owner.schedule(here.clock.now())
        await zombie.due(job)
        await late.due(job)
        await here.clock.advance(100)
        assert here.egress.calls == []

        await here.owner.due(job)
        await here.settle()

        assert len(here.egress.calls) == 1


async def test_a_due_event_that_cannot_be_read_is_passed_over_and_counted() -> None:
    """Torn bytes stop nobody else."""
    async with harness() as here:
        await here.begin()
        job = await here.owner.schedule(here.clock.now())
        torn = Envelope("attempt.due", 1, True, str(here.owner.claim), job.job_id, b'{"job_id": "job_')
        await here.log.append(0, [torn])
        await here.due()
        await here.settle()

        assert len(here.egress.calls) == 1
        assert here.tally.counts["poison"] == 1


async def test_a_record_that_must_be_understood_stops_the_partition() -> None:
    """What stands before it is called, what stands behind it is not, and readiness says why."""
    async with harness() as here:
        await here.begin()
        before = await here.owner.schedule(here.clock.now())
        behind = await here.owner.schedule(here.clock.now())
        await here.tables.fold(0)
        here.tables.freeze()  # the scheduler stops in front of that record, too
        await here.log.append(
            0,
            [
                encode(due_of(before), here.owner.claim),
                Envelope("job.teleported", 1, True, None, before.job_id, b"{}"),
                encode(due_of(behind), here.owner.claim),
            ],
        )
        await here.clock.advance(20_000)

        assert [call.header("X-Fliq-Job-Id") for call in here.egress.calls] == [before.job_id]
        assert "job.teleported" in str(here.service.ready())


async def test_a_gap_in_the_log_stops_the_partition() -> None:
    """A missing position is never passed over."""
    async with harness() as here:
        await here.begin()
        jobs = [await here.owner.schedule(here.clock.now()) for _ in range(2)]
        await here.tables.fold(0)
        here.tables.freeze()
        place = here.log._partitions[0]
        place.write([encode(due_of(job), here.owner.claim) for job in jobs], here.clock.now())
        place.records[-1] = place.records[-1]._replace(position=place.end + 5)
        await here.clock.advance(10_000)

        assert [call.header("X-Fliq-Job-Id") for call in here.egress.calls] == [jobs[0].job_id]
        assert "GapInLog" in str(here.service.ready())
