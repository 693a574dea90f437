"""
Attempt: one due event and its spec as an HTTP request, and what became of it as a fact. Pure.

The caller's own headers come first, then Fliq's. `X-Fliq-*`, `webhook-*` and the headers that frame a message are Fliq's alone: the
API refuses them, and here they are left out again, because a stored spec may be older than today's rules.

Source: api-contract.md, "Headers to targets", "Signing".
"""

from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from typing import Final

from libs.domain.instants import rfc3339
from libs.egress.outcome import Outcome
from libs.egress.request import FRAMING_HEADERS, OutgoingRequest
from libs.egress.signing import signature_headers
from libs.events import AttemptDue, AttemptFinished, Spec

ERROR_LENGTH_MAX: Final = 200

SPEC_MISSING: Final = "spec_missing"  # the tables are past the due event and still know nothing of the job
SECRET_MISSING: Final = "signing_secret_missing"  # noqa: S105 - an error's name; the account cannot sign, and unsigned calls are not made
INTERNAL_ERROR: Final = "internal_error"  # a defect of ours, logged with its traceback
TIMEOUT: Final = "timeout"


class _Header(Enum):
    CALLERS = 0
    RESERVED = 1
    IDEMPOTENCY_KEY = 2
    USER_AGENT = 3
    TRACEPARENT = 4


def outgoing(
    due: AttemptDue, spec: Spec, *, secrets: Sequence[str], timestamp_s: int, user_agent: str
) -> OutgoingRequest:
    """
    Return the request of one attempt.

    Args:
        due: the admitted due event.
        spec: what to call.
        secrets: the account's signing secrets, newest first, at least one.
        timestamp_s: the second in which it is sent; it is signed.
        user_agent: `Fliq/<version>`; used unless the job sets its own.
    """
    headers: list[tuple[str, str]] = []
    execution_id = due.execution_id
    has_key = has_agent = has_trace = False
    if spec.headers:
        for name, value in spec.headers.items():
            kind = _kind(name)
            if kind is _Header.RESERVED:
                continue
            headers.append((name, value))
            if kind is not _Header.CALLERS:
                has_key = has_key or kind is _Header.IDEMPOTENCY_KEY
                has_agent = has_agent or kind is _Header.USER_AGENT
                has_trace = has_trace or kind is _Header.TRACEPARENT
    headers += (
        ("X-Fliq-Job-Id", due.job_id),
        ("X-Fliq-Execution-Id", execution_id),
        ("X-Fliq-Attempt", str(due.attempt)),
        ("X-Fliq-Scheduled-At", rfc3339(due.scheduled_at)),
    )
    if due.schedule_id is not None:
        headers.append(("X-Fliq-Schedule-Id", due.schedule_id))
    if not has_key:
        headers.append(("Idempotency-Key", execution_id))
    if not has_agent:
        headers.append(("User-Agent", user_agent))
    if spec.traceparent is not None and not has_trace:
        headers.append(("traceparent", spec.traceparent))
    body = None if spec.body is None else spec.body.encode()
    headers += signature_headers(
        secrets,
        message_id=execution_id,
        timestamp_s=timestamp_s,
        method=spec.method,
        url=spec.url,
        body=body or b"",
    )
    return OutgoingRequest(method=spec.method, url=spec.url, headers=headers, body=body)


def finished(due: AttemptDue, outcome: Outcome, *, at: int) -> AttemptFinished:
    """Return the fact that the attempt ended at *at* with *outcome*."""
    return AttemptFinished(
        job_id=due.job_id,
        at=at,
        attempt=due.attempt,
        execution_id=due.execution_id,
        ok=outcome.ok,
        started_at=outcome.sent_at,
        duration_ms=max(0, outcome.duration_ms),
        status_code=outcome.status_code,
        error=None if outcome.ok else clean_error(outcome.error),
        retry_after_ms=outcome.retry_after_ms,
    )


def not_made(due: AttemptDue, error: str, *, at: int) -> AttemptFinished:
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
    )


def clean_error(text: str | None) -> str:
    """Return *text* as it may stand in log and tables: one line without control characters, bounded in length."""
    if not text:
        return INTERNAL_ERROR
    if not (text.isascii() and text.isprintable()):
        text = "".join(letter if letter.isprintable() else " " for letter in text)
        text = text.encode("utf-8", "replace").decode()
    return text[:ERROR_LENGTH_MAX]


def host_of(url: str) -> str:
    """Return scheme, host and port of a normalised URL: the unit of the per-host limit."""
    slash = url.find("/", url.find("://") + 3)
    return url if slash < 0 else url[:slash]


@lru_cache(4096)  # names repeat from call to call
def _kind(name: str) -> _Header:
    lowered = name.lower()
    if lowered in FRAMING_HEADERS or lowered.startswith(("x-fliq-", "webhook-")):
        return _Header.RESERVED
    if lowered == "idempotency-key":
        return _Header.IDEMPOTENCY_KEY
    if lowered == "user-agent":
        return _Header.USER_AGENT
    return _Header.TRACEPARENT if lowered == "traceparent" else _Header.CALLERS
