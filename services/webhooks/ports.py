"""What only webhooks needs of others (libs/following/ports.py has the rest): met by libs/store, and by fakes in tests."""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from libs.domain.jobs.ends import TerminalEvent
from libs.following.left_calls import Place
from libs.following.ports import PoisonMeter
from libs.store.reads.partition_tables import StoredSpec
from libs.store.reads.pending_webhooks import DueDeliveries, DueDelivery, PendingSnapshot

ToldBy = Literal["webhook_url", "endpoint"]


class PendingTables(Protocol):
    """What is read from the tables."""

    async def pending(self, partition: int) -> PendingSnapshot:
        """Return what is pending in *partition*, as of the position that is returned with it."""

    async def pending_page(self, partition: int, account: str, place: Place, limit: int) -> Sequence[TerminalEvent]:
        """Return ends of jobs whose webhook is pending, from *place* in *account* on, by account, then as they became due."""

    async def due(self, partition: int, since: int, now: int) -> DueDeliveries:
        """Return which deliveries of *partition* have become due from *since* to *now*, and when the next one will be."""

    async def due_page(self, partition: int, account: str, place: Place, now: int, limit: int) -> Sequence[DueDelivery]:
        """Return deliveries of *account* that are due at *now*, from *place* on, in their order."""

    async def webhook_specs(self, ids: Sequence[str], *, size_max: int | None) -> Mapping[str, StoredSpec]:
        """Return the specs that exist among *ids*, without bodies; of those larger than *size_max* bytes only the size."""


class Meter(PoisonMeter, Protocol):
    """What is measured."""

    def webhook_ended(self, outcome: str, duration_ms: int | None = None) -> None:
        """One webhook ended: `ok`, or the word for how it failed; *duration_ms* if there was a call."""

    def delivery_exhausted(self, told_by: ToldBy) -> None:
        """The last try of a delivery failed."""

    def overdue(self, count: int) -> None:
        """The tables have pending webhooks, long past their time, that this process neither holds nor left there."""
