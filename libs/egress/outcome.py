"""
Outcome: the result of one call, in error texts that never change. Pure.

The error texts are part of the API: executions show them, tests and dashboards compare them. They are short. They never hold an
address, a host name, the state of a port or text from the target, and every denial reads the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Final, Literal

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

WAIT_MIN_MS: Final = 1_000  # a target that asks for less would be called in a tight loop
WAIT_MAX_MS: Final = 366 * 86_400_000  # a year; what a job heeds of it says its retry policy
# Headers of an answer that say what is to come, in lower case; nothing else of a head is kept but its status.
SIGNALS: Final = frozenset(
    {
        *(b"retry-after", b"ratelimit-reset", b"x-ratelimit-reset"),
        *(b"fliq-retry", b"fliq-snooze", b"upstash-nonretryable-error"),
    }
)
SIGNAL_SIZES: Final = frozenset(map(len, SIGNALS))
Signals = Mapping[bytes, str]
NO_SIGNALS: Final[Signals] = MappingProxyType({})
ConnectionUse = Literal["new", "reused", "resent"]

_RETRY_AFTER_STATUS: Final = (429, 503)
_TOO_MANY: Final = 429
_NOT_RETRYABLE: Final = 489  # a status of QStash's, which counts together with its header
_EPOCH_FROM: Final = 10**9  # a reset is in seconds from now below this, and in seconds since 1970 from here on
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
        retry_after_ms: the wait that a 429 or 503 asked for, a second to a year; None when it asked for nothing that can be
            understood.
        sent_at: when the request was handed to the socket; when it never was, when the call began.
        is_truncated: the answer passed the byte budget. The status decides all the same.
        error_detail: why an answer is a `protocol_error`: one short line without anything that the target sent.
        snooze_ms: the wait that `Fliq-Snooze` asked for, a second to a year.
        is_final: the answer said that it must not be repeated.
        connection: what the request was sent on: a new connection, one that had served before (`reused`), or first on such a one,
            which ended before a byte of the answer came, and then on a new one (`resent`).
    """

    ok: bool
    status_code: int | None
    error: str | None
    duration_ms: int
    retry_after_ms: int | None
    sent_at: int
    is_truncated: bool = False
    error_detail: str | None = None
    snooze_ms: int | None = None
    is_final: bool = False
    connection: ConnectionUse = "new"


def error_of_status(status: int) -> str | None:
    """Return the error text for a final status, None for success."""
    if 200 <= status <= 299:
        return None
    if 300 <= status <= 399:
        return REDIRECT_NOT_FOLLOWED
    return f"HTTP {status:03d}"


def retry_after_ms(status: int, signals: Signals, *, now: int) -> int | None:
    """
    Return how long an answer asks us to wait, in milliseconds, from one second to a year; None if it does not ask.

    Args:
        status: only 429 and 503 are listened to; for 429 a reset of a rate limit is as good as `Retry-After`.
        now: milliseconds since the epoch, for dates.
    """
    if status not in _RETRY_AFTER_STATUS or not signals:
        return None
    wait_ms = _wait_ms(signals.get(b"retry-after"), now)
    if wait_ms is None and status == _TOO_MANY:
        reset = signals.get(b"ratelimit-reset") or signals.get(b"x-ratelimit-reset")
        wait_ms = _wait_ms(reset, now, is_reset=True)
    return wait_ms


def snooze_ms(signals: Signals, *, now: int) -> int | None:
    """Return the wait that `Fliq-Snooze` asks for, in milliseconds, from one second to a year."""
    return _wait_ms(signals.get(b"fliq-snooze"), now)


def is_final(status: int, signals: Signals) -> bool:
    """Say whether the answer forbids another call: `Fliq-Retry: no`, or QStash's way to say it."""
    if signals.get(b"fliq-retry", "").strip().lower() == "no":
        return True
    return status == _NOT_RETRYABLE and signals.get(b"upstash-nonretryable-error", "").strip().lower() == "true"


def _wait_ms(value: str | None, now: int, *, is_reset: bool = False) -> int | None:
    """
    Return the wait in *value*: seconds in any number of digits, or an HTTP date.

    Zero, an instant that is not in the future, and anything else count as absent, so that the back-off applies.

    Args:
        is_reset: a large number of seconds is an instant.
    """
    if value is None:
        return None
    text = value.strip()
    seconds = _SECONDS.fullmatch(text)
    if text and seconds is not None:
        digits = seconds[1]
        wait_ms = WAIT_MAX_MS if len(digits) > 12 else int(digits or 0) * 1000
        if is_reset and wait_ms >= _EPOCH_FROM * 1000:
            wait_ms -= now
    else:
        try:
            at = parsedate_to_datetime(text)
            wait_ms = int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() * 1000) - now
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    if wait_ms <= 0:
        return None
    return min(max(wait_ms, WAIT_MIN_MS), WAIT_MAX_MS)
