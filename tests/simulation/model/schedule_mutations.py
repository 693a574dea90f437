"""Mutations of the protocol's rules about schedules; tests/simulation/model/mutations.py says what a mutation is."""

from __future__ import annotations

from typing import Any

import msgspec

from libs.domain.calendar.zones import UTC
from libs.domain.job import JobState
from libs.domain.ledger import Applied, Ledger, Verdict
from libs.domain.schedule import ScheduleState
from libs.domain.state_registry import State
from libs.events import (
    Event,
    JobFinished,
    ScheduleAutopaused,
    ScheduleChanged,
    ScheduleSpawned,
    ScheduleTicked,
    Unknown,
    Unreadable,
)
from services.scheduler.decider import Decider
from tests.simulation.model.actors import Owner

Item = Event | Unknown | Unreadable

# A tick that does not move the schedule on.


class TicksInPlace(Ledger):
    def apply(self, position: int, item: Item, stamp: str | None) -> Applied:
        before = self.states.get(item.schedule_id) if isinstance(item, ScheduleTicked) else None
        applied = super().apply(position, item, stamp)
        if before is not None and before.schedule_id in applied.changed:
            stuck = msgspec.structs.replace(applied.changed[before.schedule_id], next_run_at=before.next_run_at)
            self.states[before.schedule_id] = stuck
            return msgspec.structs.replace(applied, changed={**applied.changed, before.schedule_id: stuck})
        return applied


class OwnerTickingInPlace(Owner):
    ledger_type = TicksInPlace


# A tick decided two seconds ahead of the lead, as if it were not the call that it leads to.


class DeciderTickingAhead(Decider):
    def __init__(self, *args: Any, lead_ms: int, **options: Any) -> None:
        super().__init__(*args, lead_ms=lead_ms + 2_000, **options)


class OwnerTickingAhead(Owner):
    decider_type = DeciderTickingAhead


# Changes of a schedule that do not ask what they change: the last one wins, and the one that was answered is lost.


class ChangesLastWins(Ledger):
    def apply(self, position: int, item: Item, stamp: str | None) -> Applied:
        state = self.states.get(item.schedule_id) if isinstance(item, ScheduleChanged) else None
        if isinstance(item, ScheduleChanged) and isinstance(state, ScheduleState):
            item = msgspec.structs.replace(item, version=state.version + 1)
        return super().apply(position, item, stamp)


class OwnerChangingLastWins(Owner):
    ledger_type = ChangesLastWins


# A tick that was decided before a change, and stands behind it in the log, counts all the same.


class TicksOfAnyVersion(Ledger):
    def apply(self, position: int, item: Item, stamp: str | None) -> Applied:
        state = self.states.get(item.schedule_id) if isinstance(item, ScheduleTicked) else None
        if isinstance(item, ScheduleTicked) and isinstance(state, ScheduleState):
            item = msgspec.structs.replace(item, version=state.version)
        return super().apply(position, item, stamp)


class OwnerTickingByAnyVersion(Owner):
    ledger_type = TicksOfAnyVersion


# The job of a tick takes the spec that its schedule began with, whatever changed since.


class TicksWithFirstSpec(Ledger):
    def apply(self, position: int, item: Item, stamp: str | None) -> Applied:
        applied = super().apply(position, item, stamp)
        job = applied.changed.get(item.job_id) if isinstance(item, ScheduleTicked) else None
        if isinstance(job, JobState):
            first = msgspec.structs.replace(job, shared_spec_id=None)
            self.states[job.job_id] = first
            return msgspec.structs.replace(applied, changed={**applied.changed, job.job_id: first})
        return applied


class OwnerTickingWithFirstSpec(Owner):
    ledger_type = TicksWithFirstSpec


# A time zone that is passed over, as an older build would that took the record for one that it knows.


class DeciderInUtc(Decider):
    def __init__(self, *args: Any, zones: object, **options: Any) -> None:
        super().__init__(*args, zones=lambda _: UTC, **options)


class OwnerInUtc(Owner):
    decider_type = DeciderInUtc


# After an outage every missed tick is made up for, not the latest alone.


class DeciderMakingUpForAll(Decider):
    def _commit(self, owner_id: str, state: State, now: int, jitter: float) -> Event:
        if not isinstance(state, ScheduleState):
            return super()._commit(owner_id, state, now, jitter)
        decision = super()._commit(owner_id, state, min(now, state.next_run_at or now), jitter)
        return msgspec.structs.replace(decision, at=now)


class OwnerMakingUpForAll(Owner):
    decider_type = DeciderMakingUpForAll


# What is made up for after an outage has no bound.


class DeciderCatchingUpForever(Decider):
    def _commit(self, owner_id: str, state: State, now: int, jitter: float) -> Event | None:
        if isinstance(state, ScheduleState) and state.more is not None:
            state = msgspec.structs.replace(state, more=msgspec.structs.replace(state.more, is_catching_up=True))
        return super()._commit(owner_id, state, now, jitter)


class OwnerCatchingUpForever(Owner):
    decider_type = DeciderCatchingUpForever


# A tick overtaken by a pause and a resume counted as a breach.


class CountsOvertakenTicks(Ledger):
    def apply(self, position: int, item: Item, stamp: str | None) -> Applied:
        applied = super().apply(position, item, stamp)
        if isinstance(item, ScheduleTicked) and applied.verdict is Verdict.REPEATED:
            schedule = self.states.get(item.schedule_id)
            if schedule is not None and schedule.is_active:
                return Applied(Verdict.ILLEGAL, item)
        return applied


class OwnerCountingOvertakenTicks(Owner):
    ledger_type = CountsOvertakenTicks


# A tick that takes no notice of the run that is under way.


class DeciderIgnoringRuns(Decider):
    def _commit(self, owner_id: str, state: State, now: int, jitter: float) -> Event | None:
        if isinstance(state, ScheduleState) and state.more is not None and not state.more.owes_now:
            state = msgspec.structs.replace(state, more=msgspec.structs.replace(state.more, active=()))
        return super()._commit(owner_id, state, now, jitter)


class OwnerIgnoringRuns(Owner):
    decider_type = DeciderIgnoringRuns


# A run that timed out counts no longer than any other.


class DeciderIgnoringGraces(Decider):
    def _commit(self, owner_id: str, state: State, now: int, jitter: float) -> Event | None:
        if isinstance(state, ScheduleState) and state.more is not None:
            state = msgspec.structs.replace(state, more=msgspec.structs.replace(state.more, grace_until=None))
        return super()._commit(owner_id, state, now, jitter)


class OwnerIgnoringGraces(Owner):
    decider_type = DeciderIgnoringGraces


# The end of a run that its schedule is not told of.


class ForgetsEndsOfRuns(Ledger):
    def apply(self, position: int, item: Item, stamp: str | None) -> Applied:
        if isinstance(item, JobFinished):
            item = msgspec.structs.replace(item, schedule_id=None)
        return super().apply(position, item, stamp)


class OwnerForgettingEndsOfRuns(Owner):
    ledger_type = ForgetsEndsOfRuns


# A slot that waits on after it got its job.


class KeepsSlots(Ledger):
    def apply(self, position: int, item: Item, stamp: str | None) -> Applied:
        applied = super().apply(position, item, stamp)
        state = applied.changed.get(item.schedule_id) if isinstance(item, ScheduleSpawned) else None
        if isinstance(item, ScheduleSpawned) and isinstance(state, ScheduleState) and state.more is not None:
            more = msgspec.structs.replace(state.more, buffered=(item.tick_at,), active=(), owes_now=True)
            self.states[item.schedule_id] = kept = msgspec.structs.replace(state, more=more)
            return msgspec.structs.replace(applied, changed={**applied.changed, item.schedule_id: kept})
        return applied


class OwnerFiringSlotsTwice(Owner):
    ledger_type = KeepsSlots


# Failures do not pause a schedule.


class DeciderNeverPausing(Decider):
    def _commit(self, owner_id: str, state: State, now: int, jitter: float) -> Event | None:
        decision = super()._commit(owner_id, state, now, jitter)
        if isinstance(decision, ScheduleAutopaused):
            self._unread.read_back(owner_id)
            return None
        return decision


class OwnerNeverPausing(Owner):
    decider_type = DeciderNeverPausing
