"""
Floors: which jobs and deliveries of a partition are forgotten, and why a forgotten id never comes back. Pure.

The owner moves the floors with `history.forgotten`. A job is forgotten if all of this holds:

    ended      it is at its end, its webhook has an outcome, and its delivery, if there is one, is forgotten, too
    position   its last record stands before `through`
    age        it ended before the instant for jobs like it (`success_before`, `failed_before`, `heartbeat_before`)
    id         its id was made before `ids_before`

All of it stands in the log, so every fold finds the same jobs, whenever it looks, and whether the rows are still there or not: no
record changes a job that is at its end and waits for nothing. The floors only rise, so a forgotten job stays forgotten.

Never back. `job.scheduled` of an unknown id counts only if the id was made at or after `ids_before`. Every forgotten id was made
before it, so a repeated record makes no second job. A first outcome of a webhook makes no delivery if its job is not known or had
an outcome before.

What lives is carried over to a later part of the log now and then (libs/store/carried), and one day the records before are
deleted. A fold that begins there does not know the jobs that were over. So `closed_before` rises first: a request of an unknown id
from before it makes no job, in every fold.

Instants alone would not do: clocks of two owners differ, so a job could end, by its owner's clock, before an instant up to which
jobs were forgotten already. Those who read the log up to different positions would then not agree. `through` makes them agree.

What was kept of an answer is forgotten if the record that brought it was made before `responses_before`. That instant is enough:
such a row is written once, and no record changes it or depends on it.

Source: ARCHITECTURE.md, "History"; docs/adr/0030; tests/simulation/model/history.py.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from libs.domain.heartbeat import ACCOUNT
from libs.domain.job import JobState, JobStatus
from libs.domain.jobs.delivery import DeliveryState
from libs.events import HistoryForgotten, JobScheduled, LogCarried, WebhookAttempted
from libs.events.ids import delivery_id, instant_of


def is_over(job: JobState) -> bool:
    """Say whether nothing more can happen to *job*: no record changes it from here on."""
    return job.is_terminal and job.completed_at is not None and not (job.has_webhook and job.webhook_at is None)


class Floors(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    What is forgotten and carried in a partition: numbers that only rise. See `HistoryForgotten` and `LogCarried` for the fields.

    Args:
        trim_to: the log before this position is needed no more.
        carried_to, carried_at: the last position before which all that lived was carried, and when.
        prior_to, prior_at: the same of the time before.
    """

    through: int = 0
    success_before: int = 0
    failed_before: int = 0
    heartbeat_before: int = 0
    closed_before: int = 0
    responses_before: int = 0
    trim_to: int = 0
    carried_to: int = 0
    carried_at: int = 0
    prior_to: int = 0
    prior_at: int = 0

    def after(self, event: HistoryForgotten | LogCarried) -> "Floors":
        """Return the floors after *event*; they never go down."""
        moved = _moved_by(event)
        return Floors(**{name: max(getattr(self, name), moved.get(name, 0)) for name in FIELDS})

    def ids_before(self, account: str) -> int:
        """Return the instant before which the id of every forgotten job of *account* was made."""
        return self.heartbeat_before if account == ACCOUNT else max(self.success_before, self.failed_before)

    def ended_before(self, account: str, *, is_failure: bool) -> int:
        """Return the instant before which a job of *account* must have ended to be forgotten."""
        if account == ACCOUNT:
            return self.heartbeat_before
        return self.failed_before if is_failure else self.success_before

    def forget_delivery(self, delivery: DeliveryState) -> bool:
        """Say whether *delivery* is forgotten."""
        before = self.ended_before(delivery.account, is_failure=delivery.event == "job.failed")
        is_over = delivery.next_at is None and not delivery.held
        return is_over and delivery.last_at < before and delivery.offsets[-1] < self.through

    def forget_job(self, job: JobState, delivery: DeliveryState | None) -> bool:
        """Say whether *job* is forgotten; *delivery* is the one that it made."""
        if not is_over(job) or job.completed_at is None:
            return False
        before = self.ended_before(job.account, is_failure=job.status is JobStatus.FAILED)
        is_old = job.completed_at < before and instant_of(job.job_id) < self.ids_before(job.account)
        if not is_old or job.offsets[-1] >= self.through:
            return False
        return delivery is None or self.forget_delivery(delivery)

    def forget(self, state: object, states: Mapping[str, Any]) -> bool:
        """Say whether *state*, of any kind, is forgotten; *states* holds its delivery, if there is one."""
        if isinstance(state, JobState):
            return state.is_terminal and self.forget_job(state, states.get(delivery_id(state.job_id)))
        return isinstance(state, DeliveryState) and self.forget_delivery(state)

    def bars(self, event: object, states: Mapping[str, Any]) -> bool:
        """Say whether *event*, of an id that is not known, makes nothing because the id may have been forgotten."""
        if isinstance(event, JobScheduled):
            made_at = instant_of(event.job_id)
            # The id of a back-filled run says when its tick was, not when it was made.
            is_closed = event.tick_at is None and made_at < self.closed_before
            return is_closed or made_at < self.ids_before(event.account)
        if isinstance(event, WebhookAttempted) and (
            self.closed_before or instant_of(event.delivery_id) < self.ids_before(event.account)
        ):
            job = states.get(event.job_id)
            return not isinstance(job, JobState) or job.webhook_at is not None
        return False


def _moved_by(event: HistoryForgotten | LogCarried) -> dict[str, int]:
    if isinstance(event, HistoryForgotten):
        return {name: getattr(event, name) for name in FORGOTTEN}
    return {
        "trim_to": event.trim_to,
        "carried_to": event.begin,
        "carried_at": event.at,
        "prior_to": event.prior_to,
        "prior_at": event.prior_at,
    }


FIELDS: Final = Floors.__struct_fields__
FORGOTTEN: Final = FIELDS[:6]  # those that `HistoryForgotten` moves
NOTHING_FORGOTTEN: Final = Floors()
