"""What the dispatcher needs of others: narrow ports, met by libs/store, libs/egress and libs/runtime, and by fakes in tests."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from libs.egress.outcome import Outcome
from libs.egress.request import OutgoingRequest
from libs.events import AttemptDue, Claim, Spec


class Snapshot(Protocol):
    """The tables of one partition as of one position."""

    @property
    def position(self) -> int:
        """The position up to which they are folded."""

    @property
    def claim(self) -> Claim | None:
        """The claim admitted there."""

    @property
    def running(self) -> Sequence[AttemptDue]:
        """The attempts that are due and not finished."""


class DueTables(Protocol):
    """What is read from the tables."""

    async def running(self, partition: int) -> Snapshot:
        """Return a consistent snapshot of *partition*."""

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


class Lease(Protocol):
    """The right to serve a partition, for a while."""

    @property
    def partition(self) -> int:
        """Which one."""


class Keeper(Protocol):
    """Keeps leases and says when one is gained or lost."""

    @property
    def held(self) -> Mapping[int, object]:
        """The leases held, by partition."""

    async def start(self) -> None:
        """Begin to take leases."""

    async def end(self, timeout_s: float) -> None:
        """Take no more, and release each when the service is done with it; returns when none is left, or after *timeout_s*."""

    async def give_up(self, partition: int, *, pause_s: float = 0.0) -> None:
        """Give the lease of *partition* back, and do not take it again before *pause_s* has passed."""

    async def stop(self) -> None:
        """Release them all and take no more."""

    def holds(self, partition: int) -> bool:
        """Whether the lease of *partition* is certain at this moment, by the monotonic clock: false after a long stall."""


class Meter(Protocol):
    """What is measured."""

    def call_ended(self, *, lateness_ms: int, lead_ms: int, outcome: Outcome) -> None:
        """One call was made: how late it left, how long after the due event was written, and how it ended."""

    def call_not_made(self, error: str) -> None:
        """An attempt ended without a call."""

    def poison(self, count: int) -> None:
        """Records were read that cannot be decoded."""

    def overdue(self, count: int) -> None:
        """Attempts were found running that nobody here knew of, long after their time."""

    def in_flight(self, count: int) -> None:
        """So many attempts are held."""
