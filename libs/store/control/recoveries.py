"""Recoveries: the last one of each webhook endpoint. They are in this table only, not in the log."""

from typing import Any, Final

from libs.domain.endpoints.recovery import Recovery, RecoveryStatus
from libs.store.errors import answer_call, store_call

_NAMES: Final = Recovery.__struct_fields__
_COLUMNS: Final = ", ".join(_NAMES)
_OWN: Final = (
    f"SELECT {', '.join(f'r.{name}' for name in _NAMES)} FROM endpoint_recoveries AS r"  # noqa: S608 - our own names
    " JOIN webhook_endpoints AS e USING (endpoint_id) WHERE e.account = $1 AND r.endpoint_id = $2"
)
_OPEN: Final = f"SELECT {_COLUMNS} FROM endpoint_recoveries WHERE ended_at IS NULL ORDER BY created_at LIMIT $1"  # noqa: S608
_BEGIN: Final = (
    f"INSERT INTO endpoint_recoveries ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"  # noqa: S608
    " ON CONFLICT (endpoint_id) DO UPDATE SET request_id = $2, since = $3, until = $4, reached = $5, recovered_count = $6,"
    " status = $7, created_at = $8, ended_at = $9 WHERE endpoint_recoveries.ended_at IS NOT NULL"
)


class Recoveries:
    """The recoveries. Every method raises `StoreUnavailable` if the database does not answer in time."""

    def __init__(self, pool: Any) -> None:
        """Use *pool*, whose commits must be synchronous."""
        self._pool = pool

    @answer_call
    async def begin(self, recovery: Recovery) -> bool:
        """Store a new recovery in place of the last one; return False, and store nothing, if that is still running."""
        done: str = await self._pool.execute(_BEGIN, *(getattr(recovery, name) for name in _NAMES))
        return done == "INSERT 0 1"

    @answer_call
    async def of_endpoint(self, account: str, endpoint_id: str) -> Recovery | None:
        """Return the last recovery of an endpoint, if the endpoint is one of *account*."""
        row = await self._pool.fetchrow(_OWN, account, endpoint_id)
        return None if row is None else Recovery(**row)

    @store_call
    async def running(self, limit: int) -> list[Recovery]:
        """Return up to *limit* recoveries that are not at their end, the oldest first."""
        return [Recovery(**row) for row in await self._pool.fetch(_OPEN, limit)]

    @store_call
    async def advance(self, before: Recovery, *, reached: str, count: int) -> None:
        """Note that *count* deliveries up to *reached* were sent again; nothing if somebody else noted that first."""
        await self._pool.execute(
            "UPDATE endpoint_recoveries SET reached = $4, recovered_count = recovered_count + $5"
            " WHERE endpoint_id = $1 AND request_id = $2 AND reached = $3 AND ended_at IS NULL",
            before.endpoint_id,
            before.request_id,
            before.reached,
            reached,
            count,
        )

    @store_call
    async def end(self, recovery: Recovery, status: RecoveryStatus, at: int) -> None:
        """Note that a recovery ended."""
        await self._pool.execute(
            "UPDATE endpoint_recoveries SET status = $3, ended_at = $4"
            " WHERE endpoint_id = $1 AND request_id = $2 AND ended_at IS NULL",
            recovery.endpoint_id,
            recovery.request_id,
            status,
            at,
        )
