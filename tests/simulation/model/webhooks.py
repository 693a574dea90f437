"""
The webhooks service of the protocol model: it sends what is pending in the tables, and tries deliveries that are due there.

The tables may be behind the log, and restored to an older point, so a try may be recorded twice, with different outcomes.
"""

from __future__ import annotations

from libs.domain.job import JobState
from libs.domain.jobs.delivery import DeliveryState
from libs.events import WebhookAttempted, WebhookFinished, WebhookRedeliverRequested, encode
from libs.events.ids import delivery_id
from libs.events.retry_policy import Outcome, RetryPolicy
from tests.simulation.model.harness import Harness, Partition

POLICY = RetryPolicy(max_retries=2, delay_ms=1_000, max_delay_ms=4_000)


class Webhooks:
    """The service of all partitions. It remembers nothing: all that is to be done stands in the tables."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness

    def step(self, part: Partition) -> None:
        """Do one thing: a first try, a later one, or what a caller asks for."""
        rng = self.harness.rng
        pending = [job for job in part.tables.jobs.values() if is_pending(job)]
        due = [each for each in part.tables.deliveries.values() if self.is_due(each)]
        ended = [each for each in part.tables.deliveries.values() if each.next_at is None]
        if pending and rng.random() < 0.5:
            self.tell(part, rng.choice(pending))
        elif due:
            self.retry(part, rng.choice(due))
        elif ended and rng.random() < 0.3:
            self.ask_again(part, rng.choice(ended))

    def turn(self, part: Partition) -> None:
        """Do everything once, and let callers ask for some deliveries again; used when the run has calmed down."""
        for each in [each for each in part.tables.deliveries.values() if each.next_at is None]:
            if each.last_request_id is None and self.harness.rng.random() < 0.3:
                self.ask_again(part, each)
        for job in [job for job in part.tables.jobs.values() if is_pending(job)]:
            self.tell(part, job)
        for each in [each for each in part.tables.deliveries.values() if self.is_due(each)]:
            self.retry(part, each)

    def is_due(self, delivery: DeliveryState) -> bool:
        """Whether the next try of *delivery* may be made."""
        return delivery.next_at is not None and not delivery.held and delivery.next_at <= self.harness.now

    def tell(self, part: Partition, job: JobState) -> None:
        """Send the webhook of *job* for the first time: every second job asked for more tries than one."""
        now = self.harness.now
        if job.job_id[-1] in "02468bdfhkn":
            part.send(object(), [encode(WebhookFinished(job_id=job.job_id, at=now, ok=True, duration_ms=1))])
            return
        event = WebhookAttempted(
            delivery_id=delivery_id(job.job_id),
            account=job.account,
            at=now,
            attempt=1,
            outcome=self.outcome(),
            duration_ms=1,
            job_id=job.job_id,
            event="job.completed",
            retry=POLICY,
            spec_id=job.spec_id,
        )
        part.send(object(), [encode(event)])

    def retry(self, part: Partition, delivery: DeliveryState) -> None:
        """Try *delivery* once more."""
        event = WebhookAttempted(
            delivery_id=delivery.delivery_id,
            account=delivery.account,
            at=self.harness.now,
            attempt=delivery.attempt + 1,
            outcome=self.outcome(),
            duration_ms=1,
            job_id=delivery.job_id,
        )
        part.send(object(), [encode(event)])

    def ask_again(self, part: Partition, delivery: DeliveryState) -> None:
        """Have a caller ask for a redelivery."""
        event = WebhookRedeliverRequested(
            delivery_id=delivery.delivery_id, at=self.harness.now, request_id=self.harness.nonce()
        )
        part.send(object(), [encode(event)])

    def outcome(self) -> Outcome:
        """Draw how a try ends."""
        chance = self.harness.rng.random()
        return "success" if chance < 0.4 else "free" if chance < 0.5 else "failure"


def is_pending(job: JobState) -> bool:
    """Whether the webhook of *job* was not sent yet, as far as the tables know."""
    return job.is_terminal and job.has_webhook and job.webhook_at is None
