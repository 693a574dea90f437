"""What a following service needs of others: narrow ports, met by libs/store and libs/egress, and by fakes in tests."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from libs.egress.outcome import Outcome
from libs.egress.request import OutgoingRequest
from libs.events import Spec
from libs.store.leases.lease_table import Lease


class LeaseHolder(Protocol):
    """What a keeper calls when a lease comes or goes: a following service."""

    async def on_gained(self, lease: Lease) -> None:
        """Serve the partition of *lease* from here on."""

    async def on_lost(self, partition: int) -> None:
        """Stop serving *partition*."""

    def may_release(self, partition: int) -> bool:
        """Take nothing new of *partition*, and say whether its lease may go to another process now."""


class Keeper(Protocol):
    """Keeps leases and says when one is gained or lost."""

    @property
    def held(self) -> Mapping[int, object]:
        """The leases held, by partition."""

    async def start(self) -> None:
        """Begin to take leases."""

    async def end(self, timeout_s: float) -> None:
        """Take no more, and release each lease as soon as the service is done with it, for at most *timeout_s*."""

    async def give_up(self, partition: int, *, pause_s: float = 0.0) -> None:
        """Give the lease of *partition* back, and do not take it again before *pause_s* has passed."""

    async def stop(self) -> None:
        """Release all leases and take no more."""

    def holds(self, partition: int) -> bool:
        """Whether the lease of *partition* is certain at this moment, by the monotonic clock: false after a long stall."""


class SpecTables(Protocol):
    """What is read from the tables."""

    async def specs(self, ids: Sequence[str]) -> Mapping[str, Spec]:
        """Return the specs that exist among *ids*."""


class Progress(Protocol):
    """How far the tables are folded."""

    async def wait(self, partition: int, position: int, timeout_s: float) -> bool:
        """Wait until *partition* is folded up to *position*; return False if that takes longer than *timeout_s*."""


class SigningSecrets(Protocol):
    """The secrets with which calls are signed."""

    async def signing_secrets(self, accounts: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Return the valid secrets of those of *accounts* that have any, newest first."""


class Egress(Protocol):
    """The way out."""

    async def call(self, request: OutgoingRequest, *, timeout_s: float) -> Outcome:
        """Make one call; an answer and a failure both come back as an outcome."""


class PoisonMeter(Protocol):
    """Counts what a reader cannot read."""

    def poison(self, count: int) -> None:
        """Records were read that cannot be decoded."""
