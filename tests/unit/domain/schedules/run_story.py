"""A schedule whose runs take a while, folded and decided as its owner does, for the tests of this folder."""

from __future__ import annotations

from typing import Any

from libs.domain.job import JobState, JobStatus
from libs.domain.ledger import Ledger, Verdict
from libs.domain.schedule import ScheduleState
from libs.domain.schedules.optional_state import ScheduleMore
from libs.domain.state_registry import decide, owed_at
from libs.events import (
    Claim,
    Event,
    RunPolicy,
    ScheduleRule,
    ScheduleTicked,
)
from libs.events.codec import kind_of
from libs.events.ids import tick_job_id
from tests.fakes import events
from tests.property.calendar.made_zones import find
from tests.unit.domain.schedules.schedule_states import ID, MINUTE, NOW

LEAD_MS = 75
CLAIM = Claim(1, "0123456789abcdef")
TERMINAL = {JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED}


class Story:
    """A schedule of every minute whose runs take a while, folded and decided as its owner does."""

    def __init__(self, runs: RunPolicy | None, **changes: Any) -> None:
        self.ledger = Ledger(0, claim=CLAIM)
        self.now = NOW
        self.said: list[Event] = []
        rule = ScheduleRule(cron="* * * * *")
        changes = {"rule": rule, "next_run_at": NOW + MINUTE, "runs": runs} | changes
        self.tell(events.defined(ID, NOW, **changes))

    @property
    def schedule(self) -> ScheduleState:
        state = self.ledger.states[ID]
        assert isinstance(state, ScheduleState)
        return state

    @property
    def more(self) -> ScheduleMore:
        assert self.schedule.more is not None
        return self.schedule.more

    def job(self, job_id: str) -> JobState:
        state = self.ledger.states[job_id]
        assert isinstance(state, JobState)
        return state

    def tell(self, event: Event) -> Verdict:
        """Fold *event*."""
        self.said.append(event)
        stamp = str(CLAIM) if kind_of(event).role == "decision" else None
        return self.ledger.apply(self.ledger.position + 1, event, stamp).verdict

    def until(self, at: int) -> None:
        """Let time pass up to *at*, and decide whatever is owed on the way."""
        for _ in range(1_000):
            owed = [
                (owes_at, any_id)
                for any_id, state in self.ledger.states.items()
                if (owes_at := owed_at(state, lead_ms=LEAD_MS)) is not None and owes_at <= at
            ]
            if not owed:
                break
            owes_at, any_id = min(owed)
            self.now = max(self.now, owes_at)
            decision = decide(self.ledger.states[any_id], self.now, jitter=0.5, retry_base_s=30, zones=find)
            assert decision is not None
            assert self.tell(decision) is Verdict.APPLIED
        self.now = max(self.now, at)

    def end(self, job_id: str, *, ok: bool = True) -> None:
        """Report how the call of a run went; its end is decided."""
        job = self.job(job_id)
        error = {} if ok else {"error": "500", "status_code": 500}
        self.tell(events.finished(job_id, self.now, job.attempt, ok=ok, **error))
        self.until(self.now)

    @property
    def running(self) -> list[str]:
        jobs = self.ledger.states.of(JobState).values()
        return [job.job_id for job in jobs if job.status not in TERMINAL]

    def ticks(self) -> list[tuple[int, str, str | None]]:
        """Return the minute of each tick, what became of it, and why."""
        ticked = (event for event in self.said if isinstance(event, ScheduleTicked))
        return [((event.tick_at - NOW) // MINUTE, event.action, event.reason) for event in ticked]

    def spawned(self) -> list[int]:
        """Return the minutes of the ticks that have jobs, in the order in which they came."""
        jobs = self.ledger.states.of(JobState).values()
        return [(job.scheduled_at - NOW) // MINUTE for job in jobs if job.schedule_id == ID]


def slot(minute: int) -> str:
    """Return the job of the tick at *minute*."""
    return tick_job_id(ID, NOW + minute * MINUTE)
