"""
HeldLeases: the leases that one role of one process holds, until when each is certain, and which of them go back.

It reads no clock and calls nobody: instants are arguments, in seconds of a monotonic clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

from libs.store.leases.lease_table import Lease
from libs.store.leases.shares import known_by_all

CERTAIN_FRACTION: Final = 0.6
HAND_BACK_SHARE: Final = 16  # at most one in so many partitions is handed back at a time
DRAIN_S: Final = 35.0  # for a node that was asked to drain: longer than most calls take, so that none is made twice


class HeldLeases:
    """The leases of one role, whose term is *ttl_s*."""

    def __init__(self, ttl_s: float) -> None:
        self.by_partition: dict[int, Lease] = {}
        self._certain_s = CERTAIN_FRACTION * ttl_s
        self._certain_until: dict[int, float] = {}
        self._paused_until: dict[int, float] = {}
        self._going_back: dict[int, tuple[Lease, float]] = {}

    def __len__(self) -> int:
        return len(self.by_partition)

    def is_held(self, lease: Lease) -> bool:
        """Whether exactly this lease is still held."""
        return self.by_partition.get(lease.partition) is lease

    def add(self, lease: Lease, asked_at: float) -> None:
        """Hold *lease*, which was taken by a request that was sent at *asked_at*."""
        self.by_partition[lease.partition] = lease
        self._certain_until[lease.partition] = asked_at + self._certain_s

    def renew(self, partition: int, asked_at: float) -> None:
        """Note that the lease of *partition*, if it is held, was renewed by a request that was sent at *asked_at*."""
        if partition in self.by_partition:
            self._certain_until[partition] = asked_at + self._certain_s

    def remove(self, partition: int) -> Lease | None:
        """Hold the lease of *partition* no longer, and return it; None if it was not held."""
        self._certain_until.pop(partition, None)
        return self.by_partition.pop(partition, None)

    def is_certain(self, partition: int, now: float) -> bool:
        """Whether no other process can hold the lease of *partition* now."""
        return self._certain_until.get(partition, -math.inf) > now

    def uncertain(self, now: float) -> list[Lease]:
        """Return the held leases that are not certain any more."""
        return [lease for partition, lease in self.by_partition.items() if not self.is_certain(partition, now)]

    def all_certain_until(self) -> float:
        """Return until when every held lease is certain; infinity if none is held."""
        return min(self._certain_until.values(), default=math.inf)

    def pause(self, partition: int, until: float) -> None:
        """Do not take the lease of *partition* before *until*."""
        self._paused_until[partition] = until

    def paused(self, now: float) -> list[int]:
        """Return the partitions whose leases must not be taken yet."""
        self._paused_until = {part: until for part, until in self._paused_until.items() if until > now}
        return list(self._paused_until)

    @property
    def is_handing_back(self) -> bool:
        """Whether leases were chosen that have not gone back yet."""
        return bool(self._going_back)

    def forget_gone(self) -> None:
        """Forget the chosen leases that were given up or lost meanwhile."""
        self._going_back = {part: back for part, back in self._going_back.items() if self.is_held(back[0])}

    def choose_to_hand_back(
        self,
        *,
        partitions: int,
        members: int,
        known_by_others: Sequence[int],
        share: int,
        is_draining: bool,
        until: float,
    ) -> None:
        """
        Choose leases above *share* that go back at *until* at the latest. Partitions that some member does not know go back last.

        At most one in `HAND_BACK_SHARE` partitions is chosen at a time; a draining node chooses all.
        """
        count = len(self) - share
        if not is_draining:
            count = min(count, math.ceil(partitions / HAND_BACK_SHARE))
        common = known_by_all(partitions, members, known_by_others)
        for partition in sorted(self.by_partition, key=lambda part: (part < common, part))[-count:]:
            self._going_back[partition] = self.by_partition[partition], until

    def take_done(self, may_release: Callable[[int], bool], now: float) -> list[Lease]:
        """
        Return the chosen leases that can go back now: their holder is done with them, or their time is over.

        Every holder is asked, even if an earlier one is not done: a holder that was asked starts nothing new.
        """
        self.forget_gone()
        done = [part for part, (_, until) in self._going_back.items() if may_release(part) or now >= until]
        return [self._going_back.pop(part)[0] for part in done]
