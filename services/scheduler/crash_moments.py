"""Where an owner dies if a test wants it to: before and after each of its decisions is in the log."""

from collections.abc import Sequence

from libs.events import Envelope
from libs.runtime.crashpoint import crash_at


def crash_before(batch: Sequence[Envelope]) -> None:
    """Die before *batch* is appended."""
    for envelope in batch:
        match envelope.type:
            case "attempt.due":
                crash_at("scheduler.before_due")
            case "job.retry_scheduled":
                crash_at("scheduler.before_retry")
            case "job.cancelled":
                crash_at("scheduler.before_cancel")
            case "job.finished":
                crash_at("scheduler.before_finish")
            case "schedule.ticked":
                crash_at("scheduler.before_tick")


def crash_after(batch: Sequence[Envelope]) -> None:
    """Die after *batch* was appended."""
    for envelope in batch:
        match envelope.type:
            case "attempt.due":
                crash_at("scheduler.after_due")
            case "job.retry_scheduled":
                crash_at("scheduler.after_retry")
            case "job.cancelled":
                crash_at("scheduler.after_cancel")
            case "job.finished":
                crash_at("scheduler.after_finish")
            case "schedule.ticked":
                crash_at("scheduler.after_tick")
