"""Retry policy: what holds for every delay."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.domain.retry_policy import DELAY_MAX_MS, delay_ms, window_ms
from libs.events.retry_policy import RetryPolicy

charges = st.integers(min_value=1, max_value=101)
bases = st.floats(min_value=0, max_value=1e9)
jitters = st.floats(min_value=0, max_value=1, exclude_max=True)
durations = st.integers(min_value=100, max_value=86_400_000)
policies = st.builds(
    RetryPolicy,
    backoff=st.sampled_from(["fixed", "linear", "exponential", "list"]),
    delay_ms=st.none() | durations,
    factor=st.floats(min_value=1, max_value=10),
    delays_ms=st.lists(st.integers(0, 604_800_000), min_size=1, max_size=50).map(tuple),
    max_delay_ms=st.integers(1_000, 604_800_000),
    jitter=st.sampled_from(["none", "proportional", "full", "equal"]),
)


def delay(policy: RetryPolicy | None, n: int, base_s: float, jitter: float, asked_ms: int | None = None) -> int:
    return delay_ms(policy, charged=n, base_s=base_s, jitter=jitter, asked_ms=asked_ms)


@given(st.integers(min_value=0), st.floats(min_value=0, max_value=1e308), jitters)
def test_delay_is_between_nothing_and_an_hour(charged: int, base_s: float, jitter: float) -> None:
    """No number of failures and no base overflows, or waits for more than an hour."""
    assert 0 <= delay(None, charged, base_s, jitter) <= DELAY_MAX_MS


@given(charges, bases, jitters)
def test_delay_is_within_a_quarter_of_the_backoff(n: int, base_s: float, jitter: float) -> None:
    """The delay lies within ±25 % of base × 2^(n−1), the latter capped at an hour."""
    backoff_ms = min(base_s * 1000 * 2 ** (n - 1), DELAY_MAX_MS)

    assert 0.75 * backoff_ms - 1 <= delay(None, n, base_s, jitter) <= 1.25 * backoff_ms + 1


@given(charges, bases, jitters, jitters)
def test_more_jitter_and_later_attempts_never_wait_less(n: int, base_s: float, one: float, other: float) -> None:
    """The delay grows with the jitter drawn and, for the same jitter, with the failures."""
    assert delay(None, n, base_s, min(one, other)) <= delay(None, n, base_s, max(one, other))
    assert delay(None, n, base_s, one) <= delay(None, n + 1, base_s, one)


@given(charges, bases, jitters, st.integers())
def test_retry_after_alone_decides(n: int, base_s: float, jitter: float, asked_ms: int) -> None:
    """Without a policy the delay is what Retry-After asks for, clipped to [0, 1 h], whatever the back-off would be."""
    assert delay(None, n, base_s, jitter, asked_ms) == sorted((0, asked_ms, DELAY_MAX_MS))[1]


@given(policies, charges, bases, jitters)
def test_a_delay_lies_in_its_window(policy: RetryPolicy, n: int, base_s: float, jitter: float) -> None:
    """Every delay lies in the jitter's window, which ends at the longest delay."""
    shortest_ms, longest_ms = window_ms(policy, charged=n, base_s=base_s)

    assert 0 <= shortest_ms <= longest_ms <= policy.max_delay_ms
    assert shortest_ms - 1 <= delay(policy, n, base_s, jitter) <= longest_ms + 1


@given(policies, charges, bases, jitters, st.integers(0, 10**10))
def test_what_the_target_asks_for_is_a_lower_bound(
    policy: RetryPolicy, n: int, base_s: float, jitter: float, asked_ms: int
) -> None:
    """With a policy no try comes before the instant that the target asked for, nor before the back-off."""
    assert delay(policy, n, base_s, jitter, asked_ms) == max(asked_ms, delay(policy, n, base_s, jitter))


@pytest.mark.parametrize("jitter", ["proportional", "full", "equal"])
@pytest.mark.parametrize("n", [1, 20])
def test_draws_fill_the_window_evenly(jitter: str, n: int) -> None:
    """10,000 draws put a tenth in each tenth of the window, also where the back-off has reached the longest delay."""
    policy = msgspec.convert({"jitter": jitter, "delay_ms": 60_000}, RetryPolicy)
    shortest_ms, longest_ms = window_ms(policy, charged=n, base_s=30)
    edges = [shortest_ms + (longest_ms - shortest_ms) * tenth / 10 for tenth in range(11)]
    delays = [delay(policy, n, 30, (draw + 0.5) / 10_000) for draw in range(10_000)]

    for low, high in pairwise(edges):
        assert sum(low <= each < high for each in delays) == pytest.approx(1_000, abs=5)


@given(policies)
def test_a_policy_survives_its_bytes(policy: RetryPolicy) -> None:
    """What stands in a record or row is the policy again."""
    assert msgspec.json.decode(msgspec.json.encode(policy), type=RetryPolicy) == policy


def test_a_default_policy_costs_two_bytes() -> None:
    """Only what is asked for is written."""
    assert msgspec.json.encode(RetryPolicy()) == b"{}"
    assert len(msgspec.json.encode(RetryPolicy(max_retries=5, backoff="fixed", delay_ms=1000))) < 60
