"""
Choice: how far an owner moves the floors of its partition. Pure.

The settings say for how long ended jobs are kept. While there is too little room (`is_pressed`), the history is shortened by an
hour at each look, the oldest first, but never into the last day: what ended since then is kept whatever happens. Of answers then
only those of the last day are kept.
"""

from typing import Final

import msgspec

from libs.domain.history.floors import Floors

DAY_MS: Final = 86_400_000
HEARTBEATS_MS: Final = 3_600_000  # ended heartbeats are kept for an hour
LEAST_MS: Final = (
    DAY_MS  # of history, however little room there is; callers' repeated requests rely on it (see `LATE_MS`)
)
STEP_MS: Final = 3_600_000  # of history given up at a look while there is too little room
# A create whose id is older than this may be void when it reaches the log: it is answered when the tables show the job.
LATE_MS: Final = LEAST_MS // 2


class HistoryTerms(msgspec.Struct, frozen=True, kw_only=True):
    """
    For how long ended jobs are kept.

    Args:
        days: jobs that ended well or were cancelled; 0 is for ever.
        failed_days: jobs that failed; 0 is for ever.
        response_days: what was kept of answers; 0 is for as long as their jobs.
        rows_max: ended jobs in the tables, of all partitions; with more the history is shortened. 0 is no limit.
    """

    days: int = 30
    failed_days: int = 90
    response_days: int = 0
    rows_max: int = 0


def wanted(
    terms: HistoryTerms, old: Floors, *, now: int, position: int, oldest_at: int | None, is_pressed: bool
) -> Floors:
    """
    Return the floors that an owner whose fold stands at *position* would decide.

    Args:
        old: those of its partition.
        oldest_at: when the oldest job that is still there ended; None if there is none.
        is_pressed: whether there is too little room.
    """

    def before(days: int, old_before: int) -> int:
        instant = now - days * DAY_MS if days else 0
        if is_pressed and oldest_at is not None:
            instant = max(instant, min(max(instant, old_before, oldest_at) + STEP_MS, now - LEAST_MS))
        return max(instant, old_before, 0)

    days = LEAST_MS // DAY_MS if is_pressed else terms.response_days
    return Floors(
        through=position + 1,
        success_before=before(terms.days, old.success_before),
        failed_before=before(terms.failed_days, old.failed_before),
        heartbeat_before=max(now - HEARTBEATS_MS, old.heartbeat_before),
        responses_before=max(now - days * DAY_MS if days else 0, old.responses_before),
    )
