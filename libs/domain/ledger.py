"""
Ledger: the fold of one partition, record by record.

It joins admission and evolve, and says of each record what it did. The owner folds its working set with it, a rebuild folds
everything with it, and the two must agree: there is no second way to read the log.

Invariants
    1. Positions are contiguous: the next record stands at `position + 1`.
    2. `apply` never raises for what stands in the log, except `MustUnderstand`, at which a reader has to stop.
    3. A fact that repeats changes nothing; an admitted decision that does not apply is counted as illegal, never raised.
    4. A record that cannot be read stops its own job or schedule (`held`) and nothing else.
"""

from enum import Enum
from typing import assert_never

import msgspec

from libs.domain import job as job_fold
from libs.domain import schedule as schedule_fold
from libs.domain.admission import admits_claim, admits_decision
from libs.domain.job import JobState
from libs.domain.schedule import ScheduleState
from libs.events import (
    AttemptDue,
    AttemptFinished,
    Claim,
    Event,
    JobCancelled,
    JobCancelRequested,
    JobFinished,
    JobRetryScheduled,
    JobScheduled,
    LogBarrier,
    OwnerClaimed,
    ScheduleCreated,
    ScheduleDeleted,
    SchedulePaused,
    ScheduleResumed,
    ScheduleTicked,
    Unknown,
    Unreadable,
    WebhookFinished,
)
from libs.events.codec import kind_of


class MustUnderstand(Exception):
    """A record says that who does not understand it must stop reading; a newer build has to go on from here."""


class GapInLog(Exception):
    """The record after position n does not stand at n + 1: the log was truncated or is corrupt. Stop, do not guess."""


class Verdict(Enum):
    """What a record did to the fold."""

    APPLIED = "applied"  # a state changed
    REPEATED = "repeated"  # a fact that says nothing new
    VOID = "void"  # a decision or claim that is not admitted
    ILLEGAL = "illegal"  # an admitted decision that the state forbids: an invariant breach
    POISON = "poison"  # bytes that cannot be read
    SKIPPED = "skipped"  # an unknown type that may be skipped


class Applied(msgspec.Struct, frozen=True, gc=False):
    """
    What one record did.

    Args:
        verdict: see `Verdict`.
        event: the event, when the record held one.
        job, schedule: the new states, where they changed.
    """

    verdict: Verdict
    event: Event | None = None
    job: JobState | None = None
    schedule: ScheduleState | None = None


_SKIPPED = Applied(Verdict.SKIPPED)


class Ledger:
    """The states of one partition's jobs and schedules as of `position`, and the claim admitted there."""

    def __init__(self, partition: int, *, position: int = -1, claim: Claim | None = None) -> None:
        """Start a fold of *partition* that has read up to and including *position*, under *claim*."""
        self.partition = partition
        self.position = position
        self.claim = claim
        self.jobs: dict[str, JobState] = {}
        self.schedules: dict[str, ScheduleState] = {}

    def apply(self, position: int, item: Event | Unknown | Unreadable, stamp: str | None) -> Applied:
        """
        Fold the record at *position*; *stamp* is its claim header.

        Every job and schedule that the record names must be in `jobs` and `schedules` if it exists at all (see `names`).

        Raises:
            GapInLog: *position* is not the next one.
            MustUnderstand: the record is of an unknown type that may not be skipped.
        """
        if position != self.position + 1:
            raise GapInLog(f"partition {self.partition}: after position {self.position} came {position}")
        if isinstance(item, Unknown):
            if item.must_understand:
                raise MustUnderstand(f"partition {self.partition}, position {position}: {item.type} v{item.version}")
            self.position = position
            return _SKIPPED
        self.position = position
        if isinstance(item, Unreadable):
            return self._hold(item)
        if isinstance(item, OwnerClaimed):
            if not admits_claim(self.claim, item):
                return Applied(Verdict.VOID, item)
            self.claim = Claim(item.epoch, item.nonce)
            return Applied(Verdict.APPLIED, item)
        decision = kind_of(item).role == "decision"
        if decision and not admits_decision(self.claim, stamp):
            return Applied(Verdict.VOID, item)
        applied = self._evolve(position, item)
        if applied is not None:
            return applied
        if decision and not _is_late_tick(item, self.jobs, self.schedules):
            return Applied(Verdict.ILLEGAL, item)
        return Applied(Verdict.REPEATED, item)

    def _evolve(self, position: int, event: Event) -> Applied | None:
        """Return what *event* changed, or None when it does not apply."""
        match event:
            case JobScheduled():
                if event.job_id in self.jobs:
                    return None
                return self._job(event, job_fold.create(event, position))
            case (
                AttemptDue()
                | AttemptFinished()
                | JobRetryScheduled()
                | JobFinished()
                | JobCancelRequested()
                | JobCancelled()
                | WebhookFinished()
            ):
                old_job = self.jobs.get(event.job_id)
                if old_job is None:
                    return None
                new_job = job_fold.evolve(old_job, event, position)
                return None if new_job is old_job else self._job(event, new_job)
            case ScheduleCreated():
                if event.schedule_id in self.schedules:
                    return None
                return self._schedule(event, schedule_fold.create(event, position))
            case SchedulePaused() | ScheduleResumed() | ScheduleDeleted():
                old = self.schedules.get(event.schedule_id)
                if old is None:
                    return None
                new = schedule_fold.evolve(old, event, position)
                return None if new is old else self._schedule(event, new)
            case ScheduleTicked():
                return self._tick(event, position)
            case LogBarrier():
                return Applied(Verdict.APPLIED, event)
            case OwnerClaimed():  # pragma: no cover - `apply` has dealt with it
                return None
            case _:  # pragma: no cover
                assert_never(event)

    def _tick(self, event: ScheduleTicked, position: int) -> Applied | None:
        old = self.schedules.get(event.schedule_id)
        if old is None:
            return None
        new = schedule_fold.evolve(old, event, position)
        if new is old:
            return None
        self.schedules[event.schedule_id] = new
        if event.job_id in self.jobs:
            return Applied(Verdict.APPLIED, event, schedule=new)
        spawned = job_fold.spawn(
            event,
            position,
            account=old.account,
            max_retries=old.max_retries,
            timeout_ms=old.timeout_ms,
            has_webhook=old.has_webhook,
        )
        self.jobs[event.job_id] = spawned
        return Applied(Verdict.APPLIED, event, spawned, new)

    def _hold(self, item: Unreadable) -> Applied:
        job = self.jobs.get(item.key)
        if job is not None:
            held = job_fold.hold(job, item)
            self.jobs[item.key] = held
            return Applied(Verdict.POISON, None, held if held is not job else None)
        schedule = self.schedules.get(item.key)
        if schedule is not None:
            stopped = schedule_fold.hold(schedule, item)
            self.schedules[item.key] = stopped
            return Applied(Verdict.POISON, None, None, stopped if stopped is not schedule else None)
        return Applied(Verdict.POISON)

    def _job(self, event: Event, state: JobState) -> Applied:
        self.jobs[state.job_id] = state
        return Applied(Verdict.APPLIED, event, state)

    def _schedule(self, event: Event, state: ScheduleState) -> Applied:
        self.schedules[state.schedule_id] = state
        return Applied(Verdict.APPLIED, event, None, state)


def names(item: Event | Unknown | Unreadable) -> tuple[str, ...]:
    """Return the ids of the jobs and schedules whose states `Ledger.apply` needs for *item*."""
    match item:
        case Unknown() | OwnerClaimed() | LogBarrier():
            return ()
        case Unreadable():
            return (item.key,) if item.key else ()
        case ScheduleTicked():
            return (item.schedule_id, item.job_id)
        case ScheduleCreated() | SchedulePaused() | ScheduleResumed() | ScheduleDeleted():
            return (item.schedule_id,)
        case _:
            return (item.job_id,)


def _is_late_tick(event: Event, jobs: dict[str, JobState], schedules: dict[str, ScheduleState]) -> bool:
    """
    A tick that was decided before its owner read of a pause, a resume or a deletion is void, not a breach.

    On a schedule that is active again this is told by what changed it last: was it the very tick that spawned the job which this
    tick names, the tick is made twice, and that is a breach; was it anything else, this tick was overtaken.
    """
    if not isinstance(event, ScheduleTicked):
        return False
    schedule = schedules.get(event.schedule_id)
    if schedule is None:
        return False
    job = jobs.get(event.job_id)
    return not schedule.is_active or job is None or job.offsets[:1] != (schedule.changed_at,)
