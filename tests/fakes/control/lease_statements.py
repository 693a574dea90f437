"""The leases and members of a database in memory, as libs/store/leases/lease_table.py takes them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from libs.events import Claim
from libs.events.protocol import PROTOCOL
from libs.store.leases.lease_table import Lease
from tests.fakes.leases import LeaseRow

ABSENT: Final[Any] = object()  # in place of a row that is deleted


class LeaseStatements:
    """What `OwnerLeases` and `RoleLeases` ask of the database."""

    now: Callable[[], int]
    progress: Callable[[int], tuple[int, Claim | None]]
    _write: Callable[[dict[Any, Any], Any, Any], None]
    _commit: Callable[..., None]

    def __init__(self) -> None:
        super().__init__()
        self.nonces: dict[int, str] = {}
        self.needs: dict[int, int] = {}
        self.lease_rows: dict[tuple[str, int], LeaseRow] = {}
        self.seen: dict[tuple[str, str], int] = {}
        self.draining: set[tuple[str, str]] = set()
        self.protocols: dict[tuple[str, str], int] = {}
        self._nonces_made = 0

    def acquire(
        self,
        role: str,
        node: str,
        ttl_s: float,
        limit: int,
        held: Collection[str],
        avoid: Collection[int],
        protocol: int = PROTOCOL,
    ) -> list[Lease]:
        """Take free leases: nobody's, run out, or of this node's name in an earlier life (libs/store/leases/lease_table.py)."""
        taken: list[Lease] = []
        for (of, partition), row in sorted(self.lease_rows.items()):
            if of != role or partition in avoid or len(taken) == limit or (row.nonce is not None and row.nonce in held):
                continue
            if row.until is not None and row.until >= self.now() and row.node != node:
                continue
            if not self._may_serve(partition, protocol):
                continue
            self._nonces_made += 1
            nonce = f"{self._nonces_made:016x}"
            claim = self.progress(partition)[1] if role == "scheduler" else None
            epoch = max(row.epoch, claim.epoch if claim else 0) + 1
            self._set_lease(role, partition, LeaseRow(epoch, nonce, node, self.now() + int(ttl_s * 1000)))
            taken.append(Lease(partition, nonce, epoch))
        self._commit(is_durable=True)
        return taken

    def _may_serve(self, partition: int, protocol: int) -> bool:
        """Whether a build of *protocol* understands the rows of *partition*."""
        return self.needs.get(partition, 0) <= protocol

    def renew(self, role: str, ttl_s: float, leases: Sequence[Lease]) -> set[int]:
        """Extend *leases*; return the partitions of those that are somebody else's."""
        lost = set()
        for lease in leases:
            row = self.lease_rows[role, lease.partition]
            if row.nonce == lease.nonce:
                self._set_lease(role, lease.partition, row._replace(until=self.now() + int(ttl_s * 1000)))
            else:
                lost.add(lease.partition)
        self._commit(is_durable=True)
        return lost

    def release(self, role: str, leases: Sequence[Lease]) -> None:
        for lease in leases:
            row = self.lease_rows[role, lease.partition]
            if row.nonce == lease.nonce:
                self._set_lease(role, lease.partition, LeaseRow(row.epoch))
        self._commit(is_durable=True)

    def expire(self, role: str, partition: int) -> None:
        """Let a lease run out before its time: its holder does not know."""
        row = self.lease_rows[role, partition]
        self._set_lease(role, partition, row._replace(until=None))
        self._commit(is_durable=True)

    def _set_lease(self, role: str, partition: int, row: LeaseRow) -> None:
        self._write(self.lease_rows, (role, partition), row)
        if role == "scheduler":
            self._write(self.nonces, partition, ABSENT if row.nonce is None else row.nonce)

    def members(
        self, role: str, node: str, ttl_s: float, is_known: bool, protocol: int = PROTOCOL
    ) -> tuple[int, bool, int]:
        """
        Note that *node* lives; return how many share the partitions, whether this one was asked to drain, and how many others are
        of builds that cannot serve every partition.

        What was asked of a life before this one, which is not yet *is_known*, counts no more.
        """
        if not is_known:
            self.draining.discard((role, node))
        self.seen[role, node] = self.now()
        self.protocols[role, node] = protocol
        needed = max(self.needs.values(), default=0)
        older = [who for who in self._others(role, node, ttl_s) if self.protocols[role, who] < needed]
        return self._members(role, node, ttl_s), (role, node) in self.draining, len(older)

    def free(self, role: str, node: str, ttl_s: float, protocol: int = PROTOCOL) -> tuple[int, int]:
        """Return how many leases are free, and how many share the partitions."""
        rows = [row for (of, part), row in self.lease_rows.items() if of == role and self._may_serve(part, protocol)]
        free = sum(row.until is None or row.until < self.now() for row in rows)
        return free, self._members(role, node, ttl_s)

    def _members(self, role: str, node: str, ttl_s: float) -> int:
        return 1 + len(self._others(role, node, ttl_s))

    def _others(self, role: str, node: str, ttl_s: float) -> list[str]:
        since = self.now() - ttl_s * 1000
        return [
            who
            for (of, who), at in self.seen.items()
            if of == role and who != node and at > since and (of, who) not in self.draining
        ]

    def leave(self, role: str, node: str) -> None:
        self.seen.pop((role, node), None)
        self.draining.discard((role, node))
