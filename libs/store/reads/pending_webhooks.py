"""
Pending webhooks: the jobs of a partition that reached their end and whose webhook has no outcome yet; deliveries whose next try is
due.

They are the rows of a partial index, ordered by account, end and id. A job enters it at its end, if it has a webhook, and leaves it
when the outcome of its webhook is folded; all other jobs never enter it. Deliveries have an index of the same kind. No query
reads more rows than it returns, but for the counts, which stop at `COUNT_MAX`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from libs.domain.jobs.delivery import DeliveryState
from libs.domain.jobs.ends import TerminalEvent, end_of
from libs.events import Claim
from libs.events.ids import from_int
from libs.store.errors import store_call
from libs.store.projection import rows
from libs.store.projection.delivery_rows import DELIVERIES
from libs.store.projection.job_rows import JOBS
from libs.store.projection.job_rows import PENDING_WEBHOOK as _PENDING
from libs.store.reads.bodiless_spec import BODILESS_SPEC
from libs.store.reads.partition_tables import StoredSpec, consistent, fetch_specs, progress_of, states_of

COUNT_MAX: Final = 100_000

_ORDER: Final = "account, completed_at, job_id"
# One probe of the index for each account.
_OLDEST: Final = f"""WITH RECURSIVE oldest AS (
    (SELECT {_ORDER} FROM jobs WHERE part = $1 AND {_PENDING} ORDER BY {_ORDER} LIMIT 1)
    UNION ALL
    SELECT following.* FROM oldest, LATERAL (
        SELECT {_ORDER} FROM jobs WHERE part = $1 AND {_PENDING} AND jobs.account > oldest.account ORDER BY {_ORDER} LIMIT 1
    ) AS following
) SELECT {_ORDER} FROM oldest"""  # noqa: S608 - our own names
_COUNT: Final = f"SELECT count(*) FROM (SELECT FROM jobs WHERE part = $1 AND {_PENDING} LIMIT {COUNT_MAX}) AS pending"  # noqa: S608
_PAGE: Final = (
    f"{JOBS.select} WHERE part = $1 AND {_PENDING} AND (account, completed_at, job_id) >= ($2, $3, $4)"
    f" ORDER BY {_ORDER} LIMIT $5"
)
_WAITS: Final = DELIVERIES.waits
_BY_INSTANT: Final = "account, next_at, delivery_id"
_DUE: Final = f"""WITH RECURSIVE waiting AS (
    (SELECT account FROM deliveries WHERE part = $1 AND {_WAITS} ORDER BY account LIMIT 1)
    UNION ALL
    SELECT following.* FROM waiting, LATERAL (
        SELECT account FROM deliveries WHERE part = $1 AND {_WAITS} AND deliveries.account > waiting.account
        ORDER BY account LIMIT 1
    ) AS following
) SELECT oldest.* FROM waiting, LATERAL (
    SELECT {_BY_INSTANT} FROM deliveries
    WHERE part = $1 AND {_WAITS} AND deliveries.account = waiting.account AND next_at BETWEEN $2 AND $3
    ORDER BY next_at, delivery_id LIMIT 1
) AS oldest"""  # noqa: S608 - our own names
_NEXT: Final = f"SELECT min(next_at) FROM deliveries WHERE part = $1 AND {_WAITS} AND next_at > $2"  # noqa: S608
_WAITING: Final = (
    f"SELECT count(*) FROM (SELECT FROM deliveries WHERE part = $1 AND {_WAITS} LIMIT {COUNT_MAX}) AS waiting"  # noqa: S608
)
_DUE_PAGE: Final = (
    f"SELECT {DELIVERIES.listed}, {JOBS.listed} FROM deliveries JOIN jobs ON jobs.job_id = deliveries.job_id"  # noqa: S608
    f" WHERE deliveries.part = $1 AND next_at IS NOT NULL AND NOT deliveries.held AND deliveries.account = $2"
    " AND next_at <= $5 AND (next_at, delivery_id) >= ($3, $4) ORDER BY next_at, delivery_id LIMIT $6"
)
_SPECS: Final = f"""SELECT spec_id, octet_length(spec) AS size, CASE WHEN octet_length(spec) <= $2 THEN spec END AS spec
    FROM (SELECT spec_id, {BODILESS_SPEC} AS spec FROM specs WHERE spec_id = ANY ($1::uuid[]) OFFSET 0) AS cut"""  # noqa: S608


class PendingSnapshot(NamedTuple):
    """
    What is pending in a partition as of *position*, where *claim* is admitted.

    Args:
        pending_count: how many webhooks, at most `COUNT_MAX`.
        oldest: account -> end and id of the job whose webhook has waited longest.
    """

    position: int
    claim: Claim | None
    pending_count: int
    oldest: Mapping[str, tuple[int, str]]


class DueDeliveries(NamedTuple):
    """
    The deliveries of a partition that wait for a try.

    Args:
        oldest: account -> instant and id of its first delivery that has become due.
        next_at: when the first of those that are not due yet will be; None if there is none.
        waiting_count: how many wait, due or not, at most `COUNT_MAX`.
    """

    oldest: Mapping[str, tuple[int, str]]
    next_at: int | None
    waiting_count: int


class DueDelivery(NamedTuple):
    """A delivery whose next try is due, and the end of the job that it is about."""

    delivery: DeliveryState
    end: TerminalEvent


class PendingWebhooks:
    """Reads by partition. Every method raises `StoreUnavailable` when the database does not answer in time."""

    def __init__(self, pool: Any) -> None:
        """Read through *pool*."""
        self._pool = pool

    @store_call
    async def pending(self, partition: int) -> PendingSnapshot:
        """Return what is pending as of the position that is returned with it."""
        async with consistent(self._pool) as connection:
            position, claim = await progress_of(connection, partition)
            count = await connection.fetchval(_COUNT, partition)
            found = await connection.fetch(_OLDEST, partition) if count else []
        oldest = {row["account"]: (row["completed_at"], rows.job_id_of(row["job_id"])) for row in found}
        return PendingSnapshot(position, claim, count, oldest)

    @store_call
    async def pending_page(
        self, partition: int, account: str, place: tuple[int, str], limit: int
    ) -> list[TerminalEvent]:
        """
        Return the ends of up to *limit* jobs whose webhook is pending, from *place* in *account* on.

        They are ordered by account, then as they became due.
        """
        at, job_id = place
        first_id = rows.uuid_of(job_id) if job_id else rows.MIN_ID
        found = await self._pool.fetch(_PAGE, partition, account, at, first_id, limit)
        return [end_of(job) for job in await states_of(JOBS, found)]

    @store_call
    async def due(self, partition: int, since: int, now: int) -> DueDeliveries:
        """Return which deliveries have become due from *since* to *now*, and when the next one will be."""
        async with consistent(self._pool) as connection:
            count = await connection.fetchval(_WAITING, partition)
            found = await connection.fetch(_DUE, partition, since, now) if count else []
            next_at = await connection.fetchval(_NEXT, partition, now) if count else None
        oldest = {row["account"]: (row["next_at"], from_int("whd", row["delivery_id"].int)) for row in found}
        return DueDeliveries(oldest, next_at, count)

    @store_call
    async def due_page(
        self, partition: int, account: str, place: tuple[int, str], now: int, limit: int
    ) -> list[DueDelivery]:
        """Return up to *limit* deliveries of *account* that are due at *now*, from *place* on, in their order."""
        at, first = place
        first_id = rows.uuid_of(first) if first else rows.MIN_ID
        found = await self._pool.fetch(_DUE_PAGE, partition, account, at, first_id, now, limit)
        width = len(DELIVERIES.columns)
        return [
            DueDelivery(DELIVERIES.state_of(tuple(row)[:width]), end_of(JOBS.state_of(tuple(row)[width:])))
            for row in found
        ]

    @store_call
    async def webhook_specs(self, ids: Iterable[str], *, size_max: int | None) -> dict[str, StoredSpec]:
        """Return the specs of those of *ids* that the tables hold, without bodies; if larger than *size_max*, the size."""
        return await fetch_specs(self._pool, _SPECS, ids, size_max)
