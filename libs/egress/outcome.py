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
PROTOCOL_ERROR: Final = "protocol_error"  # the answer is not HTTP/1.x
REDIRECT_NOT_FOLLOWED: Final = "redirect_not_followed"
INVALID_REQUEST: Final = "invalid_request"  # never sent: the stored request could not be written safely

# The error texts of calls that got no answer: a closed set, so that a metric can have them as a label.
NO_ANSWER: Final = frozenset(
    {
        *(TIMEOUT, DNS_ERROR, DESTINATION_NOT_ALLOWED, CONNECTION_REFUSED, CONNECTION_ERROR, TLS_ERROR),
        *(PROTOCOL_ERROR, INVALID_REQUEST),
    }
)

RETRY_AFTER_CAP_MS = 3_600_000  # one hour; docs/api.md, "Retries"
_RETRY_AFTER_STATUS = (429, 503)
_SECONDS = re.compile(r"[0-9]{1,12}")


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """
    The result of one call.

    ok: whether the target answered 200–299; nothing else is a success.
    status_code: the three-digit status as sent, also an unusual one (101, 999). None if no complete head arrived, or if the call
        failed after the head (a body that is too slow for the timeout, a broken chunk).
    error: None if *ok*; else one of this module's texts, or `HTTP <status>`.
    duration_ms: from the beginning of the call, name resolution included, to its end.
    retry_after_ms: the wait that a 429 or 503 asked for, 0 to one hour; None if it asked for none, or in a form we cannot read.
    sent_at: when the request was handed to the socket; if it never was, when the call began.
    is_truncated: the response was not read to its end: the peer closed early, or the body was too long. The status still decides.
    """

    ok: bool
    status_code: int | None
    error: str | None
    duration_ms: int
    retry_after_ms: int | None
    sent_at: int
    is_truncated: bool = False


def error_of_status(status: int) -> str | None:
    """Return the error text for a final status, None for success."""
    if 200 <= status <= 299:
        return None
    if 300 <= status <= 399:
        return REDIRECT_NOT_FOLLOWED
    return f"HTTP {status:03d}"


def retry_after_ms(status: int, value: str | None, *, now: int) -> int | None:
    """
    Return how long the target asks us to wait, in milliseconds, at most one hour.

    Args:
        status: only 429 and 503 may ask for a wait.
        value: the header `Retry-After`, seconds or an HTTP date; anything else counts as absent.
        now: milliseconds since the epoch, for dates; a date in the past gives 0.
    """
    if value is None or status not in _RETRY_AFTER_STATUS:
        return None
    text = value.strip()
    if _SECONDS.fullmatch(text) is not None:
        return min(int(text) * 1000, RETRY_AFTER_CAP_MS)
    try:
        at = parsedate_to_datetime(text)
        at_ms = int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(at_ms - now, 0), RETRY_AFTER_CAP_MS)
