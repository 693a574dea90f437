"""
Events: everything that can stand in the log, and how it is written there.

Frozen, versioned records without behaviour. A stored name is an explicit string (`"job.scheduled"`), never an import path.
Facts may be appended by anyone and may be repeated; decisions carry a claim and count only under the partition's current owner.
"""

from libs.events.carried import LogCarried, RowsCarried
from libs.events.codec import Event, Unknown, Unreadable, decode, encode, read
from libs.events.envelope import Claim, Envelope
from libs.events.history import HistoryForgotten
from libs.events.job import (
    AttemptDue,
    AttemptFinished,
    Capture,
    JobCancelled,
    JobCancelRequested,
    JobChanged,
    JobChangeRefused,
    JobChangeRequested,
    JobFinished,
    JobMerged,
    JobMergeRequested,
    JobRetryScheduled,
    JobScheduled,
    JobStopRequested,
    Response,
    Sealed,
    Spec,
)
from libs.events.owner import LogBarrier, OwnerClaimed
from libs.events.schedule import (
    RunPolicy,
    ScheduleAutopaused,
    ScheduleChanged,
    ScheduleCreated,
    ScheduleDefined,
    ScheduleDeleted,
    SchedulePaused,
    SchedulePolicy,
    ScheduleRealigned,
    ScheduleResumed,
    ScheduleRule,
    ScheduleRunStopped,
    ScheduleSpawned,
    ScheduleTicked,
)
from libs.events.webhook import WebhookAttempted, WebhookFinished, WebhookRedeliverRequested

__all__ = [
    "AttemptDue",
    "AttemptFinished",
    "Capture",
    "Claim",
    "Envelope",
    "Event",
    "HistoryForgotten",
    "JobCancelRequested",
    "JobCancelled",
    "JobChangeRefused",
    "JobChangeRequested",
    "JobChanged",
    "JobFinished",
    "JobMergeRequested",
    "JobMerged",
    "JobRetryScheduled",
    "JobScheduled",
    "JobStopRequested",
    "LogBarrier",
    "LogCarried",
    "OwnerClaimed",
    "Response",
    "RowsCarried",
    "RunPolicy",
    "ScheduleAutopaused",
    "ScheduleChanged",
    "ScheduleCreated",
    "ScheduleDefined",
    "ScheduleDeleted",
    "SchedulePaused",
    "SchedulePolicy",
    "ScheduleRealigned",
    "ScheduleResumed",
    "ScheduleRule",
    "ScheduleRunStopped",
    "ScheduleSpawned",
    "ScheduleTicked",
    "Sealed",
    "Spec",
    "Unknown",
    "Unreadable",
    "WebhookAttempted",
    "WebhookFinished",
    "WebhookRedeliverRequested",
    "decode",
    "encode",
    "read",
]
