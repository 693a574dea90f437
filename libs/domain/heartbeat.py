"""
Heartbeat: the job that Fliq gives itself, to see that jobs come through. Pure.

Once in a period a job of the account `ACCOUNT` is due, in one partition after the other. It goes the way of every job: log,
decider, dispatcher, log. Its target is no address: the dispatcher answers `URL` itself, and nobody else can ask for it, since the
API takes http and https only. No token belongs to the account, so no list, no read and no usage of anybody's shows it.

The id is made of the instant and the partition: two that give the same heartbeat give the same job.
"""

from typing import Final

from libs.events import JobScheduled, Spec
from libs.events.ids import heartbeat_job_id

ACCOUNT: Final = "_fliq"  # FLIQ_BOOTSTRAP_TOKENS refuses it
URL: Final = "fliq://heartbeat/"
AHEAD_MS: Final = 2_000  # how long before its instant it is asked for
TIMEOUT_MS: Final = 10_000


def slot_after(now: int, period_ms: int) -> int:
    """Return the first instant of a heartbeat that can still be asked for `AHEAD_MS` before it."""
    return ((now + AHEAD_MS) // period_ms + 1) * period_ms


def partition_of_slot(slot_at: int, period_ms: int, partition_count: int) -> int:
    """Return whose turn it is: every partition has one in *partition_count* periods."""
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
