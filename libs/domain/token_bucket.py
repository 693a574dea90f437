"""
Token buckets: how often something may happen, for each of many keys. Pure: a function of the instants that it is given.

A bucket holds as many tokens as come in within `burst_s`, at least one; each event takes one. What is kept of a bucket is one
number: the instant at which it is full again. So a full bucket need not be kept, and there is nothing to refill.

Cost: O(1); full buckets are forgotten whenever the number of buckets has doubled.

Source: the generic cell rate algorithm, ITU-T I.371, "virtual scheduling".
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Final, Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)

_SWEEP_AT: Final = 1_000  # buckets


class Taken(NamedTuple):
    """
    What became of an event.

    Args:
        is_taken: whether there was a token.
        remaining: tokens left.
        wait_s: until there is a token (0 if this one was taken).
        full_in_s: until the bucket is full.
    """

    is_taken: bool
    remaining: int
    wait_s: float
    full_in_s: float


class TokenBuckets(Generic[K]):
    """One bucket for each key. Instants are seconds of one monotonic clock; rates are tokens a second, above 0."""

    def __init__(self, *, burst_s: float = 1.0) -> None:
        """Let every bucket hold the tokens of *burst_s*."""
        self._burst_s = burst_s
        self._full_at: dict[K, float] = {}
        self._sweep_at = _SWEEP_AT

    def __len__(self) -> int:
        """Return how many buckets are kept."""
        return len(self._full_at)

    def take(self, key: K, rate: float, now_s: float) -> Taken:
        """Take a token from the bucket of *key*, if there is one."""
        full_at = max(self._full_at.get(key, now_s), now_s)
        tokens = self._capacity(rate) - (full_at - now_s) * rate
        if tokens < 1 - 1e-9:
            return Taken(False, 0, (1 - tokens) / rate, full_at - now_s)
        self._keep(key, full_at + 1 / rate, now_s)
        return Taken(True, math.floor(tokens - 1 + 1e-9), 0.0, full_at + 1 / rate - now_s)

    def reserve(self, key: K, rate: float, now_s: float) -> float:
        """Take a token from the bucket of *key* now, or the next one that nobody has reserved; return its instant."""
        full_at = max(self._full_at.get(key, now_s), now_s)
        tokens = self._capacity(rate) - (full_at - now_s) * rate
        self._keep(key, full_at + 1 / rate, now_s)
        return now_s + max(0.0, (1 - tokens) / rate)

    def _capacity(self, rate: float) -> float:
        return max(1.0, rate * self._burst_s)

    def _keep(self, key: K, full_at: float, now_s: float) -> None:
        self._full_at[key] = full_at
        if len(self._full_at) > self._sweep_at:
            self._full_at = {each: at for each, at in self._full_at.items() if at > now_s}
            self._sweep_at = max(_SWEEP_AT, 2 * len(self._full_at))
