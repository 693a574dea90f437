"""For lease keepers: a clock that stands still until it is moved, leases in memory, and keepers that note what they are told."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from libs.runtime.clock import SystemClock
from libs.store.errors import StoreUnavailable
from libs.store.leases.lease_keeper import LeaseKeeper
from libs.store.leases.lease_table import Lease


class LeaseRow(NamedTuple):
    """Who holds a partition in a role: *until* in ms by the database's clock, None when nobody does."""

    epoch: int = 0
    nonce: str | None = None
    node: str | None = None
    until: int | None = None


class ManualMonotonic(SystemClock):
    """Monotonic time under the test's hand; sleeping ends when the test ends it."""

    def __init__(self) -> None:
        super().__init__()
        self.at_s = 1000.0
        self._rounds = asyncio.Event()

    def steady(self) -> int:
        return round(self.at_s * 1000)

    async def pause(self, ms: int) -> None:
        """Wait for the next `wake`, however long that is."""
        await self._rounds.wait()
        self._rounds.clear()

    async def beat(self, ms: int) -> float:
        await self.pause(ms)
        return 0.0

    def wake(self) -> None:
        """Let one sleeper go on."""
        self._rounds.set()


class Table:
    """The lease rows that all nodes of a test share."""

    def __init__(self, partitions: int) -> None:
        self.holder: dict[int, str | None] = dict.fromkeys(range(partitions))
        self.epochs = dict.fromkeys(range(partitions), 0)
        self.nodes: set[str] = set()
        self.knowing: dict[str, int] = {}
        self.draining: set[str] = set()


class TableLeases:
    """One node's view of the table; *down* makes it fail as a database does, *hangs* keeps renewals waiting."""

    role = "test"
    ttl_s = 4.0

    def __init__(self, table: Table, node: str) -> None:
        self.table, self.node, self.down, self.hangs = table, node, False, False
        self.is_draining = False
        self.knows = len(table.holder)  # partitions; fewer when it was started before there were more
        self.known_by_others: tuple[int, ...] = ()
        self.questions = 0  # whether a lease is free

    def _check(self) -> None:
        if self.down:
            raise StoreUnavailable("down")

    async def acquire(self, limit: int, *, avoid: Sequence[int] = ()) -> list[Lease]:
        self._check()
        free = [part for part, holder in self.table.holder.items() if holder is None and part not in avoid]
        common = min(self.known_by_others, default=self.knows)
        leases = []
        for part in sorted((part for part in free if part < self.knows), key=lambda part: (part < common, part))[
            :limit
        ]:
            self.table.epochs[part] += 1
            lease = Lease(part, f"{self.node}-{self.table.epochs[part]}", self.table.epochs[part])
            self.table.holder[part] = lease.nonce
            leases.append(lease)
        return leases

    async def renew(self, leases: Sequence[Lease]) -> set[int]:
        self._check()
        if self.hangs:
            await asyncio.Event().wait()
        return {lease.partition for lease in leases if self.table.holder[lease.partition] != lease.nonce}

    async def release(self, leases: Sequence[Lease]) -> None:
        self._check()
        for lease in leases:
            if self.table.holder[lease.partition] == lease.nonce:
                self.table.holder[lease.partition] = None

    async def members(self) -> int:
        self._check()
        self.table.nodes.add(self.node)
        self.table.knowing[self.node] = self.knows
        others = self.table.nodes - self.table.draining - {self.node}
        self.known_by_others = tuple(self.table.knowing.get(node, len(self.table.holder)) for node in others)
        self.is_draining = self.node in self.table.draining
        return len(self.table.nodes - self.table.draining | {self.node})

    async def free(self) -> tuple[int, int]:
        self._check()
        self.questions += 1
        count = len(self.table.nodes - self.table.draining | {self.node})
        return sum(self.table.holder[part] is None for part in range(self.knows)), count

    async def leave(self) -> None:
        self._check()
        self.table.nodes.discard(self.node)


class Node:
    """A keeper and what it was told."""

    def __init__(self, table: Table, name: str, *, partitions: int = 4, is_fenced: bool = False) -> None:
        self.leases, self.clock = TableLeases(table, name), ManualMonotonic()
        self.leases.knows = partitions
        self.events: list[tuple[str, int]] = []
        self.keeper = LeaseKeeper(
            self.leases,
            partitions=partitions,
            on_gained=self._gained,
            on_lost=self._lost,
            is_fenced=is_fenced,
            clock=self.clock,
        )

    async def _gained(self, lease: Lease) -> None:
        self.events.append(("gained", lease.partition))

    async def _lost(self, partition: int) -> None:
        self.events.append(("lost", partition))

    @property
    def held(self) -> set[int]:
        return set(self.keeper.held)

    async def tick(self) -> None:
        self.clock.at_s += 1.0
        await self.keeper.tick()
