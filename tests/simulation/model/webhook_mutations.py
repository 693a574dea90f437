"""Mutations of webhooks that are repeated (mutations.py): players of the model, each with one rule taken out."""

from __future__ import annotations

import msgspec

from libs.domain.job import JobState
from libs.domain.jobs.delivery import DeliveryState, DeliveryStatus
from libs.domain.ledger import Applied, Ledger, Verdict
from libs.events import Event, Unknown, Unreadable, WebhookAttempted
from libs.events.ids import delivery_id
from tests.simulation.model.actors import Owner
from tests.simulation.model.harness import Harness, Partition
from tests.simulation.model.webhooks import Webhooks

# A try that is recorded twice is charged twice.


class ChargesRepeats(Ledger):
    def apply(self, position: int, item: Event | Unknown | Unreadable, stamp: str | None) -> Applied:
        applied = super().apply(position, item, stamp)
        if isinstance(item, WebhookAttempted) and applied.verdict is Verdict.REPEATED:
            delivery = self.states.get(item.delivery_id)
            if isinstance(delivery, DeliveryState):
                charged = msgspec.structs.replace(delivery, charged=delivery.charged + 1)
                self.states[item.delivery_id] = charged
                return Applied(Verdict.APPLIED, item, {item.delivery_id: charged})
        return applied


class OwnerChargingRepeats(Owner):
    ledger_type = ChargesRepeats


# A redelivery that fails counts as a failure of its delivery, and undoes that it was delivered.


class CountsRedeliveries(Ledger):
    def apply(self, position: int, item: Event | Unknown | Unreadable, stamp: str | None) -> Applied:
        before = self.states.get(item.delivery_id) if isinstance(item, WebhookAttempted) else None
        applied = super().apply(position, item, stamp)
        if (
            isinstance(item, WebhookAttempted)
            and applied.verdict is Verdict.APPLIED
            and item.outcome != "success"
            and isinstance(before, DeliveryState)
            and not before.is_pending
        ):
            after = self.states[item.delivery_id]
            assert isinstance(after, DeliveryState)
            failed = msgspec.structs.replace(after, charged=after.charged + 1, status=DeliveryStatus.EXHAUSTED)
            self.states[item.delivery_id] = failed
            return Applied(Verdict.APPLIED, item, {**applied.changed, item.delivery_id: failed})
        return applied


class OwnerCountingRedeliveries(Owner):
    ledger_type = CountsRedeliveries


# A delivery is tried again as soon as it is found.


class HastyWebhooks(Webhooks):
    def is_due(self, delivery: DeliveryState) -> bool:
        return delivery.next_at is not None and not delivery.held


# A service tries again what failed in its own hands, and forgets that when the partition goes to another one.


class ForgetfulWebhooks(Webhooks):
    def __init__(self, harness: Harness) -> None:
        super().__init__(harness)
        self.mine: set[str] = set()

    def tell(self, part: Partition, job: JobState) -> None:
        self.mine.add(delivery_id(job.job_id))
        super().tell(part, job)

    def is_due(self, delivery: DeliveryState) -> bool:
        return super().is_due(delivery) and delivery.delivery_id in self.mine
