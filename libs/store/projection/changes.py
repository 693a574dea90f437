"""
Changes: what folding some records of one partition changed, gathered until it is flushed. Pure.

Of a job or schedule that changed several times only the latest state is kept, so a flush costs what changed, not what happened.
The gathering is the second half of the fold: together with `Ledger` it says what every row must be after a position.
"""

from typing import NamedTuple

import msgspec

from libs.domain.job import JobState
from libs.domain.ledger import Applied
from libs.domain.schedule import ScheduleState
from libs.events import AttemptDue, AttemptFinished, Claim, JobScheduled, ScheduleCreated, ScheduleTicked, Spec

DAY_MS = 86_400_000

_encode = msgspec.json.Encoder().encode


class ExecutionRow(NamedTuple):
    """
    One attempt as the tables keep it.

    Args:
        ok: how it ended; None while that is not known.
        executed_at: when the request left; the instant it was due at while the outcome is not known.
    """

    job_id: str
    attempt: int
    executed_at: int
    ok: bool | None = None
    status_code: int | None = None
    error: str | None = None
    duration_ms: int | None = None


class PartitionChanges:
    """
    The rows of one partition that a run of records changed.

    Args of note:
        jobs, schedules: latest states by id.
        new_jobs: ids among *jobs* that these records created.
        specs: JSON bytes by the id of the job or schedule that brought them.
        spec_bytes: how long *specs* are together, for whoever bounds a flush: rows are small, bodies need not be.
        executions: latest rows by (job id, attempt).
        new_executions: keys among *executions* whose attempt these records made due.
        usage: attempts made due, by (account, UTC day counted from 1970-01-01).
    """

    __slots__ = (
        "executions",
        "jobs",
        "new_executions",
        "new_jobs",
        "partition",
        "schedules",
        "spec_bytes",
        "specs",
        "usage",
    )

    def __init__(self, partition: int) -> None:
        """Start with nothing changed."""
        self.partition = partition
        self.jobs: dict[str, JobState] = {}
        self.new_jobs: set[str] = set()
        self.schedules: dict[str, ScheduleState] = {}
        self.specs: dict[str, bytes] = {}
        self.spec_bytes = 0
        self.executions: dict[tuple[str, int], ExecutionRow] = {}
        self.new_executions: set[tuple[str, int]] = set()
        self.usage: dict[tuple[str, int], int] = {}

    def add(self, applied: Applied) -> None:
        """Take in what one record did; records must come in the order of the log."""
        job = applied.job
        if job is not None:
            self.jobs[job.job_id] = job
            event = applied.event
            if isinstance(event, JobScheduled):
                self.new_jobs.add(job.job_id)
                self._spec(job.job_id, event.spec)
            elif isinstance(event, AttemptDue):
                self._due(event)
            elif isinstance(event, AttemptFinished):
                self._finished(event)
            elif isinstance(event, ScheduleTicked):
                self.new_jobs.add(job.job_id)
        schedule = applied.schedule
        if schedule is not None:
            self.schedules[schedule.schedule_id] = schedule
            if isinstance(applied.event, ScheduleCreated):
                self._spec(schedule.schedule_id, applied.event.spec)

    def _spec(self, spec_id: str, spec: Spec) -> None:
        encoded = _encode(spec)
        self.specs[spec_id] = encoded
        self.spec_bytes += len(encoded)

    def _due(self, event: AttemptDue) -> None:
        key = (event.job_id, event.attempt)
        self.executions[key] = ExecutionRow(event.job_id, event.attempt, event.not_before)
        self.new_executions.add(key)
        # The day on which the attempt is made: neither when it was asked for nor, with a lead, when it was decided.
        day = (event.account, max(event.at, event.not_before) // DAY_MS)
        self.usage[day] = self.usage.get(day, 0) + 1

    def _finished(self, event: AttemptFinished) -> None:
        self.executions[event.job_id, event.attempt] = ExecutionRow(
            event.job_id, event.attempt, event.started_at, event.ok, event.status_code, event.error, event.duration_ms
        )

    def __contains__(self, any_id: object) -> bool:
        """Whether the job or schedule with this id is among what changed."""
        return any_id in self.jobs or any_id in self.schedules

    def __len__(self) -> int:
        """Return how many rows a flush would write."""
        return len(self.jobs) + len(self.schedules) + len(self.specs) + len(self.executions) + len(self.usage)

    def __bool__(self) -> bool:
        """Whether anything changed."""
        return bool(self.jobs or self.schedules)


__all__ = ["DAY_MS", "ExecutionRow", "PartitionChanges"]


class Flush(NamedTuple):
    """
    What one partition has to write.

    Args:
        lease_nonce: of the lease under which it was folded.
        from_position: where the tables stand.
        to_position: where they stand afterwards; higher than *from_position*.
        claim: the claim admitted at *to_position*.
        changes: what the records behind *from_position* up to and including *to_position* changed.
    """

    partition: int
    lease_nonce: str
    from_position: int
    to_position: int
    claim: Claim | None
    changes: PartitionChanges
