"""Job state: what is known of a job after its events; libs/domain/job.py says which event leads to which."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from libs.domain.jobs.optional_state import JobMore
from libs.domain.jobs.status import ENDED_BY, WAITING, JobStatus
from libs.events.retry_policy import EndedBy, Outcome

# Positions kept for a job's timeline: 21 attempts of three events each, its request, a cancel that came too late, its ends.
MAX_OFFSETS: Final = 72
NO_LABELS: Final[Mapping[str, str]] = MappingProxyType({})


class JobState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    What is known of a job.

    Args:
        job_id, account: the job's id and the account to which it belongs.
        schedule_id: the schedule that spawned the job; None if a caller created it.
        status: see `JobStatus`.
        attempt: how many tries are due or done so far; 0 before the first.
        max_retries: how many charged failures may be followed by another try.
        timeout_ms: the longest that one try may take.
        has_webhook: a webhook is to be sent at the end.
        cancel_requested: somebody asked to cancel, stop or change the job, and the owner has not answered yet.
        held: a record of this job could not be read; nothing is decided for it until it can.
        scheduled_at: the instant asked for.
        fire_at: the instant of the pending try while waiting, of the current try while running.
        created_at, started_at, completed_at: instants of the request, the first due and the end.
        last_ok, last_status_code, last_error, retry_after_ms: how the last finished try ended.
        idempotency_key, replay_of: as the caller gave them.
        shared_spec_id: the id under which the spec is kept, if another job or a schedule brought it.
        webhook_at: when the outcome of the webhook's first try was recorded.
        offsets: positions of this job's events, oldest first, at most `MAX_OFFSETS`.
        more: what a plain job does not have; see `JobMore`.
    """

    job_id: str
    account: str
    schedule_id: str | None = None
    status: JobStatus = JobStatus.SCHEDULED
    attempt: int = 0
    max_retries: int = 0
    timeout_ms: int = 30_000
    has_webhook: bool = False
    cancel_requested: bool = False
    held: bool = False
    scheduled_at: int
    fire_at: int
    created_at: int
    started_at: int | None = None
    completed_at: int | None = None
    last_ok: bool | None = None
    last_status_code: int | None = None
    last_error: str | None = None
    retry_after_ms: int | None = None
    idempotency_key: str | None = None
    replay_of: str | None = None
    shared_spec_id: str | None = None
    webhook_at: int | None = None
    offsets: tuple[int, ...] = ()
    more: JobMore | None = None

    @property
    def spec_id(self) -> str:
        """The id under which the spec is kept: the jobs of a schedule share its spec, and the copies of a job that job's."""
        return self.shared_spec_id or self.schedule_id or self.job_id

    @property
    def told_schedule_id(self) -> str | None:
        """The schedule that is told of this job's end; None if none is."""
        return self.schedule_id if self.more is not None and self.more.is_tracked else None

    @property
    def is_terminal(self) -> bool:
        """Whether the job reached an end that it never leaves."""
        return self.status >= JobStatus.COMPLETED

    @property
    def is_waiting(self) -> bool:
        """Whether the job waits for the instant `fire_at`."""
        return self.status in WAITING

    @property
    def wants_cancel(self) -> bool:
        """Whether the job is to be cancelled if it has not fired."""
        more = self.more
        if more is None or not more.has_open_changes:
            return self.cancel_requested
        return more.is_cancelled_after_changes or more.stop is not None

    @property
    def labels(self) -> Mapping[str, str]:
        """Names and values by which its caller finds it again."""
        return (self.more.labels if self.more is not None else None) or NO_LABELS

    @property
    def version(self) -> int:
        """How often the job was changed."""
        return 0 if self.more is None else self.more.version

    @property
    def charged(self) -> int:
        """How many tries used up a retry, or the first try; the one under way is among them."""
        return self.attempt if self.more is None else self.attempt - self.more.uncharged_count

    @property
    def outcome(self) -> Outcome:
        """What the result of the last finished try means."""
        if self.more is not None and self.more.outcome is not None:
            return self.more.outcome
        return "success" if self.last_ok else "failure"

    @property
    def too_late_at(self) -> int | None:
        """The instant at or after which no try may start; None if there is none."""
        return None if self.more is None else self.more.too_late_at(self.started_at)

    @property
    def ended_by(self) -> EndedBy | None:
        """Why the job ended; None if it did not, or was cancelled."""
        if self.more is not None and self.more.ended_by is not None:
            return self.more.ended_by
        return ENDED_BY.get(self.status)
