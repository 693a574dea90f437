"""Attempts of jobs that were stopped, and attempts that come too late."""

from __future__ import annotations

import pytest

from libs.events import AttemptDue
from tests.fakes import events
from tests.simulation.dispatcher.harness import Harness, harness

HOST = "http://target.example"


async def stop(here: Harness, due: AttemptDue, **changes: object) -> None:
    fields = {"status": "failed", "last_error": "stopped", "ended_by": "stopped"} | changes
    await here.owner.decide(events.ended(due.job_id, here.clock.now(), due.attempt, account=due.account, **fields))
    await here.settle()


@pytest.mark.parametrize("reason", ["stopped", "replaced"])
async def test_a_call_under_way_is_cut_off(reason: str) -> None:
    """Its connection is closed at once, its slot is free, and what is recorded says why."""
    async with harness() as here:
        await here.begin()
        here.egress.hang(HOST)
        due, other = await here.due(), await here.due()
        await here.settle()
        assert here.egress.active[HOST] == 2

        await stop(here, due, ended_by=reason)

        assert here.egress.active[HOST] == 1
        assert [(each.job_id, each.ok, each.error) for each in await here.finished()] == [
            (due.job_id, False, "stopped")
        ]
        here.egress.answer(HOST)
        await here.settle()
        assert [each.job_id for each in await here.finished()] == [due.job_id, other.job_id]


async def test_an_attempt_that_has_not_left_is_dropped() -> None:
    """Nothing is sent, and nothing recorded."""
    async with harness() as here:
        await here.begin()
        due = await here.due(in_ms=500)
        await here.settle()
        await stop(here, due)
        await here.clock.advance(1_000)

        assert here.egress.calls == []
        assert await here.finished() == []
        assert here.service.held_count == 0


async def test_other_ends_cut_nothing_off() -> None:
    """The end of a job that expired, or that was written before ends had reasons, says nothing about a call."""
    async with harness() as here:
        await here.begin()
        here.egress.hang(HOST)
        due = await here.due()
        await here.settle()
        await stop(here, due, ended_by="expired")
        await stop(here, due, ended_by=None)

        assert here.egress.active[HOST] == 1
        here.egress.answer(HOST)


async def test_an_attempt_that_is_too_late_is_not_made() -> None:
    """At the instant from which none may start nothing is sent, and what is recorded says so; just before, it is made."""
    async with harness() as here:
        await here.begin()
        here.tables.freeze()
        for late_ms in (100, 101):
            job = await here.owner.schedule(here.clock.now())
            await here.owner.decide(
                events.due(job.job_id, job.fire_at, account=job.account, too_late_at=job.fire_at + late_ms)
            )
        await here.clock.advance(100)
        here.tables.thaw()
        await here.settle()

        outcomes = [(each.ok, each.error, each.outcome) for each in await here.finished()]
        assert sorted(outcomes, key=str) == [(False, "too_late", "too_late"), (True, None, None)]
        assert len(here.egress.calls) == 1
