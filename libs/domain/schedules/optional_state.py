"""
Optional state: the part of a schedule's state that `schedule.created` cannot describe. It is the column `schedules.more`.

A schedule gets it from the event that creates it with such a field, or from its first change.
"""

from typing import Final

import msgspec

from libs.events import RunPolicy, SchedulePolicy, ScheduleRule
from libs.events.fields import Labels
from libs.events.retry_policy import JobTerms

CHANGES_KEPT: Final = 8  # ids of the last changes, by which their writers see that they counted
RECORDS_KEPT: Final = 64  # positions of the last records that spawned no job, for the timeline


class ScheduleMore(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    The optional part of a schedule's state.

    Only events that older builds do not read change it, so that no row of theirs is other than the fold: ticks and resumes of such
    a schedule name its version, which is never 0.

    Args:
        rule: when it ticks.
        version: 1, and one more with each change.
        next_tick_at: the next tick, if its call is made later than it; None: at `next_run_at`.
        zone_data: version of the zone data by which the next tick was computed.
        max_runs: it ends with this many ticks.
        run_count, missed_count: ticks that spawned a job, and those that were left out after an outage.
        change_ids: of the last changes, the newest last, at most `CHANGES_KEPT`.
        paused_until: the schedule goes on by itself at this instant, with `next_run_at`; None once it has gone on.
        note: why it was paused.
        key: a name of the caller's own.
        policy: what becomes of late ticks, if not only the latest is made up for.
        is_catching_up: the ticks of an outage are being made up for, one after the other.
        terms: what its jobs inherit besides its request.
        since_at: of a rule with a time zone: the next tick is the first after this instant, if that is later than the last run.
        runs: what becomes of ticks while a run is under way, and after failures; None: nothing.
        active: the jobs under way, if *runs* asks for them; at most `ACTIVE_MAX` (libs/domain/schedules/runs.py).
        stopping: those of them that are asked to end.
        buffered: ticks that wait for the end of a run, the oldest first.
        last_slot_at: the last tick that spawned nothing at its instant; 0 if there is none.
        skipped_count: ticks that were left out because a run was under way.
        failures_in_row: runs that failed since the last one that did not.
        grace_until: until then a run that ended with a call that timed out counts as under way.
        owes_now: its owner owes it something at once, or at the end of a grace. The owner that comes next finds it by this.
        offsets: positions of the last records about it that spawned no job, oldest first, at most `RECORDS_KEPT`.
        labels: by which its caller finds it and its jobs again.
    """

    rule: ScheduleRule
    version: int = 1
    next_tick_at: int | None = None
    zone_data: str = ""
    max_runs: int | None = None
    run_count: int = 0
    missed_count: int = 0
    change_ids: tuple[str, ...] = ()
    paused_until: int | None = None
    note: str | None = None
    key: str | None = None
    policy: SchedulePolicy | None = None
    is_catching_up: bool = False
    terms: JobTerms | None = None
    since_at: int | None = None
    runs: RunPolicy | None = None
    active: tuple[str, ...] = ()
    stopping: tuple[str, ...] = ()
    buffered: tuple[int, ...] = ()
    last_slot_at: int = 0
    skipped_count: int = 0
    failures_in_row: int = 0
    grace_until: int | None = None
    owes_now: bool = False
    offsets: tuple[int, ...] = ()
    labels: Labels | None = None


def since(more: ScheduleMore, at: int) -> ScheduleMore:
    """Return *more* with the instant after which the next tick was looked for, if that may be asked again."""
    if more.rule.zone == "UTC":
        return more
    return msgspec.structs.replace(more, since_at=at)
