"""
Payload: the body of a webhook, exactly the six documented fields, and the request that carries it. Pure.

Source: docs/api.md, "Webhooks", "Signatures".
"""

from collections.abc import Sequence

import msgspec

from libs.domain.endpoints.webhook_event import WebhookEvent, of_end
from libs.domain.jobs.ends import TerminalEvent
from libs.domain.retry_policy import Result, classify
from libs.egress.caller_headers import clean_error, own_headers, sent_url
from libs.egress.outcome import REDIRECT_NOT_FOLLOWED, Outcome
from libs.egress.request import OutgoingRequest
from libs.egress.signing import signature_headers
from libs.events import Spec, WebhookAttempted, WebhookFinished
from libs.events.retry_policy import RetryPolicy


def payload(event: TerminalEvent) -> bytes:
    """Return the body of the webhook for *event*, as JSON."""
    return msgspec.json.encode(_told(event).data)


def _told(event: TerminalEvent) -> WebhookEvent:
    return of_end(event, schedule_id=None, host=None)


def outgoing(
    event: TerminalEvent,
    spec: Spec,
    *,
    secrets: Sequence[str],
    message_id: str,
    timestamp_s: int,
    user_agent: str,
    traceparent: str | None = None,
) -> OutgoingRequest:
    """
    Return the POST of the webhook for *event*.

    Args:
        event: the admitted end of the job.
        spec: names the URL and the caller's own headers for it.
        secrets: the account's signing secrets, newest first, at least one.
        message_id: the same for each try of a delivery.
        timestamp_s: the second in which it is sent; it is signed.
        user_agent: `Fliq/<version>`; used unless the caller sets its own.
        traceparent: the trace that the POST belongs to, and its span; sent unless the caller sets its own.

    Raises:
        ValueError: the spec has no webhook.
    """
    url = spec.webhook_url
    if url is None:
        raise ValueError("the job has no webhook_url")
    headers, own_names = own_headers(spec.webhook_headers)
    if "content-type" in own_names:  # the contract fixes it
        headers = [(name, value) for name, value in headers if name.lower() != "content-type"]
    headers.append(("Content-Type", "application/json"))
    if "user-agent" not in own_names:
        headers.append(("User-Agent", user_agent))
    if traceparent is not None and "traceparent" not in own_names:
        headers.append(("traceparent", traceparent))
    body = payload(event)
    headers += signature_headers(
        secrets, message_id=message_id, timestamp_s=timestamp_s, method="POST", url=sent_url(url), body=body
    )
    return OutgoingRequest(method="POST", url=url, headers=headers, body=body, account=event.account, key=event.job_id)


def finished(event: TerminalEvent, outcome: Outcome, *, at: int) -> WebhookFinished:
    """Return the fact that the POST ended at *at* with *outcome*."""
    return WebhookFinished(
        job_id=event.job_id,
        at=at,
        ok=outcome.ok,
        duration_ms=max(0, outcome.duration_ms),
        status_code=outcome.status_code,
        error=None if outcome.ok else clean_error(outcome.error),
    )


def attempted(
    event: TerminalEvent, policy: RetryPolicy, attempt: int, outcome: Outcome, *, delivery_id: str, at: int
) -> WebhookAttempted:
    """Return the fact that try *attempt* of a delivery with *policy* ended at *at* with *outcome*."""
    word = outcome.error or ""
    has_answer = outcome.ok or word.startswith("HTTP ") or word == REDIRECT_NOT_FOLLOWED
    found = classify(
        policy,
        None,
        Result(outcome.status_code, no_answer=None if has_answer else word, asked_ms=outcome.retry_after_ms),
    )
    return WebhookAttempted(
        delivery_id=delivery_id,
        account=event.account,
        at=at,
        attempt=attempt,
        outcome=found.outcome,
        duration_ms=max(0, outcome.duration_ms),
        status_code=outcome.status_code,
        error=None if outcome.ok else clean_error(outcome.error),
        asked_ms=found.asked_ms,
        job_id=event.job_id,
        event=_told(event).names[0],
        retry=policy if attempt == 1 else None,
        spec_id=event.spec_id if attempt == 1 else None,
    )


def not_attempted(
    event: TerminalEvent, policy: RetryPolicy, attempt: int, error: str, *, delivery_id: str, at: int
) -> WebhookAttempted:
    """Return the fact that try *attempt* of a delivery failed without a POST, for a reason of ours."""
    nothing = Outcome(ok=False, status_code=None, error=error, duration_ms=0, retry_after_ms=None, sent_at=at)
    return attempted(event, policy, attempt, nothing, delivery_id=delivery_id, at=at)


def not_made(event: TerminalEvent, error: str, *, at: int) -> WebhookFinished:
    """Return the fact that no POST was made, for a reason of ours."""
    return WebhookFinished(job_id=event.job_id, at=at, ok=False, duration_ms=0, error=clean_error(error))
