"""One POST at a job's end: when, to whom, how often, and what a crash repeats."""

import json

from libs.egress.outcome import Outcome
from libs.events import Envelope
from libs.log.memory import LOST
from libs.store.errors import StoreUnavailable
from tests.fakes.partition import Owner
from tests.simulation.webhooks.harness import HOST, SLOTS_OF_AN_ENDPOINT, harness


async def test_the_end_of_a_job_is_told_once_and_recorded() -> None:
    """Completed, failed and cancelled alike; each POST has ten seconds."""
    async with harness() as here:
        await here.begin()
        jobs = [await here.job() for _ in range(3)]
        await here.owner.finish(jobs[0])
        await here.owner.finish(jobs[1], status="failed")
        await here.owner.cancel(jobs[2])
        await here.settle()

        assert here.posted == [job.job_id for job in jobs]
        told = [json.loads(call.request.body or b"")["status"] for call in here.egress.calls]
        assert told == ["completed", "failed", "cancelled"]
        assert {call.timeout_s for call in here.egress.calls} == {10.0}
        assert [(event.job_id, event.ok, event.status_code) for event in await here.told()] == [
            (job.job_id, True, 200) for job in jobs
        ]


async def test_a_job_without_a_webhook_is_not_told() -> None:
    """Nothing is sent, nothing is recorded."""
    async with harness() as here:
        await here.begin()
        await here.ended_job(webhook_url=None)
        last = await here.ended_job()
        await here.settle()

        assert here.posted == [last.job_id]
        assert len(await here.told()) == 1


async def test_a_failed_webhook_is_recorded_and_not_tried_again() -> None:
    """Best effort: the outcome is an event, the job's status does not change."""
    async with harness() as here:
        await here.begin()
        here.egress.answers[HOST] = Outcome(
            ok=False, status_code=None, error="timeout", duration_ms=10_000, retry_after_ms=None, sent_at=0
        )
        job = await here.ended_job()
        await here.clock.advance(60_000)

        assert here.posted == [job.job_id]
        assert [(event.ok, event.error) for event in await here.told()] == [(False, "timeout")]
        assert (await here.tables.fold(0)).states[job.job_id].status.name == "COMPLETED"


async def test_decisions_that_are_not_admitted_are_not_told() -> None:
    """A zombie owner's end of a job is void."""
    async with harness() as here:
        await here.begin()
        zombie, here.owner = here.owner, Owner(here.log, epoch=2)
        await here.owner.take_over()
        first, second = await here.job(), await here.job()
        await zombie.finish(first)
        await here.owner.finish(second)
        await here.settle()

        assert here.posted == [second.job_id]


async def test_a_crash_does_not_repeat_what_is_recorded() -> None:
    """The tables know the outcomes, and the next life waits until they know all that stand in the log."""
    async with harness() as here:
        await here.begin()
        done = [await here.job() for _ in range(3)]
        for job in done:
            await here.owner.finish(job)
        await here.settle()
        await here.die()

        await here.begin_anew()
        fresh = await here.ended_job()
        await here.settle()

        assert here.posted == [*(job.job_id for job in done), fresh.job_id]


async def test_a_crash_repeats_what_was_not_recorded() -> None:
    """Cut off in the middle, a POST is made again, under the same message id."""
    async with harness() as here:
        await here.begin()
        here.egress.hang(HOST)
        job = await here.ended_job()
        await here.settle()
        await here.die()
        here.egress.answer(HOST)

        await here.begin_anew()

        assert here.posted == [job.job_id, job.job_id]
        assert len(await here.told()) == 1


async def test_a_restart_admits_what_the_life_before_would_have_admitted() -> None:
    """The claim comes with the snapshot: behind it no new claim need stand."""
    async with harness() as here:
        await here.begin()
        await here.ended_job()
        await here.clock.advance(2_000)
        await here.service.stop()
        job = await here.ended_job()

        await here.begin_anew()

        assert here.posted[-1] == job.job_id


async def test_a_receiver_that_hangs_does_not_delay_another() -> None:
    """At most so many calls to one host, and the rest waits in its own lane."""
    async with harness() as here:
        await here.begin()
        here.egress.hang(HOST)
        for _ in range(100):
            await here.ended_job()
        other = await here.ended_job(webhook_url="http://other.example/")
        await here.settle()

        assert here.egress.most_active[HOST] == SLOTS_OF_AN_ENDPOINT
        assert other.job_id in here.posted
        here.egress.answer(HOST)


async def test_a_slot_goes_to_the_next_webhook_with_the_answer() -> None:
    """While webhooks of a receiver wait, the task that got an answer sends the next one; a slow round costs no slot its turn."""
    async with harness(per_lane=1) as here:
        await here.begin()
        here.egress.takes_ms[HOST] = 100
        jobs = [await here.ended_job() for _ in range(3)]
        await here.settle()
        (task,) = here.service._calls._calling

        for number, job in enumerate(jobs):
            assert here.posted[number:] == [job.job_id]
            assert list(here.service._calls._calling) == [task]
            await here.clock.advance(100)
            await here.settle()

        assert len(here.service._calls._calling) == 0
        assert len(await here.told()) == 3


async def test_ends_wait_for_tables_that_are_away_or_behind() -> None:
    """Nothing is lost: the POST is made when the spec is there."""
    async with harness() as here:
        await here.begin()
        here.tables.fails = StoreUnavailable("away")
        job = await here.ended_job()
        await here.clock.advance(1_000)
        assert here.service.ready() == "tables: away"
        here.tables.freeze()
        here.tables.fails = None
        await here.clock.advance(5_000)
        assert here.posted == []
        here.tables.thaw()
        await here.settle()

        assert here.posted == [job.job_id]
        assert here.service.ready() is None


async def test_an_end_whose_spec_is_gone_is_recorded_as_not_told() -> None:
    """With the tables past it there is nothing to wait for."""
    async with harness() as here:
        await here.begin()
        here.tables.forget_specs = True
        await here.ended_job()
        await here.settle()

        assert [event.error for event in await here.told()] == ["spec_missing"]


async def test_an_account_without_a_secret_is_not_told_unsigned() -> None:
    """The outcome says why."""
    async with harness() as here:
        await here.begin()
        await here.ended_job(account="nobody")
        await here.settle()

        assert here.posted == []
        assert [event.error for event in await here.told()] == ["signing_secret_missing"]


async def test_outcomes_are_appended_until_they_are_in() -> None:
    """However often the log refuses."""
    async with harness() as here:
        await here.begin()
        job = await here.job()
        await here.settle()
        here.egress.hang(HOST)
        await here.owner.finish(job)
        await here.settle()
        here.log.faults.plan(LOST, LOST)
        here.egress.answer(HOST)
        await here.clock.advance(2_000)

        assert here.posted == [job.job_id]
        assert len(await here.told()) == 1


async def test_a_record_that_must_be_understood_stops_the_partition_in_front_of_it() -> None:
    """What stands before it is told; readiness says why."""
    async with harness() as here:
        await here.begin()
        before, behind = await here.job(), await here.job()
        await here.owner.finish(before)
        await here.log.append(0, [Envelope("job.teleported", 1, True, None, before.job_id, b"{}")])
        here.tables._specs[before.job_id] = before.spec
        here.tables.freeze()
        await here.owner.finish(behind)
        await here.clock.advance(20_000)

        assert here.posted == [before.job_id]
        assert "job.teleported" in str(here.service.ready())


async def test_an_end_that_cannot_be_read_is_passed_over_and_counted() -> None:
    """Torn bytes stop nobody else."""
    async with harness() as here:
        await here.begin()
        torn, job = await here.job(), await here.job()
        await here.log.append(0, [Envelope("job.finished", 1, True, str(here.owner.claim), torn.job_id, b"{")])
        await here.owner.finish(job)
        await here.settle()

        assert here.posted == [job.job_id]
        assert here.tally.counts["poison"] == 1
