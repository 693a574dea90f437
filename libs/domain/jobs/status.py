"""Job status: the words, what they mean, and which event leads from one to another. Pure."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from libs.events.retry_policy import EndedBy


class JobStatus(IntEnum):
    """The one internal status; the numbers are stored in the tables and never change."""

    SCHEDULED = 0
    RUNNING = 1
    FINISHING = 2
    RETRYING = 3
    COMPLETED = 4
    FAILED = 5
    CANCELLED = 6


MEANINGS: Final[Mapping[JobStatus, str]] = {
    JobStatus.SCHEDULED: "accepted, waits for its instant; may still be cancelled",
    JobStatus.RUNNING: "an attempt is due: the call is under way, or about to leave",
    JobStatus.FINISHING: "the attempt's outcome is known, what follows is not decided yet (milliseconds)",
    JobStatus.RETRYING: "waits for its next attempt",
    JobStatus.COMPLETED: "an attempt succeeded: it was answered with 200-299, or as `success_on` says",
    JobStatus.FAILED: "the last attempt failed, or none may start any more; `ended_by` says why",
    JobStatus.CANCELLED: "cancelled before its first attempt; it never fires",
}
WAITING: Final = frozenset({JobStatus.SCHEDULED, JobStatus.RETRYING})
UNDER_WAY: Final = frozenset({JobStatus.RUNNING, JobStatus.FINISHING})
TERMINAL: Final = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})

# (status, stored name of the event) -> statuses it may lead to. What is not here does not apply.
TRANSITIONS: Final[Mapping[tuple[JobStatus, str], tuple[JobStatus, ...]]] = {
    (JobStatus.SCHEDULED, "job.cancel_requested"): (JobStatus.SCHEDULED,),
    (JobStatus.SCHEDULED, "job.change_requested"): (JobStatus.SCHEDULED,),
    (JobStatus.SCHEDULED, "job.changed"): (JobStatus.SCHEDULED,),
    (JobStatus.SCHEDULED, "job.change_refused"): (JobStatus.SCHEDULED,),
    (JobStatus.SCHEDULED, "job.merge_requested"): (JobStatus.SCHEDULED,),
    (JobStatus.SCHEDULED, "job.merged"): (JobStatus.SCHEDULED,),
    (JobStatus.SCHEDULED, "job.stop_requested"): (JobStatus.SCHEDULED,),
    (JobStatus.SCHEDULED, "schedule.run_stopped"): (JobStatus.SCHEDULED,),
    (JobStatus.SCHEDULED, "job.cancelled"): (JobStatus.CANCELLED,),
    (JobStatus.SCHEDULED, "attempt.due"): (JobStatus.RUNNING,),
    (JobStatus.SCHEDULED, "job.finished"): (JobStatus.FAILED,),
    (JobStatus.RUNNING, "attempt.finished"): (JobStatus.FINISHING,),
    (JobStatus.RUNNING, "job.stop_requested"): (JobStatus.RUNNING,),
    (JobStatus.RUNNING, "schedule.run_stopped"): (JobStatus.RUNNING,),
    (JobStatus.RUNNING, "job.finished"): (JobStatus.FAILED,),
    (JobStatus.FINISHING, "job.stop_requested"): (JobStatus.FINISHING,),
    (JobStatus.FINISHING, "schedule.run_stopped"): (JobStatus.FINISHING,),
    (JobStatus.FINISHING, "job.retry_scheduled"): (JobStatus.RETRYING,),
    (JobStatus.FINISHING, "job.finished"): (JobStatus.COMPLETED, JobStatus.FAILED),
    (JobStatus.RETRYING, "attempt.due"): (JobStatus.RUNNING,),
    (JobStatus.RETRYING, "job.stop_requested"): (JobStatus.RETRYING,),
    (JobStatus.RETRYING, "schedule.run_stopped"): (JobStatus.RETRYING,),
    (JobStatus.RETRYING, "job.finished"): (JobStatus.FAILED,),
    (JobStatus.COMPLETED, "webhook.finished"): (JobStatus.COMPLETED,),
    (JobStatus.FAILED, "webhook.finished"): (JobStatus.FAILED,),
    (JobStatus.CANCELLED, "webhook.finished"): (JobStatus.CANCELLED,),
    (JobStatus.COMPLETED, "webhook.attempted"): (JobStatus.COMPLETED,),
    (JobStatus.FAILED, "webhook.attempted"): (JobStatus.FAILED,),
    (JobStatus.CANCELLED, "webhook.attempted"): (JobStatus.CANCELLED,),
}


# Why a job ended if nothing else is known than its status.
ENDED_BY: Final[Mapping[JobStatus, EndedBy]] = {JobStatus.COMPLETED: "success", JobStatus.FAILED: "exhausted"}
