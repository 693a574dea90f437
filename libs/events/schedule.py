"""The events of a schedule: created, paused, resumed, deleted by its caller; ticked by its partition's owner."""

import msgspec

from libs.events.fields import Account, Instant, JobId, Retries, ScheduleId, Text
from libs.events.job import Spec


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


class SchedulePaused(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Fact: the schedule does not tick from here on. Ticks after this record are void."""

    schedule_id: ScheduleId
    at: Instant


class ScheduleResumed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Fact: the schedule ticks again, next at *next_run_at*. Ticks that were missed while it was paused are not made up for."""

    schedule_id: ScheduleId
    at: Instant
    next_run_at: Instant


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
    """

    schedule_id: ScheduleId
    at: Instant
    tick_at: Instant
    job_id: JobId
    next_run_at: Instant | None = None
    missed_count: int = 0
