"""
Lease tables: which process serves which partition. One row per partition and role; the database's clock decides.

Safety never depends on a lease: the owner's decisions are fenced in the log, its flushes by the nonce, and the dispatcher's results
are facts. A lease only keeps two processes from doing the same work, and lets another take over if the holder is gone for `ttl_s`.

    free      A lease is free if it has no holder, if its term is over, or if an earlier process with this node's name holds it (a
              name belongs to one live process). It is also free if its term ends later than any term may: then the database's
              clock was set back, and the holder has not renewed it since.
    epoch     greater than the epoch of every lease and every admitted claim of the partition that this database knows
    nonce     new random text from the database at each acquisition; without it a process cannot flush

Rows are locked in the order of partitions; rows that another process is just taking are skipped. A member that was started before
the log grew does not know the newer partitions. Those are taken first, because that member can take only the others. The same holds
for partitions with records that an older build does not know (libs/events/protocol.py): it takes no lease of theirs.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from libs.events.protocol import PROTOCOL
from libs.runtime.roles import OWNER
from libs.store.errors import store_call

TTL_S = 4.0
ALL_PARTITIONS = 1 << 30


class Lease(NamedTuple):
    """The right to serve *partition*, recognised by *nonce*; *epoch* is the one to claim with."""

    partition: int
    nonce: str
    epoch: int


class LeaseTable:
    """
    The common part of `OwnerLeases` and `RoleLeases`, which differ in the table.

    Attributes:
        is_draining: as of the last `members`: whether this node was asked to hand over all its partitions.
        known_by_others: likewise: how many partitions each of the other members knows.
    """

    def __init__(
        self,
        pool: Any,
        role: str,
        node: str,
        ttl_s: float,
        sql: "_Sql",
        partitions: int,
        version: str,
        protocol: int,
        zone_data: str | None = None,
    ) -> None:
        self.role = role
        self.node = node
        self.ttl_s = ttl_s
        self.is_draining = False
        self.known_by_others: tuple[int, ...] = ()
        self._pool = pool
        self._sql = sql
        self._partitions = partitions
        self._version = version
        self._protocol = protocol
        self._zone_data = zone_data
        self._held: dict[int, str] = {}
        self._is_known = False

    @store_call
    async def acquire(self, limit: int, *, avoid: Sequence[int] = ()) -> list[Lease]:
        """Take up to *limit* free leases of partitions that this node knows and that are not in *avoid*; return them sorted."""
        if limit <= 0:
            return []
        found = await self._pool.fetch(
            self._sql.acquire,
            self.role,
            self.node,
            self.ttl_s,
            limit,
            list(self._held.values()),
            list(avoid),
            self._partitions,
            min(self.known_by_others, default=self._partitions),
            self._protocol,
        )
        leases = sorted(Lease(row["part"], row["nonce"], row["epoch"]) for row in found)
        self._held.update({lease.partition: lease.nonce for lease in leases})
        return leases

    @store_call
    async def renew(self, leases: Sequence[Lease]) -> set[int]:
        """Extend *leases* by the full term, and return the partitions of those that this node has lost."""
        if not leases:
            return set()
        found = await self._pool.fetch(self._sql.renew, self.role, self.ttl_s, *_keys(leases))
        lost = {lease.partition for lease in leases} - {row["part"] for row in found}
        for partition in lost:
            self._held.pop(partition, None)
        return lost

    @store_call
    async def release(self, leases: Sequence[Lease]) -> None:
        """Give *leases* back, except those that this node has lost. If this fails, they run out."""
        for lease in leases:
            if self._held.get(lease.partition) == lease.nonce:
                del self._held[lease.partition]
        if leases:
            await self._pool.execute(self._sql.release, self.role, *_keys(leases))

    @store_call
    async def members(self) -> int:
        """
        Report that this node lives, and return how many members of its role share the partitions: itself and those not draining.

        Set `is_draining` (a request to an earlier process of this name no longer counts) and `known_by_others`.
        """
        row = await self._pool.fetchrow(
            _MEMBERS,
            self.node,
            self.role,
            self.ttl_s,
            self._is_known,
            self._partitions if self._partitions < ALL_PARTITIONS else None,
            self._version,
            self._protocol,
            self._zone_data,
        )
        self._is_known = True
        self.is_draining = row["draining"]
        self.known_by_others = tuple(row["known"] or ())
        return 1 + int(row["others"])

    @store_call
    async def free(self) -> tuple[int, int]:
        """Return how many leases are free among the partitions this node knows, and what `members` would return. Write nothing."""
        row = await self._pool.fetchrow(
            self._sql.free, self.role, self.node, self.ttl_s, self._partitions, self._protocol
        )
        return row["free"], row["members"]

    @store_call
    async def leave(self) -> None:
        """Stop being counted as a member, so that the others take over at once what this node released."""
        await self._pool.execute("DELETE FROM members WHERE role = $1 AND node = $2", self.role, self.node)


class OwnerLeases(LeaseTable):
    """The schedulers' leases. They fence flushes; their epochs and nonces are used for the claims in the log."""

    def __init__(
        self,
        pool: Any,
        node: str,
        *,
        ttl_s: float = TTL_S,
        partitions: int = ALL_PARTITIONS,
        version: str = "",
        protocol: int = PROTOCOL,
        zone_data: str | None = None,
    ) -> None:
        """
        Take leases as *node*. No other live process may have that name.

        Args:
            partitions: how many this process knows; it leaves later ones to others.
            version: of this build, for operators.
            protocol: what this build knows of the log (libs/events/protocol.py).
            zone_data: its version, for operators.
        """
        super().__init__(pool, OWNER, node, ttl_s, _OWNER, partitions, version, protocol, zone_data)


class RoleLeases(LeaseTable):
    """The leases of a role that only reads the log."""

    def __init__(
        self,
        pool: Any,
        role: str,
        node: str,
        *,
        ttl_s: float = TTL_S,
        partitions: int = ALL_PARTITIONS,
        version: str = "",
        protocol: int = PROTOCOL,
    ) -> None:
        """Take leases of *role* (`dispatcher` or `webhooks`); the other arguments as for `OwnerLeases`."""
        super().__init__(pool, role, node, ttl_s, _ROLE, partitions, version, protocol)


def _keys(leases: Sequence[Lease]) -> tuple[list[int], list[str]]:
    return [lease.partition for lease in leases], [lease.nonce for lease in leases]


# A member that was not seen within a term is not counted; after an hour it is deleted. A member that was seen in the future is
# treated the same way: the database's clock was set back, and the member has not been seen since.
_LIVES = "seen_at BETWEEN now() - make_interval(secs => $3::float8) AND now() + make_interval(secs => $3::float8)"
# An older build that cannot serve every partition is counted as one that knows none.
_MEMBERS = f"""
WITH beat AS (
    INSERT INTO members AS m (node, role, seen_at, partitions, version, protocol, zone_data)
    VALUES ($1, $2, now(), $5, $6, $7, $8)
    ON CONFLICT (role, node) DO UPDATE SET seen_at = excluded.seen_at, draining = m.draining AND $4,
        partitions = excluded.partitions, version = excluded.version, protocol = excluded.protocol,
        zone_data = excluded.zone_data
    RETURNING draining
), forgotten AS (
    DELETE FROM members WHERE role = $2 AND node <> $1
        AND seen_at NOT BETWEEN now() - interval '1 hour' AND now() + interval '1 hour'
)
SELECT (SELECT draining FROM beat) AS draining, count(*) AS others,
    array_agg(CASE WHEN protocol < (SELECT max(needs) FROM progress) THEN 0 ELSE coalesce(partitions, 1 << 30) END) AS known
FROM members
WHERE role = $2 AND node <> $1 AND NOT draining AND {_LIVES}
"""  # noqa: S608 - our own names


class _Sql(NamedTuple):
    """The statements on one table; $1 is the role everywhere."""

    acquire: str
    renew: str
    release: str
    free: str


def _statements(table: str, prefix: str, role: str) -> _Sql:
    """Return the statements for *table*, whose lease columns begin with *prefix*; *role* is the condition on $1."""
    nonce, node, until, epoch = f"{prefix}nonce", f"{prefix}node", "lease_until", f"{prefix}epoch"
    needs = "(SELECT p.needs FROM progress p WHERE p.part = l.part)"
    is_over = f"l.{until} IS NULL OR l.{until} NOT BETWEEN now() AND now() + 2 * make_interval(secs => $3::float8)"

    def ours(first: int) -> str:
        """Return the query for the rows that we still hold; parameters *first* and the next are partitions and nonces."""
        return f"""
    SELECT l.part FROM {table} l JOIN unnest(${first}::int4[], ${first + 1}::text[]) AS k(part, nonce) ON k.part = l.part
    WHERE {role} AND l.{nonce} = k.nonce ORDER BY l.part FOR NO KEY UPDATE OF l"""  # noqa: S608 - our own names

    return _Sql(
        acquire=f"""
WITH free AS MATERIALIZED (
    SELECT l.part FROM {table} l
    WHERE {role} AND l.part < $7 AND l.part <> ALL ($6::int4[]) AND (l.{nonce} IS NULL OR l.{nonce} <> ALL ($5::text[]))
        AND ({is_over} OR l.{node} = $2::text) AND {needs} <= $9
    ORDER BY l.part < $8, {needs} DESC, l.part LIMIT $4 FOR NO KEY UPDATE OF l SKIP LOCKED
)
UPDATE {table} l SET {node} = $2::text, {until} = now() + make_interval(secs => $3::float8),
    {nonce} = replace(gen_random_uuid()::text, '-', ''), {epoch} = greatest(l.{epoch}, l.claim_epoch, 0) + 1,
    taken_with = $9
FROM free WHERE {role} AND l.part = free.part
RETURNING l.part, l.{nonce} AS nonce, l.{epoch} AS epoch""",  # noqa: S608 - our own names
        renew=f"""
WITH ours AS MATERIALIZED ({ours(3)})
UPDATE {table} l SET {until} = now() + make_interval(secs => $2::float8)
FROM ours WHERE {role} AND l.part = ours.part RETURNING l.part""",  # noqa: S608
        release=f"""
WITH ours AS MATERIALIZED ({ours(2)})
UPDATE {table} l SET {until} = NULL, {node} = NULL, {nonce} = NULL
FROM ours WHERE {role} AND l.part = ours.part""",  # noqa: S608
        free=f"""
SELECT (SELECT count(*) FROM {table} l WHERE {role} AND l.part < $4 AND ({is_over}) AND {needs} <= $5) AS free,
    (SELECT 1 + count(*) FROM members
     WHERE role = $1 AND node <> $2 AND NOT draining AND {_LIVES}) AS members""",  # noqa: S608
    )


_OWNER = _statements("progress", "lease_", f"$1::text = '{OWNER}'")
_ROLE = _statements("role_lease", "", "l.role = $1::text")
