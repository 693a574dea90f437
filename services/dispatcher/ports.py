"""What only the dispatcher needs of others (libs/following/ports.py has the rest): met by libs/store, and by fakes in tests."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from libs.domain.endpoints.order import Pending
from libs.egress.outcome import Outcome
from libs.following.ports import PoisonMeter
from libs.store.reads.partition_tables import Snapshot, StoredSpec


class DueTables(Protocol):
    """What is read from the tables."""

    async def running(self, partition: int) -> Snapshot:
        """Return a consistent snapshot of *partition*: its position, the claim admitted there, and the running attempts."""

    async def stored_specs(self, ids: Sequence[str], *, size_max: int | None) -> Mapping[str, StoredSpec]:
        """Return the specs that exist among *ids*; of those larger than *size_max* bytes only the size."""

    async def pending_about(self, endpoint_id: str, job_id: str) -> Sequence[Pending]:
        """Return the deliveries to *endpoint_id* that are about *job_id* and have not ended."""


class Meter(PoisonMeter, Protocol):
    """What is measured."""

    def call_ended(self, *, lateness_ms: int, lead_ms: int, outcome: Outcome) -> None:
        """One call was made: how late it left, how long after the due event was written, and how it ended."""

    def call_not_made(self, error: str) -> None:
        """An attempt ended without a call."""

    def delivery_ended(self, outcome: Outcome) -> None:
        """A webhook endpoint was called."""

    def endpoint_disabled(self, reason: str) -> None:
        """A webhook endpoint took nothing, and was disabled."""

    def overdue(self, count: int) -> None:
        """The tables have running attempts, long past their time, that this process does not hold."""

    def in_flight(self, count: int) -> None:
        """So many attempts are held."""
