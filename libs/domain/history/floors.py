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

Instants alone would not do: clocks of two owners differ, so a job could end, by its owner's clock, before an instant up to which
jobs were forgotten already. Those who read the log up to different positions would then not agree. `through` makes them agree.

Source: ARCHITECTURE.md, "History"; docs/adr/0030; tests/simulation/model/history.py.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from libs.domain.heartbeat import ACCOUNT
from libs.domain.job import JobState, JobStatus
from libs.domain.jobs.delivery import DeliveryState
from libs.events import HistoryForgotten, JobScheduled, WebhookAttempted
from libs.events.ids import delivery_id, instant_of


class Floors(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is forgotten in a partition; see `HistoryForgotten` for the fields."""

    through: int = 0
    success_before: int = 0
    failed_before: int = 0
    heartbeat_before: int = 0

    def after(self, event: HistoryForgotten) -> "Floors":
        """Return the floors after *event*; they never go down."""
        return Floors(**{name: max(getattr(self, name), getattr(event, name)) for name in FIELDS})

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
        if not job.is_terminal or job.completed_at is None or (job.has_webhook and job.webhook_at is None):
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
            return instant_of(event.job_id) < self.ids_before(event.account)
        if isinstance(event, WebhookAttempted) and instant_of(event.delivery_id) < self.ids_before(event.account):
            job = states.get(event.job_id)
            return not isinstance(job, JobState) or job.webhook_at is not None
        return False


FIELDS: Final = Floors.__struct_fields__
NOTHING_FORGOTTEN: Final = Floors()
