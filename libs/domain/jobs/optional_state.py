"""
Optional state: the part of a job's state that plain jobs do not have, and how tries are counted. It is the column `jobs.more`.

A job with `retry`, `success_on`, an expiry, a key or labels has this part from its beginning. Any other job gets it with the first
outcome that a plain job cannot have (a snooze, a stop by the target). A plain job has a null there.

Only events and versions that older builds do not read change it, so that an older build never leaves it out of date.
"""

from typing import Final

import msgspec

from libs.domain.retry_policy import SNOOZED_TOO_OFTEN, counted, too_late_at
from libs.events import JobChangeRequested, JobScheduled
from libs.events.fields import MAX_INSTANT, Instant, Labels, Trigger
from libs.events.retry_policy import EndedBy, JobTerms, Outcome, RetryPolicy, StatusClasses, StopReason

CHANGES_MAX: Final = 16  # changes of one job that may wait for their decision; more are passed over
ANSWERS_KEPT: Final = 8  # ids of the last answered changes, by which their writers see what became of them


class JobChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A change that was asked for and is not decided yet; fields as in `JobChangeRequested`, and of its spec what is folded."""

    request_id: str
    version: int
    fire_at: int
    max_retries: int = 0
    retry: RetryPolicy | None = None
    success_on: StatusClasses | None = None
    expires_at: int | None = None
    spec_id: str | None = None
    timeout_ms: int = 0
    has_webhook: bool = False


class JobMerge(JobChange, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    What requests to merge make of a job.

    Args:
        spec_id: None if only the instant moves.
        position: of the last of the requests.
    """

    position: int


class JobMore(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    The optional part of a job's state.

    Args:
        retry: when and how often it is tried again; None: as a job that gave no `retry` object.
        success_on: which answers count as success; None: 2xx.
        expires_at: no try starts at or after this instant.
        free_count, snooze_count: tries that were not charged, by kind.
        outcome: of the last finished try, if it is neither success nor an ordinary failure.
        ended_by: why the job ended, if the status does not say it.
        stop: somebody wants the job to end, and the owner has not answered yet.
        version: how often the job was changed.
        changes: changes that wait for their decision, in the order of the log.
        changed_ids, refused_ids: of the last changes that were decided.
        is_cancelled_after_changes: a caller asked to cancel the job while changes waited.
        trigger: why its schedule spawned the job, if it was not a tick in time.
        local_time: what a clock on the wall showed at the tick, if its schedule has a time zone.
        waiting_key, singleton_key: as the caller gave them.
        merge: what the requests to merge that wait for their decision make of the job together (merges.py).
        merge_ids: of the last requests to merge.
        merged_to: position of the last request to merge that was made.
        is_tracked: its schedule is told of its end.
        labels: by which its caller finds it again; they never change.
    """

    retry: RetryPolicy | None = None
    success_on: StatusClasses | None = None
    expires_at: Instant | None = None
    free_count: int = 0
    snooze_count: int = 0
    outcome: Outcome | None = None
    ended_by: EndedBy | None = None
    stop: StopReason | None = None
    version: int = 0
    changes: tuple[JobChange, ...] = ()
    changed_ids: tuple[str, ...] = ()
    refused_ids: tuple[str, ...] = ()
    is_cancelled_after_changes: bool = False
    trigger: Trigger | None = None
    local_time: str | None = None
    waiting_key: str | None = None
    singleton_key: str | None = None
    merge: JobMerge | None = None
    merge_ids: tuple[str, ...] = ()
    merged_to: int = -1
    is_tracked: bool = False
    labels: Labels | None = None

    @property
    def is_about_origin(self) -> bool:
        """Whether it says only how the job came to be: such a job is tried again as a plain one."""
        return self == JobMore(
            trigger=self.trigger,
            local_time=self.local_time,
            waiting_key=self.waiting_key,
            singleton_key=self.singleton_key,
            is_tracked=self.is_tracked,
            labels=self.labels,
        )

    @property
    def has_open_changes(self) -> bool:
        """Whether somebody wants to change the job and has no answer yet."""
        return bool(self.changes) or self.merge is not None

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


def change_asked(more: JobMore | None, event: JobChangeRequested) -> JobMore | None:
    """Return what is known after a request to change the job; None if it is passed over."""
    more = more or NOTHING
    known = {*(change.request_id for change in more.changes), *more.changed_ids, *more.refused_ids}
    if event.request_id in known or len(more.changes) >= CHANGES_MAX:
        return None
    spec = event.spec
    change = JobChange(
        request_id=event.request_id,
        version=event.version,
        fire_at=event.fire_at,
        max_retries=event.max_retries,
        retry=event.retry,
        success_on=event.success_on,
        expires_at=event.expires_at,
        spec_id=None if spec is None else event.new_spec_id,
        timeout_ms=0 if spec is None else spec.timeout_ms,
        has_webhook=spec is not None and spec.webhook_url is not None,
    )
    return msgspec.structs.replace(more, changes=(*more.changes, change))


def change_made(more: JobMore, change: JobChange, scheduled_at: int) -> JobMore:
    """Return what is known after *change*, the first of those that waited, was made; the job was due at *scheduled_at*."""
    return msgspec.structs.replace(
        more,
        retry=change.retry,
        success_on=change.success_on,
        expires_at=change.expires_at,
        version=more.version + 1,
        changes=more.changes[1:],
        changed_ids=(*more.changed_ids, change.request_id)[-ANSWERS_KEPT:],
        local_time=more.local_time if change.fire_at == scheduled_at else None,
    )


def change_refused(more: JobMore, request_id: str) -> JobMore:
    """Return what is known after the first of the changes that waited was refused."""
    refused_ids = (*more.refused_ids, request_id)[-ANSWERS_KEPT:]
    return msgspec.structs.replace(more, changes=more.changes[1:], refused_ids=refused_ids)


def without_changes(more: JobMore | None) -> JobMore | None:
    """Return what is known once no change can be made any more: those that waited are none."""
    if more is None or not more.has_open_changes:
        return more
    return _replace(more, changes=(), merge=None, is_cancelled_after_changes=False)


def at_the_end(more: JobMore | None, ended_by: EndedBy | None) -> JobMore | None:
    """Return what is known of a job that has ended."""
    if more is None and ended_by is None:
        return None
    return _replace(
        more or NOTHING, ended_by=ended_by, stop=None, changes=(), merge=None, is_cancelled_after_changes=False
    )


def asked_for(event: JobScheduled) -> JobMore | None:
    """Return what is known of a new job; None of a plain one."""
    asked = (event.retry, event.success_on, event.expires_at, event.schedule_id, event.waiting_key, event.singleton_key)
    if asked == (None, None, None, None, None, None) and event.labels is None:
        return None
    return JobMore(
        retry=event.retry,
        success_on=event.success_on,
        expires_at=event.expires_at,
        trigger=_trigger(event),
        local_time=event.local_time,
        waiting_key=event.waiting_key,
        singleton_key=event.singleton_key,
        is_tracked=event.is_tracked,
        labels=event.labels,
    )


def _trigger(event: JobScheduled) -> Trigger | None:
    if event.schedule_id is None:
        return None
    return "manual" if event.tick_at is None else "backfill"


def tracked(more: JobMore | None) -> JobMore:
    """Return what is known of a job whose schedule is told of its end."""
    return msgspec.structs.replace(more or NOTHING, is_tracked=True)


def inherited(
    terms: JobTerms | None,
    scheduled_at: int,
    *,
    trigger: Trigger = "schedule",
    local_time: str | None = None,
    labels: Labels | None = None,
) -> JobMore | None:
    """
    Return what is known of the job of a schedule with *terms*.

    Args:
        trigger: why it was spawned.
        local_time: what a clock on the wall shows at *scheduled_at*; None if the schedule has no time zone.
        labels: of the schedule.
    """
    terms = terms or JobTerms()
    expires_at = None if terms.expires_in_ms is None else min(scheduled_at + terms.expires_in_ms, MAX_INSTANT)
    return _replace(
        NOTHING,
        retry=terms.retry,
        success_on=terms.success_on,
        expires_at=expires_at,
        trigger=None if trigger == "schedule" else trigger,
        local_time=local_time,
        labels=labels,
    )


def _replace(more: JobMore, **changes: object) -> JobMore | None:
    """Return *more* with *changes*, or None if nothing is left."""
    changed = msgspec.structs.replace(more, **changes)
    return None if changed == NOTHING else changed
