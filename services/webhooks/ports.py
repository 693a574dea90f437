"""What the webhooks service needs of others: narrow ports, met by libs/store, libs/egress, libs/runtime, and by fakes in tests."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from libs.egress.outcome import Outcome
from libs.egress.request import OutgoingRequest
from libs.events import Claim, Spec


class Lease(Protocol):
    """The right to serve a partition, for a while."""

    @property
    def partition(self) -> int:
        """Which one."""


L = TypeVar("L", bound=Lease, contravariant=True)


class Positions(Protocol[L]):
    """Where each partition's reader stands, kept with its lease."""

    async def position(self, partition: int) -> tuple[int, Claim | None]:
        """Return the position up to which everything is done, and the claim admitted there."""

    async def save_position(self, lease: L, position: int, claim: Claim | None) -> object:
        """Keep a new position; nothing happens when the lease is another's by now."""


class SpecTables(Protocol):
    """What is read from the tables."""

    async def specs(self, ids: Sequence[str]) -> Mapping[str, Spec]:
        """Return the specs that exist among *ids*."""


class Progress(Protocol):
    """How far the tables are folded."""

    async def wait(self, partition: int, position: int, timeout_s: float) -> bool:
        """Wait until *partition* is folded up to *position*; False when it was not in time."""


class SigningSecrets(Protocol):
    """The secrets with which calls are signed."""

    async def signing_secrets(self, accounts: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Return, for those of *accounts* that have any, the valid secrets, newest first."""


class Egress(Protocol):
    """The way out."""

    async def call(self, request: OutgoingRequest, *, timeout_s: float) -> Outcome:
        """Make one call; whatever the target does comes back as an outcome."""


class Keeper(Protocol):
    """Keeps leases and says when one is gained or lost."""

    @property
    def held(self) -> Mapping[int, object]:
        """The leases held, by partition."""

    async def start(self) -> None:
        """Begin to take leases."""

    async def give_up(self, partition: int, *, pause_s: float = 0.0) -> None:
        """Give the lease of *partition* back, and do not take it again before *pause_s* has passed."""

    async def stop(self) -> None:
        """Release them all and take no more."""

    def holds(self, partition: int) -> bool:
        """Whether the lease of *partition* is certain at this moment, by the monotonic clock: false after a long stall."""


class Meter(Protocol):
    """What is measured."""

    def told(self, outcome: str, duration_ms: int | None = None) -> None:
        """One webhook ended: `ok`, or the word for how it failed; *duration_ms* where there was a call."""

    def poison(self, count: int) -> None:
        """Records were read that cannot be decoded."""
