"""
Attempt: one due event and its spec as an HTTP request, and what became of it as a fact. Pure.

The caller's own headers come first, then Fliq's. A job whose account is a webhook endpoint tells it of an event: what its receiver
sees is the delivery, with the same id each time, and nothing of the job.

Source: docs/api.md, "What a target receives", "Signatures".
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from libs.domain.endpoints.delivery import DELIVERY_HEADER, EVENT_HEADER
from libs.domain.endpoints.order import WAITS
from libs.domain.instants import rfc3339
from libs.domain.responses.answer_keeper import AnswerKeeper
from libs.domain.retry_policy import Classified, Result, classify
from libs.egress.caller_headers import clean_error, own_headers, sent_url
from libs.egress.outcome import NO_ANSWER, Outcome
from libs.egress.request import OutgoingRequest
from libs.egress.signing import signature_headers
from libs.events import AttemptDue, AttemptFinished, Response, Spec
from libs.events.ids import delivery_id, share_of, told_endpoint
from libs.events.retry_policy import Outcome as OutcomeWord

SNOOZED: Final = "snoozed"  # the error of a try that the target put off
STOPPED: Final = "stopped"  # the error of a try that was cut off, because its job was stopped
TOO_LATE: Final = "too_late"  # the error of a try that could not start in time


def outgoing(
    due: AttemptDue,
    spec: Spec,
    *,
    secrets: Sequence[str],
    timestamp_s: int,
    user_agent: str,
    traceparent: str | None = None,
    keeper: AnswerKeeper | None = None,
) -> OutgoingRequest:
    """
    Return the request of one attempt.

    Args:
        due: the admitted due event.
        spec: what to call.
        secrets: the account's signing secrets, newest first, at least one.
        timestamp_s: the second in which it is sent; it is signed.
        user_agent: `Fliq/<version>`; used unless the job sets its own.
        traceparent: the trace that the call belongs to, and its span; sent unless the job sets its own.
        keeper: gathers what is kept of the answer.
    """
    headers, own_names = own_headers(spec.headers)
    ours, message_id = _of_job(due) if told_endpoint(due.account) is None else _of_delivery(due, spec)
    headers += ours
    if "idempotency-key" not in own_names:
        headers.append(("Idempotency-Key", message_id))
    if "user-agent" not in own_names:
        headers.append(("User-Agent", user_agent))
    if traceparent is not None and "traceparent" not in own_names:
        headers.append(("traceparent", traceparent))
    body = None if spec.body is None else spec.body.encode()
    headers += signature_headers(
        secrets,
        message_id=message_id,
        timestamp_s=timestamp_s,
        method=spec.method,
        url=sent_url(spec.url),
        body=body or b"",
    )
    return OutgoingRequest(
        method=spec.method,
        url=spec.url,
        headers=headers,
        body=body,
        account=share_of(due.account),
        key=due.execution_id,
        keeper=keeper,
    )


def _of_job(due: AttemptDue) -> tuple[list[tuple[str, str]], str]:
    """Return what the target of a job is told besides, and the id of the message."""
    headers = [
        ("X-Fliq-Job-Id", due.job_id),
        ("X-Fliq-Execution-Id", due.execution_id),
        ("X-Fliq-Attempt", str(due.attempt)),
        ("X-Fliq-Scheduled-At", rfc3339(due.scheduled_at)),
    ]
    if due.schedule_id is not None:
        headers.append(("X-Fliq-Schedule-Id", due.schedule_id))
        headers.append(("X-Fliq-Trigger", due.trigger or "schedule"))
    if due.local_time is not None:
        headers.append(("X-Fliq-Local-Time", due.local_time))
    if due.max_attempts is not None:
        headers.append(("X-Fliq-Max-Attempts", str(due.max_attempts)))
    if due.previous_status_code is not None:
        headers.append(("X-Fliq-Previous-Status", str(due.previous_status_code)))
    if due.too_late_at is not None:
        headers.append(("X-Fliq-Expires-At", rfc3339(due.too_late_at)))
    return headers, due.execution_id


def _of_delivery(due: AttemptDue, spec: Spec) -> tuple[list[tuple[str, str]], str]:
    """Return the same for a webhook endpoint: the id of a delivery is the same for each try."""
    headers = spec.headers or {}
    sent = [(EVENT_HEADER, headers.get(EVENT_HEADER, "")), ("X-Fliq-Attempt", str(due.attempt))]
    return sent, headers.get(DELIVERY_HEADER) or delivery_id(due.job_id)


def span_attributes(due: AttemptDue, spec: Spec, host: str) -> dict[str, str | int]:
    """Return what the span of an attempt says of it: nothing of path, headers or body."""
    return {
        "http.request.method": spec.method,
        "server.address": host.partition("://")[2],
        "fliq.job_id": due.job_id,
        "fliq.execution_id": due.execution_id,
        "fliq.attempt": due.attempt,
    }


def classified(due: AttemptDue, outcome: Outcome) -> Classified:
    """Return what *outcome* means by the policy of the job."""
    result = Result(
        status=outcome.status_code,
        no_answer=outcome.error if outcome.error in NO_ANSWER else None,
        asked_ms=outcome.retry_after_ms,
        snooze_ms=outcome.snooze_ms,
        is_final=outcome.is_final,
    )
    return classify(due.retry, due.success_on, result)


def finished(due: AttemptDue, outcome: Outcome, *, at: int, response: Response | None = None) -> AttemptFinished:
    """Return the fact that the attempt ended at *at* with *outcome*; *response* is what was kept of the answer."""
    word, asked_ms = classified(due, outcome)
    return AttemptFinished(
        job_id=due.job_id,
        at=at,
        attempt=due.attempt,
        execution_id=due.execution_id,
        ok=word == "success",
        started_at=outcome.sent_at,
        duration_ms=max(0, outcome.duration_ms),
        status_code=outcome.status_code,
        error=_error(word, outcome),
        retry_after_ms=asked_ms,
        error_detail=outcome.error_detail,
        outcome=None if word in ("success", "failure") else word,
        resent=outcome.connection == "resent",
        response=response,
    )


def not_made(due: AttemptDue, error: str, *, at: int, outcome: OutcomeWord | None = None) -> AttemptFinished:
    """Return the fact that the attempt failed without an answer, for a reason of ours."""
    return AttemptFinished(
        job_id=due.job_id,
        at=at,
        attempt=due.attempt,
        execution_id=due.execution_id,
        ok=False,
        started_at=max(at, due.not_before),
        duration_ms=0,
        error=clean_error(error),
        outcome=outcome,
    )


def waits(due: AttemptDue, wait_ms: int, *, at: int) -> AttemptFinished:
    """Return the fact that the attempt was not made, as an earlier delivery is pending; the next one is due *wait_ms* later."""
    fact = not_made(due, WAITS, at=at, outcome="snoozed")
    return msgspec.structs.replace(fact, retry_after_ms=wait_ms)


def too_late(due: AttemptDue, *, at: int) -> AttemptFinished:
    """Return the fact that the attempt was not made, because none may start any more."""
    return not_made(due, TOO_LATE, at=at, outcome="too_late")


def _error(word: OutcomeWord, outcome: Outcome) -> str | None:
    if word == "success":
        return None
    if word == "snoozed":
        return SNOOZED
    if outcome.error is None:  # a 2xx that is not in the job's `success_on`
        return f"HTTP {outcome.status_code:03d}"
    return clean_error(outcome.error)
