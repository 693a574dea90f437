"""The events of webhooks: how the one POST at a job's end went; tries of a delivery, which is repeated if it fails."""

import msgspec

from libs.events.fields import (
    Account,
    AttemptNum,
    DeliveryId,
    DurationMs,
    Instant,
    JobId,
    StatusCode,
    Text,
)
from libs.events.retry_policy import Outcome, RetryPolicy


class WebhookFinished(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Fact: the webhook was sent once, with this outcome. First wins by *job_id*; the job's status does not change."""

    job_id: JobId
    at: Instant
    ok: bool
    duration_ms: DurationMs
    status_code: StatusCode | None = None
    error: Text | None = None


class WebhookAttempted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Fact: a webhook that is repeated if it fails was sent, with this outcome. First wins by (*delivery_id*, *attempt*).

    The fold computes from it when the next try is due, so no record says that. No status of a job changes.

    Args:
        outcome: what the result means for the tries that may follow.
        asked_ms: the delay that the answer asked for.
        event: what the receiver is told of.
        retry: when it is tried again; on the first try only, every delay filled in.
        spec_id: the id under which the URL is kept; on the first try only.
    """

    delivery_id: DeliveryId
    job_id: JobId
    account: Account
    at: Instant
    attempt: AttemptNum
    outcome: Outcome
    duration_ms: DurationMs
    status_code: StatusCode | None = None
    error: Text | None = None
    asked_ms: DurationMs | None = None
    event: Text | None = None
    retry: RetryPolicy | None = None
    spec_id: Text | None = None


class WebhookRedeliverRequested(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Fact: a caller asks for one more try of a delivery that is at its end. It is made at once, and not repeated.

    Args:
        request_id: tells this request from others.
    """

    delivery_id: DeliveryId
    at: Instant
    request_id: Text
