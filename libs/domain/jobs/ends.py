"""Ends: the event that ended a job, from its state. Pure."""

from libs.domain.job import JobState, JobStatus
from libs.events import JobCancelled, JobFinished

TerminalEvent = JobFinished | JobCancelled


def end_of(job: JobState) -> TerminalEvent:
    """Return the event that ended *job*, as far as its readers need it."""
    at = job.fire_at if job.completed_at is None else job.completed_at
    if job.status is JobStatus.CANCELLED:
        return JobCancelled(
            job_id=job.job_id, account=job.account, at=at, has_webhook=job.has_webhook, spec_id=job.spec_id
        )
    return JobFinished(
        job_id=job.job_id,
        account=job.account,
        at=at,
        status="completed" if job.status is JobStatus.COMPLETED else "failed",
        attempt=job.attempt,
        status_code=job.last_status_code,
        last_error=job.last_error,
        has_webhook=job.has_webhook,
        spec_id=job.spec_id,
    )
