"""
Idempotency: which job a caller's key stands for.

A reservation is written before the job is appended to the log and is never changed: whoever comes second, on whichever replica,
is told about the first. It is not a fold of the log, so it waits for the disk before it answers.
"""

from typing import Any, Final, NamedTuple

from libs.store.errors import StoreUnavailable, answer_call
from libs.store.projection import rows

_TRIES: Final = 3

_RESERVE: Final = """
WITH mine AS (
    INSERT INTO idempotency (account, key, request_hash, job_id, created_at) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (account, key) DO NOTHING RETURNING job_id, request_hash, created_at
)
SELECT job_id, request_hash, created_at, true AS is_new FROM mine
UNION ALL
SELECT job_id, request_hash, created_at, false FROM idempotency WHERE account = $1 AND key = $2
"""
_LOOK: Final = (
    "SELECT job_id, request_hash, created_at, false AS is_new FROM idempotency WHERE account = $1 AND key = $2"
)


class Reservation(NamedTuple):
    """
    Whom a key was taken for.

    Args:
        request_hash: of the request that took it; another request with the same key is a conflict.
        created_at: instant of that request, in ms since 1970: the job's `created_at` whenever it is appended.
        is_new: whether this call took it.
    """

    job_id: str
    request_hash: bytes
    created_at: int
    is_new: bool


class IdempotencyKeys:
    """The reservations. Every method raises `StoreUnavailable` when the database does not answer in time."""

    def __init__(self, pool: Any) -> None:
        """Keep reservations through *pool*, whose commits must be synchronous."""
        self._pool = pool

    @answer_call
    async def reserve(self, account: str, key: str, request_hash: bytes, job_id: str, created_at: int) -> Reservation:
        """Take *key* for *job_id*, or return whom it was taken for; of concurrent callers exactly one `is_new`."""
        for _ in range(_TRIES):
            row = await self._pool.fetchrow(_RESERVE, account, key, request_hash, rows.uuid_of(job_id), created_at)
            if row is not None:
                return _reservation(row)
            # Another transaction took it after this statement had begun to look: the next statement sees it.
        raise StoreUnavailable("a reservation comes and goes")

    @answer_call
    async def reservation(self, account: str, key: str) -> Reservation | None:
        """Return whom *key* was taken for, without taking it."""
        row = await self._pool.fetchrow(_LOOK, account, key)
        return None if row is None else _reservation(row)


def _reservation(row: Any) -> Reservation:
    return Reservation(rows.job_id_of(row["job_id"]), row["request_hash"], row["created_at"], row["is_new"])
