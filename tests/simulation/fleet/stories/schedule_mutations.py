"""Rules about schedules, taken out by a patch of the running code: for tests/simulation/fleet/mutations.py."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import msgspec

from libs.domain import schedule
from libs.domain.calendar.zones import UTC
from libs.domain.schedule import ScheduleState
from libs.domain.schedules import runs, tick_decision
from libs.domain.state_registry import State
from libs.events import ScheduleChanged, ScheduleTicked
from libs.events.ids import repeated_tick_job_id
from services.api.handlers.schedules import schedule_backfills
from services.scheduler import decider
from tests.simulation.webhooks.mutations import patched


def tick_skipped() -> AbstractContextManager[None]:
    """A schedule's next run is the one after the next."""
    after = tick_decision.next_run

    def skip(rule: Any, schedule_id: str, at: int) -> tick_decision.NextRun:
        following = rule.next_after(at)
        return after(rule, schedule_id, at if following is None else following)

    return patched((tick_decision, "next_run", skip))


def ticks_in_utc() -> AbstractContextManager[None]:
    """An owner passes over the time zone of a rule, as a build would that does not know of it."""
    begin = decider.Decider.__init__

    def blind(self: decider.Decider, *args: Any, **options: Any) -> None:
        begin(self, *args, **(options | {"zones": lambda _: UTC}))

    return patched((decider.Decider, "__init__", blind))


def slot_fired_twice() -> AbstractContextManager[None]:
    """A back-fill gives each tick a job of its own, whether it has one already or not."""

    def another(schedule_id: str, tick_at: int) -> str:
        return repeated_tick_job_id(schedule_id, tick_at, "back-fill")

    return patched((schedule_backfills, "tick_job_id", another))


def ticks_far_ahead() -> AbstractContextManager[None]:
    """A tick is decided two seconds ahead: the pause that is answered meanwhile comes too late (as it was until ADR 0015)."""
    owed_at = decider.owed_at

    def early(state: State, *, lead_ms: int) -> int | None:
        return owed_at(state, lead_ms=2_000 if isinstance(state, ScheduleState) else lead_ms)

    return patched((decider, "owed_at", early))


def overlap_ignored() -> AbstractContextManager[None]:
    """A tick spawns its job whether a run is under way or not."""
    return patched((tick_decision, "placed", lambda *_: runs.SPAWNED))


def grace_ignored() -> AbstractContextManager[None]:
    """A run that timed out counts no longer than any other, though its target works on."""
    return patched((runs, "_grace_until", lambda more, _: more.grace_until))


def replaced_run_lives_on() -> AbstractContextManager[None]:
    """A tick that replaces a run gets its job before that run is at its end."""
    decision = runs.decision

    def at_once(state: ScheduleState, now: int) -> runs.RunDecision | None:
        more = state.more
        if more is not None and more.runs is not None and more.runs.overlap == "replace" and more.buffered:
            state = msgspec.structs.replace(state, more=msgspec.structs.replace(more, active=()))
        return decision(state, now)

    return patched((runs, "decision", at_once))


def tick_before_a_change_counts_after_it() -> AbstractContextManager[None]:
    """A tick that was decided before a change, and stands behind it in the log, counts all the same."""
    evolve = schedule._evolved

    def counted(state: ScheduleState, event: Any, position: int) -> ScheduleState:
        if isinstance(event, ScheduleTicked):
            event = msgspec.structs.replace(event, version=state.version)
        return evolve(state, event, position)

    return patched((schedule, "_evolved", counted))


def changes_overwritten() -> AbstractContextManager[None]:
    """Of two changes of a schedule that cross, the one that stands last in the log counts."""
    changed = schedule._changed

    def last_wins(state: ScheduleState, event: ScheduleChanged, position: int) -> ScheduleState:
        return changed(state, msgspec.structs.replace(event, version=state.version + 1), position)

    return patched((schedule, "_changed", last_wins))
