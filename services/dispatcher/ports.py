"""What only the dispatcher needs of others (libs/following/ports.py has the rest): met by libs/store, and by fakes in tests."""

from typing import Protocol

from libs.egress.outcome import Outcome
from libs.following.ports import PoisonMeter, SpecTables
from libs.store.reads.partition_tables import Snapshot


class DueTables(SpecTables, Protocol):
    """What is read from the tables."""

    async def running(self, partition: int) -> Snapshot:
        """Return a consistent snapshot of *partition*: its position, the claim admitted there, and the running attempts."""


class Meter(PoisonMeter, Protocol):
    """What is measured."""

    def call_ended(self, *, lateness_ms: int, lead_ms: int, outcome: Outcome) -> None:
        """One call was made: how late it left, how long after the due event was written, and how it ended."""

    def call_not_made(self, error: str) -> None:
        """An attempt ended without a call."""

    def overdue(self, count: int) -> None:
        """The tables have running attempts, long past their time, that this process does not hold."""

    def in_flight(self, count: int) -> None:
        """So many attempts are held."""
