"""
Heartbeat: a job that Fliq gives itself, to see that jobs run from end to end. Pure.

Once in each period a job of the account `ACCOUNT` is due, in one partition after the other. It passes through everything that
any job passes through: log, decider, dispatcher, log. The dispatcher answers `URL` itself and makes no call. A caller cannot
create such a job, because the API takes http and https only. No token belongs to the account, so no caller sees it in a list, a
read or the usage.

The id is made of the instant and the partition. If two processes create the same heartbeat, it is the same job.
"""

from typing import Final

from libs.events import JobScheduled, Spec
from libs.events.ids import heartbeat_job_id

ACCOUNT: Final = "_fliq"  # FLIQ_BOOTSTRAP_TOKENS refuses it
URL: Final = "fliq://heartbeat/"
AHEAD_MS: Final = 2_000  # how long before its instant the job is created
TIMEOUT_MS: Final = 10_000


def slot_after(now: int, period_ms: int) -> int:
    """Return the first instant of a heartbeat whose job can still be created `AHEAD_MS` before it."""
    return ((now + AHEAD_MS) // period_ms + 1) * period_ms


def partition_of_slot(slot_at: int, period_ms: int, partition_count: int) -> int:
    """Return the partition that has the heartbeat at *slot_at*: each has one in *partition_count* periods."""
    return slot_at // period_ms % partition_count


def heartbeat(slot_at: int, partition: int, now: int) -> JobScheduled:
    """Return the job that is due at *slot_at*."""
    return JobScheduled(
        job_id=heartbeat_job_id(slot_at, partition),
        account=ACCOUNT,
        at=now,
        spec=Spec(url=URL, timeout_ms=TIMEOUT_MS),
        fire_at=slot_at,
    )
