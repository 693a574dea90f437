"""Retry: the table of delays."""

from __future__ import annotations

import pytest

from libs.domain.retry import next_attempt_at

AT = 1_775_034_000_000
HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("attempt_num", "shortest_s", "middle_s", "longest_s"),
    [
        (1, 22.5, 30, 37.5),
        (2, 45, 60, 75),
        (3, 90, 120, 150),
        (7, 1440, 1920, 2400),
        (8, 2700, 3150, 3600),  # 3,840 s, capped: spread between 45 and 60 minutes
        (21, 2700, 3150, 3600),
        (10**9, 2700, 3150, 3600),
    ],
)
def test_delay_doubles_up_to_an_hour(attempt_num: int, shortest_s: float, middle_s: float, longest_s: float) -> None:
    """The delay is 30 s × 2^(n−1) ± 25 %, never more than an hour."""

    def delay_s(jitter: float) -> float:
        return (next_attempt_at(AT, attempt_num, base_s=30, jitter=jitter, retry_after_ms=None) - AT) / 1000

    assert delay_s(0.0) == shortest_s
    assert delay_s(0.5) == middle_s
    assert delay_s(1 - 2**-53) == pytest.approx(longest_s, abs=0.001)


@pytest.mark.parametrize(
    ("asked_ms", "expected_ms"),
    [(10_000, 10_000), (0, 0), (-5, 0), (HOUR_MS, HOUR_MS), (HOUR_MS + 1, HOUR_MS), (99_999_999_000, HOUR_MS)],
)
def test_retry_after_replaces_the_backoff(asked_ms: int, expected_ms: int) -> None:
    """What the target asks for is honoured exactly, between nothing and an hour."""
    assert next_attempt_at(AT, 3, base_s=30, jitter=0.9, retry_after_ms=asked_ms) == AT + expected_ms


@pytest.mark.parametrize(("base_s", "expected_ms"), [(0, 0), (0.05, 50), (7200, 3_150_000), (1e308, 3_150_000)])
def test_base_is_any_number_of_seconds(base_s: float, expected_ms: int) -> None:
    """A base of nothing retries at once; one beyond the cap behaves like the cap."""
    assert next_attempt_at(AT, 1, base_s=base_s, jitter=0.5, retry_after_ms=None) == AT + expected_ms


def test_arguments_outside_their_range_are_refused() -> None:
    """A defect of the caller is an error, not a strange delay; also when Retry-After would hide it."""
    for retry_after_ms in (None, 1000):
        for attempt_num in (0, -1):
            with pytest.raises(ValueError, match="attempt_num"):
                next_attempt_at(AT, attempt_num, base_s=30, jitter=0.5, retry_after_ms=retry_after_ms)
        for jitter in (-0.1, 1.0, float("nan")):
            with pytest.raises(ValueError, match="jitter"):
                next_attempt_at(AT, 1, base_s=30, jitter=jitter, retry_after_ms=retry_after_ms)
        for base_s in (-1, float("nan"), float("inf")):
            with pytest.raises(ValueError, match="base_s"):
                next_attempt_at(AT, 1, base_s=base_s, jitter=0.5, retry_after_ms=retry_after_ms)
