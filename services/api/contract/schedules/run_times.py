"""Run times: whether the last runs of a schedule took longer than the time until its next tick. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from libs.domain.calendar.rule import Rule
from libs.domain.job import JobState
from libs.events.ids import tick_job_id

SLOWER: Final = "slower_than_interval"
RUNS: Final = 3  # in a row: one slow run is no reason for a warning
LOOKED_AT: Final = 10  # jobs of the schedule, the newest first; some may be runs that somebody asked for


def warning_about(rule: Rule, schedule_id: str, jobs: Iterable[JobState], now: int) -> str | None:
    """
    Return `slower_than_interval` if each of the last three ticks' jobs took longer than the time to the tick after it.

    Args:
        jobs: of the schedule, the newest first. A job that has not ended took as long as it has been under way, retries included.
    """
    ticks = (
        job for job in jobs if job.started_at is not None and job.job_id == tick_job_id(schedule_id, job.scheduled_at)
    )
    last = [job for job, _ in zip(ticks, range(RUNS), strict=False)]
    return SLOWER if len(last) == RUNS and all(_is_slow(rule, job, now) for job in last) else None


def _is_slow(rule: Rule, job: JobState, now: int) -> bool:
    following = rule.next_after(job.scheduled_at)
    if following is None or job.started_at is None:
        return False
    ended_at = now if job.completed_at is None else job.completed_at
    return ended_at - job.started_at > following - job.scheduled_at
