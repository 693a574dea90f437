"""
LeaseReport: which processes live, which of them holds which partition, and its position. An operator can also drain a node here.

It reads only the rows of leases and members. As everywhere, the database's clock decides what is live.
"""

from __future__ import annotations

from typing import Any

import msgspec

from libs.store.errors import store_call
from libs.store.leases.lease_table import TTL_S


class HeldLease(msgspec.Struct, frozen=True, kw_only=True):
    """
    One role's lease of one partition.

    Args:
        node: the node that holds it, or held it last; None if it was given back.
        left_s: seconds until it runs out; negative if it has run out; None if it was given back.
        epoch: the epoch of the newest lease.
        position: the last position folded (`scheduler`); -1 if there is none.
    """

    role: str
    partition: int
    node: str | None
    left_s: float | None
    epoch: int
    position: int

    @property
    def is_held(self) -> bool:
        """Whether a process serves the partition in this role."""
        return self.left_s is not None and self.left_s > 0


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """
    One role of one process.

    Args:
        seen_s: seconds since it last reported that it lives.
        is_draining: whether it was asked to hand over all its partitions.
        partitions: how many it knows; None if it did not report that.
        version: of its build; None if it did not report that.
        zone_data: the version of the zone data by which it decides; None if it decides nothing or did not report that.
    """

    node: str
    role: str
    seen_s: float
    is_draining: bool
    partitions: int | None
    version: str | None
    zone_data: str | None = None

    @property
    def is_live(self) -> bool:
        """Whether it reported within the term of a lease."""
        return self.seen_s <= TTL_S


class LeaseReport:
    """Reads leases and members through a pool of `libs.store.pool`."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    @store_call
    async def leases(self) -> list[HeldLease]:
        """Return the lease of every role on every partition, ordered by partition."""
        return [HeldLease(**row) for row in await self._pool.fetch(_LEASES)]

    @store_call
    async def members(self) -> list[Member]:
        """Return every process that was seen within the last hour, by node and role."""
        return [Member(**row) for row in await self._pool.fetch(_MEMBERS)]

    @store_call
    async def drain(self, node: str, *, undo: bool = False) -> list[str]:
        """Ask *node* to hand over all its partitions and take none, or (*undo*) to work again. Return the roles it has."""
        rows = await self._pool.fetch("UPDATE members SET draining = $2 WHERE node = $1 RETURNING role", node, not undo)
        return sorted(row["role"] for row in rows)


_LEASES = """
SELECT 'scheduler' AS role, part AS partition, lease_node AS node, lease_epoch AS epoch, position,
    extract(epoch FROM lease_until - now())::float8 AS left_s
FROM progress
UNION ALL
SELECT role, part, node, epoch, -1, extract(epoch FROM lease_until - now())::float8 FROM role_lease
ORDER BY partition, role
"""

_MEMBERS = """
SELECT node, role, extract(epoch FROM now() - seen_at)::float8 AS seen_s, draining AS is_draining, partitions, version,
    zone_data
FROM members ORDER BY node, role
"""
