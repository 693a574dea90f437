"""
Filters: what a list of jobs or schedules is searched for, and what one look found. Pure.

`takes` says of one job or schedule what the statements of search.py say of rows; a conformance test holds both against each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, NamedTuple, TypeVar

from libs.domain.job import JobState, JobStatus
from libs.domain.schedule import ScheduleState
from libs.events.ids import instant_of

Label = tuple[str, str]  # name and value
Row = TypeVar("Row")


class JobFilter(NamedTuple):
    """
    Which jobs of an account are wanted; None: any. What is given must all be true of a job.

    Args:
        labels: the job has all of them.
        created_after, created_before: of the instant in the job's id, the first included, the second not; in ms since 1970.
        scheduled_after, scheduled_before: of the instant that the job was asked for, in the same way.
        job_ids: only these.
    """

    statuses: tuple[JobStatus, ...] | None = None
    schedule_id: str | None = None
    labels: tuple[Label, ...] = ()
    created_after: int | None = None
    created_before: int | None = None
    scheduled_after: int | None = None
    scheduled_before: int | None = None
    job_ids: tuple[str, ...] | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the index of the list finds exactly these."""
        return self == JobFilter(statuses=self.statuses, schedule_id=self.schedule_id)

    def takes(self, job: JobState) -> bool:
        """Say whether *job*, of the account that asks, is wanted."""
        return (
            (self.statuses is None or job.status in self.statuses)
            and (self.schedule_id is None or job.schedule_id == self.schedule_id)
            and _has(job.labels, self.labels)
            and _lies(instant_of(job.job_id), self.created_after, self.created_before)
            and _lies(job.scheduled_at, self.scheduled_after, self.scheduled_before)
            and (self.job_ids is None or job.job_id in self.job_ids)
        )


class ScheduleFilter(NamedTuple):
    """Which schedules of an account are wanted, as `JobFilter` says it of jobs; *status* as `list_schedules` takes it."""

    status: str | None = None
    labels: tuple[Label, ...] = ()
    created_after: int | None = None
    created_before: int | None = None
    schedule_ids: tuple[str, ...] | None = None

    @property
    def is_plain(self) -> bool:
        """Whether `AccountQueries.list_schedules` finds exactly these."""
        return self == ScheduleFilter(status=self.status)

    def takes(self, schedule: ScheduleState) -> bool:
        """Say whether *schedule*, of the account that asks and with the status, is wanted."""
        labels = (schedule.more.labels if schedule.more is not None else None) or {}
        return (
            _has(labels, self.labels)
            and _lies(instant_of(schedule.schedule_id), self.created_after, self.created_before)
            and (self.schedule_ids is None or schedule.schedule_id in self.schedule_ids)
        )


class Found(NamedTuple, Generic[Row]):
    """
    What a look found, newest first.

    Args:
        reached: the look ended here, because it had gone through as many rows as it may; what is older was not looked at. None: it
            found as many as were wanted, or all.
    """

    rows: list[Row]
    reached: str | None = None


def _has(labels: Mapping[str, str], wanted: tuple[Label, ...]) -> bool:
    return all(labels.get(name) == value for name, value in wanted)


def _lies(at: int, after: int | None, before: int | None) -> bool:
    return (after is None or at >= after) and (before is None or at < before)
