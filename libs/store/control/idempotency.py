"""
IdempotencyKeys: which job a caller's idempotency key belongs to.

A reservation is written before the job is appended to the log. A second request with the same key, on any replica, gets the
reservation of the first. It cannot be made again from the log, so the write waits for the disk. It goes with its job, when that is
forgotten. It changes only if its id is void: so old that a job of this id would count as forgotten.
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
_REPLACE: Final = """
UPDATE idempotency SET job_id = $4, created_at = $5 WHERE account = $1 AND key = $2 AND job_id = $3
RETURNING job_id, request_hash, created_at, true AS is_new
"""
_LOOK: Final = (
    "SELECT job_id, request_hash, created_at, false AS is_new FROM idempotency WHERE account = $1 AND key = $2"
)


class Reservation(NamedTuple):
    """
    The job for which a key was taken.

    Args:
        request_hash: of the request that took it; another request with the same key is a conflict.
        created_at: instant of that request, in ms since 1970. It is the job's `created_at`, whenever the job is appended.
        is_new: whether this call took the key.
    """

    job_id: str
    request_hash: bytes
    created_at: int
    is_new: bool


class IdempotencyKeys:
    """The reservations. Every method raises `StoreUnavailable` if the database does not answer in time."""

    def __init__(self, pool: Any) -> None:
        """Use *pool*, whose commits must be synchronous."""
        self._pool = pool

    @answer_call
    async def reserve(self, account: str, key: str, request_hash: bytes, job_id: str, created_at: int) -> Reservation:
        """Take *key* for *job_id*, or return the job that has it. Of concurrent callers exactly one gets `is_new`."""
        for _ in range(_TRIES):
            row = await self._pool.fetchrow(_RESERVE, account, key, request_hash, rows.uuid_of(job_id), created_at)
            if row is not None:
                return _reservation(row)
            # Another transaction took the key after this statement began: the next statement sees it.
        raise StoreUnavailable("a reservation comes and goes")

    async def replace(self, account: str, key: str, held: Reservation, job_id: str, created_at: int) -> Reservation:
        """Take *key* for *job_id* instead of the void id that *held* names, or return the job that has it by now."""
        row = await self._replaced(account, key, held.job_id, job_id, created_at)
        if row is None:
            return await self.reserve(account, key, held.request_hash, job_id, created_at)
        return _reservation(row)

    @answer_call
    async def _replaced(self, account: str, key: str, void_id: str, job_id: str, created_at: int) -> Any:
        return await self._pool.fetchrow(
            _REPLACE, account, key, rows.uuid_of(void_id), rows.uuid_of(job_id), created_at
        )

    @answer_call
    async def reservation(self, account: str, key: str) -> Reservation | None:
        """Return the job for which *key* was taken, or None; take nothing."""
        row = await self._pool.fetchrow(_LOOK, account, key)
        return None if row is None else _reservation(row)


def _reservation(row: Any) -> Reservation:
    return Reservation(rows.job_id_of(row["job_id"]), row["request_hash"], row["created_at"], row["is_new"])
