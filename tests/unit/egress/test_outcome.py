"""Outcome words and Retry-After (V4, V7)."""

from __future__ import annotations

import pytest

from libs.egress.outcome import error_of_status, is_final, retry_after_ms, snooze_ms

NOW = 1_775_034_000_000  # 2026-04-01T09:00:00Z
YEAR_MS = 366 * 86_400_000


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_success(status: int) -> None:
    """200 to 299 is success, and has no error text."""
    assert error_of_status(status) is None


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (101, "HTTP 101"),
        (300, "redirect_not_followed"),
        (304, "redirect_not_followed"),
        (308, "redirect_not_followed"),
        (400, "HTTP 400"),
        (500, "HTTP 500"),
        (999, "HTTP 999"),
    ],
)
def test_failure(status: int, error: str) -> None:
    """Every other status fails, with its word."""
    assert error_of_status(status) == error


@pytest.mark.parametrize(
    ("value", "wait_ms"),
    [
        ("10", 10_000),
        (" 10 ", 10_000),
        ("0", None),  # case 9
        ("000", None),
        ("1", 1_000),
        ("0000000010", 10_000),
        ("3600", 3_600_000),
        ("3601", 3_601_000),
        ("99999999", YEAR_MS),
        ("999999999999", YEAR_MS),
        ("Wed, 01 Apr 2026 09:00:30 GMT", 30_000),
        ("Wed, 01 Apr 2026 11:00:30 +0200", 30_000),
        ("Wednesday, 01-Apr-26 09:00:30 GMT", 30_000),
        ("Wed Apr  1 09:00:30 2026", 30_000),
        ("Wed, 01 Apr 2026 08:00:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", YEAR_MS),
        ("9" * 64, YEAR_MS),  # case 8
        ("1795964470494", YEAR_MS),
        ("Wed, 01 Apr 2026 09:00:00 GMT", None),
        ("Wed, 01 Apr 2026 09:00:00.5 GMT", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("١٠", None),
        ("10, 20", None),
        ("Wed, 99 Apr 2026 09:00:30 GMT", None),
        ("Wed, 01 Apr 99999 09:00:30 GMT", None),
        ("Mon, 01 Jan 0001 00:00:00 +2359", None),
        (None, None),
    ],
)
def test_cases_8_and_9_retry_after(value: str | None, wait_ms: int | None) -> None:
    """V7, cases 8 and 9: seconds and dates are read and capped at a year; zero, the past and garbage count as absent."""
    signals = {} if value is None else {b"retry-after": value}
    assert retry_after_ms(429, signals, now=NOW) == wait_ms
    assert retry_after_ms(503, signals, now=NOW) == wait_ms
    assert snooze_ms({} if value is None else {b"fliq-snooze": value}, now=NOW) == wait_ms


@pytest.mark.parametrize("status", [200, 301, 404, 500, 502])
def test_other_statuses_are_not_listened_to(status: int) -> None:
    """Only 429 and 503 may ask for a wait."""
    assert retry_after_ms(status, {b"retry-after": "10"}, now=NOW) is None


@pytest.mark.parametrize("name", [b"ratelimit-reset", b"x-ratelimit-reset"])
@pytest.mark.parametrize(
    ("value", "wait_ms"),
    [
        ("30", 30_000),
        ("999999999", YEAR_MS),
        ("1775034060", 60_000),
        ("1775034000", None),
        ("1000000000", None),
        ("x", None),
    ],
)
def test_a_reset_is_seconds_from_now_or_an_instant(name: bytes, value: str, wait_ms: int | None) -> None:
    """Below 10^9 a 429's reset counts from now, else from 1970; a 503 is not listened to for it."""
    assert retry_after_ms(429, {name: value}, now=NOW) == wait_ms
    assert retry_after_ms(503, {name: value}, now=NOW) is None


def test_retry_after_comes_before_a_reset() -> None:
    """The header that means exactly this counts, if it can be read."""
    assert retry_after_ms(429, {b"retry-after": "5", b"ratelimit-reset": "9"}, now=NOW) == 5_000
    assert retry_after_ms(429, {b"retry-after": "x", b"ratelimit-reset": "9"}, now=NOW) == 9_000


@pytest.mark.parametrize(
    ("status", "signals", "expected"),
    [
        (500, {b"fliq-retry": "no"}, True),
        (200, {b"fliq-retry": " NO "}, True),
        (500, {b"fliq-retry": "yes"}, False),
        (489, {b"upstash-nonretryable-error": "true"}, True),
        (489, {}, False),
        (500, {b"upstash-nonretryable-error": "true"}, False),
        (489, {b"upstash-nonretryable-error": "false"}, False),
    ],
)
def test_an_answer_may_forbid_another_call(status: int, signals: dict[bytes, str], expected: bool) -> None:
    """By Fliq's own header with any status, or as QStash's targets do."""
    assert is_final(status, signals) == expected
