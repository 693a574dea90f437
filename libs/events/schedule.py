"""
The events of a schedule: created or defined, changed, paused, resumed, deleted by its caller; ticked by its partition's owner.

`schedule.created` says all there is to say of a five-field rule in UTC. Any other schedule is written as `schedule.defined`, which
an older build must not pass over: it would tick by another rule.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from libs.events.fields import Account, Instant, JobId, Labels, Retries, ScheduleId, Text
from libs.events.job import Spec
from libs.events.retry_policy import JobTerms

Seconds = Annotated[int, Meta(ge=1, le=31_536_000)]
Count = Annotated[int, Meta(ge=0, le=10**12)]


class ScheduleRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    When a schedule ticks, as it was asked for: a cron in a time zone, or an interval.

    Args:
        cron: five fields, of the larger grammar; None if it is an interval.
        every_s: seconds between two ticks; None if it is a cron.
        anchor_at: one of the ticks of the interval.
        zone: whose wall clock the cron speaks of.
        gap: whether a fixed-time cron ticks when a gap ends in which its minute lies.
        fold: whether it ticks the first or both times that clocks show its minute.
        starts_at: first instant at which it may tick.
        ends_at: last instant at which it may tick.
        exclude: dates without ticks, each `2026-12-24` or `2026-12-24/2026-12-26`; on the wall clock, of an interval in UTC.
        spread_s: calls are later than their ticks by less than this.
        spread_by: the same delay at each tick (`schedule`), or another one (`run`).
    """

    cron: Text | None = None
    every_s: Seconds | None = None
    anchor_at: Instant = 0
    zone: Text = "UTC"
    gap: Literal["shift", "skip"] = "shift"
    fold: Literal["first", "both"] = "first"
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    exclude: tuple[Text, ...] = ()
    spread_s: Seconds | None = None
    spread_by: Literal["schedule", "run"] = "schedule"


class SchedulePolicy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    What becomes of ticks that are decided more than a minute late, as after an outage.

    Args:
        misfire: the latest is made up for (`fire_once`), none (`skip`), or all (`fire_all`).
        window_s: ticks older than this are not made up for.
        catchup_max: of ticks that are all made up for, only so many of the newest.
    """

    misfire: Literal["skip", "fire_once", "fire_all"] = "fire_once"
    window_s: Seconds | None = None
    catchup_max: Annotated[int, Meta(ge=1, le=500)] = 100


class RunPolicy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    What becomes of ticks while a run is under way, and of a schedule whose runs fail.

    Args:
        overlap: a tick while a run is under way spawns its job (`allow`), is skipped (`skip`), waits for the end of that run
            (`buffer_one`: only the latest; `buffer_all`: up to *buffer_max*), or stops that run and takes its place (`replace`).
        buffer_max: ticks that may wait.
        pause_after_failures: the schedule pauses itself after so many failed runs in a row; 0: it never does.
        grace_s: a run whose last call timed out counts as under way for so many seconds more: its target may still be at it.
    """

    overlap: Literal["allow", "skip", "buffer_one", "buffer_all", "replace"] = "allow"
    buffer_max: Annotated[int, Meta(ge=1, le=100)] = 10
    pause_after_failures: Annotated[int, Meta(ge=0, le=100)] = 0
    grace_s: Annotated[int, Meta(ge=0, le=3_600)] = 0


class ScheduleCreated(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Fact: a cron rule was asked for. First wins by *schedule_id*. The first run is recorded, never recomputed.

    Args:
        cron: the rule, five fields, UTC.
    """

    schedule_id: ScheduleId
    account: Account
    at: Instant
    spec: Spec
    cron: Text
    next_run_at: Instant
    max_retries: Retries = 0


class ScheduleDefined(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Fact: a schedule was asked for that `schedule.created` cannot describe. First wins by *schedule_id*.

    Args:
        rule: when it ticks.
        next_run_at: when the first call is made.
        next_tick_at: the first tick, if the call is made later than it.
        zone_data: version of the zone data by which these two were computed.
        max_runs: it ends with this many ticks.
        key: a name of the caller's own, of which one schedule lives at a time (version 2).
        policy: what becomes of late ticks, if not only the latest is made up for (version 3).
        terms: what its jobs inherit besides (version 4).
        runs: what becomes of ticks while a run is under way, and after failures (version 6).
        labels: its jobs have the same (version 8).
    """

    schedule_id: ScheduleId
    account: Account
    at: Instant
    spec: Spec
    rule: ScheduleRule
    next_run_at: Instant
    next_tick_at: Instant | None = None
    zone_data: Text = ""
    max_runs: Count | None = None
    max_retries: Retries = 0
    key: Text | None = None
    policy: SchedulePolicy | None = None
    terms: JobTerms | None = None
    runs: RunPolicy | None = None
    labels: Labels | None = None


class SchedulePaused(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Fact: the schedule does not tick from here on, or not until an instant. Ticks of before are void.

    Args:
        note: why, for people (version 2).
        until: it goes on by itself at this instant (version 2). Then the following three say how.
        next_run_at: when the first call from *until* on is made (version 2).
        next_tick_at: the first tick from *until* on, if the call is made later than it (version 2).
        zone_data: version of the zone data by which these two were computed (version 2).
        version: of the schedule by which they were computed (version 2). With *until*, void if the schedule was changed meanwhile.
    """

    schedule_id: ScheduleId
    at: Instant
    note: Text | None = None
    until: Instant | None = None
    next_run_at: Instant | None = None
    next_tick_at: Instant | None = None
    zone_data: Text = ""
    version: Count = 0


class ScheduleResumed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Fact: the schedule ticks again, next at *next_run_at*. If that has gone by, the ticks of the pause are late ticks.

    Args:
        next_tick_at: the next tick, if the call is made later than it (version 2).
        zone_data: version of the zone data by which these two were computed (version 2).
        version: of the schedule by whose rule they were computed (version 2); 0 is that of `schedule.created`. Void if the schedule
            was changed meanwhile.
    """

    schedule_id: ScheduleId
    at: Instant
    next_run_at: Instant
    next_tick_at: Instant | None = None
    zone_data: Text = ""
    version: Count = 0


class ScheduleChanged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Fact: the schedule is another one from here on. It counts only if it makes the next version, so of two the first counts.

    Jobs that were spawned before keep what they were spawned with.

    Args:
        version: that it makes: one more than that of the schedule before.
        change_id: random, so that its writer sees whether it counted.
        rule: when the schedule ticks from here on.
        max_runs: it ends with this many ticks.
        policy: what becomes of late ticks from here on, if not only the latest is made up for (version 2).
        spec: what to call from here on; none: as before.
        terms: what the jobs inherit from here on (version 3).
        runs: what becomes of ticks while a run is under way, and after failures, from here on (version 4).
        labels: of it and of its jobs, from here on (version 6).
        after_at: the rule or *max_runs* is another one, and the next run is the first whose tick is after this instant. Void if a
            later tick was made meanwhile. None: the next run stays.
        next_run_at: when that call is made; None if there is none.
        next_tick_at: its tick, if the call is made later than it.
        zone_data: version of the zone data by which these two were computed.
    """

    schedule_id: ScheduleId
    at: Instant
    version: Count
    change_id: Text
    rule: ScheduleRule
    max_runs: Count | None = None
    max_retries: Retries = 0
    spec: Spec | None = None
    after_at: Instant | None = None
    next_run_at: Instant | None = None
    next_tick_at: Instant | None = None
    zone_data: Text = ""
    policy: SchedulePolicy | None = None
    terms: JobTerms | None = None
    runs: RunPolicy | None = None
    labels: Labels | None = None


class ScheduleDeleted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Fact: the schedule is deleted. Ticks after this record are void."""

    schedule_id: ScheduleId
    at: Instant


class ScheduleTicked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Decision: the schedule spawns *job_id*, due at *tick_at*, and runs next at *next_run_at*.

    This one event both moves the schedule on and creates the job, so no crash can come between the two.
    *next_run_at* is None when the rule does not fire again within five years.

    Args:
        tick_at: the instant of the tick, which is the job's.
        job_id: the job that it spawns. It is computed from schedule and instant, so a tick that is repeated means the same job.
        missed_count: how many ticks were skipped; of several missed ticks only the latest is made up for.
        fire_at: when the call is made, if it is later than the tick (version 2).
        next_tick_at: the next tick, if its call is made later than it (version 2).
        zone_data: version of the zone data by which the next tick was computed (version 2).
        version: of the schedule by which this was decided (version 2); 0 is that of `schedule.created`. Void if the schedule was
            changed meanwhile.
        action: the tick spawns the job, is skipped, or waits (`buffered`) (version 3). If it is skipped without a *reason*, it is
            too late: the last of those that were missed.
        trigger: the tick is made in time (`schedule`), or more than a minute late (`catchup`) (version 3).
        missed: the ticks that were missed, the oldest first, at most 100 of them (version 3).
        local_time: what a clock on the wall shows at *tick_at*, such as `2027-03-28T03:00:00+02:00[Europe/Berlin]`, if the rule
            has a time zone other than UTC and a job is spawned (version 4).
        reason: why the tick spawns nothing now: a run is under way (`overlap`), or as many ticks wait as may (`buffer_full`)
            (version 5).
        skipped: the ticks that are left out for that reason: this one, or the one that waited until now (version 5).
    """

    schedule_id: ScheduleId
    at: Instant
    tick_at: Instant
    job_id: JobId
    next_run_at: Instant | None = None
    missed_count: int = 0
    fire_at: Instant | None = None
    next_tick_at: Instant | None = None
    zone_data: Text = ""
    version: Count = 0
    action: Literal["spawned", "skipped", "buffered"] = "spawned"
    trigger: Literal["schedule", "catchup"] = "schedule"
    missed: tuple[Instant, ...] = ()
    local_time: Text | None = None
    reason: Literal["overlap", "buffer_full"] | None = None
    skipped: tuple[Instant, ...] = ()


class ScheduleSpawned(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Decision: a tick that waited for the end of a run spawns *job_id* now.

    Args:
        tick_at: the instant of the tick, which is the job's.
        job_id: the job that it spawns; the same that the tick would have spawned in time.
        fire_at: when the call is made.
        local_time: what a clock on the wall shows at *tick_at*, if the rule has a time zone other than UTC.
    """

    schedule_id: ScheduleId
    at: Instant
    tick_at: Instant
    job_id: JobId
    fire_at: Instant
    local_time: Text | None = None


class ScheduleRunStopped(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Decision: *job_id*, a run that is under way, is to end, because a later tick takes its place.

    The job's own last decision follows, as after `job.stop_requested`.
    """

    schedule_id: ScheduleId
    at: Instant
    job_id: JobId


class ScheduleAutopaused(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Decision: the schedule does not tick from here on, because *failures* runs failed in a row.

    Args:
        failures: how many runs failed since the last one that did not.
        version: of the schedule by which this was decided. Void if the schedule was changed meanwhile.
    """

    schedule_id: ScheduleId
    account: Account
    at: Instant
    failures: Count
    version: Count


class ScheduleRealigned(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Decision: newer zone data says that the schedule runs next at another instant. What has ticked stays ticked.

    Args:
        was_tick_at: the next tick as it was.
        was_zone_data: version of the zone data by which that was computed.
        next_run_at: when the next call is made.
        next_tick_at: the next tick, if its call is made later than it.
        zone_data: version of the zone data by which these two were computed.
        version: of the schedule by which this was decided. Void if the schedule was changed meanwhile.
    """

    schedule_id: ScheduleId
    at: Instant
    was_tick_at: Instant
    was_zone_data: Text
    next_run_at: Instant
    next_tick_at: Instant | None = None
    zone_data: Text
    version: Count
