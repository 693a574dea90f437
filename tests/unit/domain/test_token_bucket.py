"""Token buckets: how often something may happen."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from libs.domain.token_bucket import TokenBuckets


def test_a_burst_then_the_rate() -> None:
    """Ten a second: ten at once, then one each tenth of a second; the answer says how long to wait."""
    buckets: TokenBuckets[str] = TokenBuckets()

    assert [buckets.take("a", 10, 5.0).remaining for _ in range(10)] == list(range(9, -1, -1))
    refused = buckets.take("a", 10, 5.0)
    assert (refused.is_taken, refused.remaining, round(refused.wait_s, 6), round(refused.full_in_s, 6)) == (
        *(False, 0, 0.1, 1.0),
    )
    assert not buckets.take("a", 10, 5.0999).is_taken
    assert buckets.take("a", 10, 5.1).is_taken
    assert not buckets.take("a", 10, 5.1).is_taken
    assert buckets.take("b", 10, 5.1).is_taken


def test_what_is_refused_costs_nothing() -> None:
    """A caller that asks again and again gets its token when it was told."""
    buckets: TokenBuckets[str] = TokenBuckets()
    buckets.take("a", 1, 0.0)
    for at in range(100):
        assert not buckets.take("a", 1, at / 100).is_taken

    assert buckets.take("a", 1, 1.0).is_taken


def test_less_than_one_a_second() -> None:
    """A bucket holds at least one token."""
    buckets: TokenBuckets[str] = TokenBuckets()

    assert [buckets.reserve("a", 0.25, 0.0) for _ in range(3)] == [0.0, 4.0, 8.0]


def test_full_buckets_are_forgotten() -> None:
    """However many keys come and go."""
    buckets: TokenBuckets[int] = TokenBuckets()
    for number in range(100_000):
        buckets.take(number, 10, number / 100)

    assert len(buckets) < 3_000


@given(st.integers(0, 2**32), st.sampled_from([0.5, 1, 3, 10, 250]))
def test_never_more_than_the_burst_and_the_rate(seed: int, rate: float) -> None:
    """In any span of time: as many as the bucket holds, and the rate times the span."""
    draw, buckets = random.Random(seed), TokenBuckets[str]()
    now, taken = 0.0, []
    for _ in range(300):
        now += draw.choice((0.0, 0.0, draw.expovariate(rate), draw.random()))
        if draw.random() < 0.5:
            taken.append(buckets.reserve("a", rate, now))
        elif buckets.take("a", rate, now).is_taken:
            taken.append(now)
    taken.sort()
    burst = max(1.0, rate)
    for first in range(0, len(taken), 7):
        for last in range(first, len(taken), 11):
            assert last - first + 1 <= burst + (taken[last] - taken[first]) * rate + 1e-6
