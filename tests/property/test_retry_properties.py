"""Retry: what holds for every delay."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from libs.domain.retry import DELAY_MAX_MS, next_attempt_at

instants = st.integers(min_value=0, max_value=2**53)
attempts = st.integers(min_value=1, max_value=21)
bases = st.floats(min_value=0, max_value=1e9)
jitters = st.floats(min_value=0, max_value=1, exclude_max=True)


@given(instants, st.integers(min_value=1), st.floats(min_value=0, max_value=1e308), jitters)
def test_delay_is_between_nothing_and_an_hour(failed_at: int, attempt_num: int, base_s: float, jitter: float) -> None:
    """No attempt number and no base overflows, goes back in time, or waits for more than an hour."""
    at = next_attempt_at(failed_at, attempt_num, base_s=base_s, jitter=jitter, retry_after_ms=None)

    assert 0 <= at - failed_at <= DELAY_MAX_MS


@given(attempts, bases, jitters)
def test_delay_is_within_a_quarter_of_the_backoff(attempt_num: int, base_s: float, jitter: float) -> None:
    """The delay lies within ±25 % of base × 2^(n−1), the latter capped at an hour."""
    backoff_ms = min(base_s * 1000 * 2 ** (attempt_num - 1), DELAY_MAX_MS)
    delay_ms = next_attempt_at(0, attempt_num, base_s=base_s, jitter=jitter, retry_after_ms=None)

    assert 0.75 * backoff_ms - 1 <= delay_ms <= 1.25 * backoff_ms + 1


@given(attempts, bases, jitters, jitters)
def test_more_jitter_and_later_attempts_never_wait_less(n: int, base_s: float, one: float, other: float) -> None:
    """The delay grows with the jitter drawn and, for the same jitter, with the attempt."""

    def delay_ms(attempt_num: int, jitter: float) -> int:
        return next_attempt_at(0, attempt_num, base_s=base_s, jitter=jitter, retry_after_ms=None)

    assert delay_ms(n, min(one, other)) <= delay_ms(n, max(one, other))
    assert delay_ms(n, one) <= delay_ms(n + 1, one)


@given(instants, attempts, bases, jitters, st.integers())
def test_retry_after_alone_decides(
    failed_at: int, attempt_num: int, base_s: float, jitter: float, asked_ms: int
) -> None:
    """With Retry-After the delay is what was asked for, clipped to [0, 1 h], whatever the back-off would be."""
    at = next_attempt_at(failed_at, attempt_num, base_s=base_s, jitter=jitter, retry_after_ms=asked_ms)

    assert at == failed_at + sorted((0, asked_ms, DELAY_MAX_MS))[1]
