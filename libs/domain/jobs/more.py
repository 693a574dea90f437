"""
Job, more: what is known of a job that a plain one does not have, and how its tries count.

A job with `retry`, `success_on` or an expiry has it from its beginning, any other from the first outcome that a plain job cannot
have (a snooze, a stop by the target). So plain jobs pay one null in their row.

Only events and versions that older builds do not read change it: what an older build folds must not leave it behind.
"""

import msgspec

from libs.domain.retry_policy import SNOOZED_TOO_OFTEN, counted, too_late_at
from libs.events.fields import Instant
from libs.events.retry_policy import EndedBy, Outcome, RetryPolicy, StatusClasses, StopReason


class JobMore(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    What is known of a job besides.

    Args:
        retry: when and how often it is tried again; None: as a job that gave no `retry` object.
        success_on: which answers count as success; None: 2xx.
        expires_at: no try starts at or after this instant.
        free_count, snooze_count: tries that were not charged, by kind.
        outcome: of the last finished try, if it is neither success nor an ordinary failure.
        ended_by: why the job ended, if the status does not say it.
        stop: somebody wants the job to end, and the owner has not answered yet.
    """

    retry: RetryPolicy | None = None
    success_on: StatusClasses | None = None
    expires_at: Instant | None = None
    free_count: int = 0
    snooze_count: int = 0
    outcome: Outcome | None = None
    ended_by: EndedBy | None = None
    stop: StopReason | None = None

    @property
    def uncharged_count(self) -> int:
        """How many tries used up no retry."""
        return self.free_count + self.snooze_count

    def too_late_at(self, first_at: int | None) -> int | None:
        """Return the instant at or after which no try may start; *first_at* is that of the first one."""
        return too_late_at(self.retry, first_at=first_at, expires_at=self.expires_at)

    def late_reason(self, first_at: int | None) -> EndedBy:
        """Return the bound that `too_late_at` is."""
        return "expired" if self.too_late_at(first_at) == self.expires_at else "max_elapsed"


NOTHING = JobMore()


def after_try(more: JobMore | None, outcome: Outcome | None, error: str | None) -> tuple[JobMore | None, str | None]:
    """
    Return what is known after a try, and its error.

    Args:
        outcome: as its event says; None for success and for an ordinary failure.
        error: as its event says.
    """
    if outcome is None:
        return (more if more is None or more.outcome is None else _replace(more, outcome=None)), error
    more = more or NOTHING
    if counted(outcome, free_count=more.free_count, snooze_count=more.snooze_count) == "failure":
        return _replace(more, outcome=None), SNOOZED_TOO_OFTEN if outcome == "snoozed" else error
    return _replace(
        more,
        outcome=outcome,
        free_count=more.free_count + (outcome == "free"),
        snooze_count=more.snooze_count + (outcome == "snoozed"),
    ), error


def stop_asked(more: JobMore | None, reason: StopReason) -> JobMore:
    """Return what is known after a request to stop; the first one counts."""
    more = more or NOTHING
    return more if more.stop is not None else msgspec.structs.replace(more, stop=reason)


def at_the_end(more: JobMore | None, ended_by: EndedBy | None) -> JobMore | None:
    """Return what is known of a job that has ended."""
    if more is None and ended_by is None:
        return None
    return _replace(more or NOTHING, ended_by=ended_by, stop=None)


def asked_for(retry: RetryPolicy | None, success_on: tuple[str, ...] | None, expires_at: int | None) -> JobMore | None:
    """Return what is known of a new job that asked for these; None if it asked for nothing."""
    if retry is None and success_on is None and expires_at is None:
        return None
    return JobMore(retry=retry, success_on=success_on, expires_at=expires_at)


def _replace(more: JobMore, **changes: object) -> JobMore | None:
    """Return *more* with *changes*, or None if nothing is left."""
    changed = msgspec.structs.replace(more, **changes)
    return None if changed == NOTHING else changed
