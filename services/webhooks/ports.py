"""What only webhooks needs of others (libs/following/ports.py has the rest): met by libs/store, and by fakes in tests."""

from typing import Protocol

from libs.events import Claim
from libs.following.ports import PoisonMeter
from libs.store.leases.lease_table import Lease


class Positions(Protocol):
    """The position of each partition's reader, kept with its lease."""

    async def position(self, partition: int) -> tuple[int, Claim | None]:
        """Return the position up to which everything is done, and the claim admitted there."""

    async def save_position(self, lease: Lease, position: int, claim: Claim | None) -> object:
        """Keep a new position; if another process holds the lease by now, nothing happens."""


class Meter(PoisonMeter, Protocol):
    """What is measured."""

    def webhook_ended(self, outcome: str, duration_ms: int | None = None) -> None:
        """One webhook ended: `ok`, or the word for how it failed; *duration_ms* if there was a call."""
