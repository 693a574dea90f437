"""
Outcome: the result of one call, in error texts that never change. Pure.

The error texts are part of the API: executions show them, tests and dashboards compare them. They are short. They never hold an
address, a host name, the state of a port or text from the target, and every denial reads the same.
"""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

TIMEOUT: Final = "timeout"
DNS_ERROR: Final = "dns_error"
DESTINATION_NOT_ALLOWED: Final = "destination_not_allowed"
CONNECTION_REFUSED: Final = "connection_refused"
CONNECTION_ERROR: Final = "connection_error"  # unreachable, reset, or closed before the answer's head was complete
TLS_ERROR: Final = "tls_error"
PROTOCOL_ERROR: Final = "protocol_error"  # what came back is not HTTP/1.x
INCOMPLETE_ANSWER: Final = "incomplete_answer"  # the head was complete, its body was cut off
REDIRECT_NOT_FOLLOWED: Final = "redirect_not_followed"
INVALID_REQUEST: Final = "invalid_request"  # never sent: the stored request could not be written safely

# The words for calls that got no whole answer: a closed set, fit for a metric's label.
NO_ANSWER: Final = frozenset(
    {
        *(TIMEOUT, DNS_ERROR, DESTINATION_NOT_ALLOWED, CONNECTION_REFUSED, CONNECTION_ERROR, TLS_ERROR),
        *(PROTOCOL_ERROR, INCOMPLETE_ANSWER, INVALID_REQUEST),
    }
)

RETRY_AFTER_MIN_MS = 1_000  # a target that asks for less would be called in a tight loop
RETRY_AFTER_CAP_MS = 3_600_000  # one hour; docs/api.md, "Retries"
_RETRY_AFTER_STATUS = (429, 503)
_SECONDS = re.compile(r"0*([0-9]*)")


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """
    The result of one call.

    Args:
        ok: the target answered 200–299, whole or beyond the byte budget; nothing else is a success.
        status_code: the three-digit status as given, also an unusual one (101, 999), also of an answer that was cut off or timed
            out in its body; None when no complete head arrived.
        error: None exactly when *ok*; else one of this module's words, or `HTTP <status>`.
        duration_ms: from the beginning of the call, name resolution included, to its end.
        retry_after_ms: what a 429 or 503 asked for, a second to an hour; None when it asked for nothing that can be understood.
        sent_at: when the request was handed to the socket; when it never was, when the call began.
        is_truncated: the answer passed the byte budget. The status decides all the same.
        error_detail: why an answer is a `protocol_error`: one short line without anything that the target sent.
    """

    ok: bool
    status_code: int | None
    error: str | None
    duration_ms: int
    retry_after_ms: int | None
    sent_at: int
    is_truncated: bool = False
    error_detail: str | None = None


def error_of_status(status: int) -> str | None:
    """Return the error text for a final status, None for success."""
    if 200 <= status <= 299:
        return None
    if 300 <= status <= 399:
        return REDIRECT_NOT_FOLLOWED
    return f"HTTP {status:03d}"


def retry_after_ms(status: int, value: str | None, *, now: int) -> int | None:
    """
    Return how long the target asks us to wait, in milliseconds, from one second to one hour.

    Args:
        status: only 429 and 503 are listened to.
        value: the header `Retry-After`, seconds in any number of digits or an HTTP date. Zero, a date that is not in the future,
            and anything else count as absent, so that the back-off applies.
        now: milliseconds since the epoch, for dates.
    """
    if value is None or status not in _RETRY_AFTER_STATUS:
        return None
    text = value.strip()
    seconds = _SECONDS.fullmatch(text)
    if text and seconds is not None:
        digits = seconds[1]
        wait_ms = RETRY_AFTER_CAP_MS if len(digits) > 7 else int(digits or 0) * 1000
    else:
        try:
            at = parsedate_to_datetime(text)
            wait_ms = int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() * 1000) - now
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    if wait_ms <= 0:
        return None
    return min(max(wait_ms, RETRY_AFTER_MIN_MS), RETRY_AFTER_CAP_MS)
