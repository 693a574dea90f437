"""Responses: what was kept of the answers of targets, of one account."""

from typing import Any, Final, NamedTuple

from libs.events import Response
from libs.sealing.keyring import NO_SEALING, Keyring
from libs.store.errors import answer_call
from libs.store.projection import rows

_FIND: Final = """
SELECT e.ok, e.status_code, e.executed_at + coalesce(e.duration_ms, 0) AS ended_at, r.key, r.data, h.responses_before
FROM jobs j JOIN executions e ON e.job_id = j.job_id
LEFT JOIN responses r ON r.job_id = e.job_id AND r.attempt = e.attempt LEFT JOIN history h ON h.part = j.part
WHERE j.job_id = $1 AND j.account = $2 AND e.attempt = $3
"""


class KeptResponse(NamedTuple):
    """
    What is known of the answer to an attempt.

    Args:
        is_ended: the outcome of the attempt is known.
        data: the JSON of `Captured` (libs/domain/responses/captured.py); None if nothing was kept, or not any more.
        is_forgotten: what was kept of answers of that time is forgotten.
    """

    is_ended: bool
    status_code: int | None
    data: bytes | None
    is_forgotten: bool


class Responses:
    """Reads by account. Every method raises `StoreUnavailable` when the database does not answer in time."""

    def __init__(self, pool: Any, keyring: Keyring = NO_SEALING) -> None:
        """Read through *pool*, and open what *keyring* can open."""
        self._pool = pool
        self._keyring = keyring

    @answer_call
    async def find(self, account: str, job_id: str, attempt: int) -> KeptResponse | None:
        """
        Return what is known of the answer to *attempt*; None if there is no such attempt of a job of *account*.

        Raises:
            Shredded, Broken, KeysUnavailable: as `Keyring.opened_response`.
        """
        row = await self._pool.fetchrow(_FIND, rows.uuid_of(job_id), account, attempt)
        if row is None:
            return None
        data = None
        if row["data"] is not None:
            response = Response(data=row["data"], key=row["key"])
            data = await self._keyring.opened_response(response, account=account, job_id=job_id, attempt=attempt)
        is_forgotten = row["ended_at"] < (row["responses_before"] or 0)
        return KeptResponse(row["ok"] is not None, row["status_code"], data, is_forgotten)
