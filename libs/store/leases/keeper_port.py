"""Keeper port: what services need of what keeps their leases. `LeaseKeeper` meets it, and fakes in tests."""

from collections.abc import Mapping
from typing import Protocol


class Keeper(Protocol):
    """Keeps the leases of one role in this process, and says when one is gained or lost."""

    @property
    def held(self) -> Mapping[int, object]:
        """The leases held, by partition."""

    @property
    def is_spare(self) -> bool:
        """Whether holding none is as it should be: other processes may rightly hold all partitions."""

    def holds(self, partition: int) -> bool:
        """Whether the lease of *partition* is certain at this moment, by the monotonic clock: false after a long stall."""

    async def start(self) -> None:
        """Begin to take and renew leases."""

    async def end(self, timeout_s: float) -> None:
        """Take no more, and release each lease as soon as the service is done with it, for at most *timeout_s*."""

    async def give_up(self, partition: int, *, pause_s: float = 0.0) -> None:
        """Give the lease of *partition* back, and do not take it again before *pause_s* has passed."""

    async def stop(self) -> None:
        """Release all leases and take no more."""
