"""Account erasure: what an account that is being erased has left to end, and how an operator closes it to requests."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from libs.domain.job import JobStatus
from libs.domain.schedule import ScheduleStatus
from libs.events.ids import from_int
from libs.store.errors import store_call
from libs.store.projection import rows

PAGE: Final = 1_000
_ENDED: Final = ", ".join(f"{status:d}" for status in (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED))
# The account, its webhook endpoints, and those that tell them once more.
_OWN: Final = """(SELECT $1 UNION ALL SELECT endpoint_id FROM webhook_endpoints WHERE account = $1
    UNION ALL SELECT endpoint_id || '.again' FROM webhook_endpoints WHERE account = $1)"""
_JOBS: Final = f"SELECT job_id FROM jobs WHERE account IN {_OWN} AND status NOT IN ({_ENDED}) LIMIT $2"  # noqa: S608
_SCHEDULES: Final = (
    f"SELECT schedule_id FROM schedules WHERE account = $1 AND status <> {ScheduleStatus.DELETED:d} LIMIT $2"  # noqa: S608
)


class Rest(NamedTuple):
    """Ids of jobs that have not ended and of schedules that are not deleted, at most `PAGE` of each."""

    jobs: Sequence[str]
    schedules: Sequence[str]


class AccountRest:
    """Reads and writes for one account. Every method raises `StoreUnavailable` if the database does not answer in time."""

    def __init__(self, pool: Any) -> None:
        """Use *pool*, whose commits must be synchronous."""
        self._pool = pool

    @store_call
    async def revoke_all(self, account: str) -> bool:
        """Refuse all tokens of *account* from now on; return whether there is such an account."""
        await self._pool.execute(
            "UPDATE api_tokens SET revoked_at = now() WHERE account = $1 AND revoked_at IS NULL", account
        )
        return bool(await self._pool.fetchval("SELECT EXISTS (SELECT FROM accounts WHERE account = $1)", account))

    @store_call
    async def rest(self, account: str) -> Rest:
        """Return what has not ended, as of the position of the tables."""
        jobs = await self._pool.fetch(_JOBS, account, PAGE)
        schedules = await self._pool.fetch(_SCHEDULES, account, PAGE)
        return Rest(
            [rows.job_id_of(row["job_id"]) for row in jobs],
            [from_int("sched", row["schedule_id"].int) for row in schedules],
        )
