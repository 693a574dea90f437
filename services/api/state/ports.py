"""
Ports: what the API asks of the tables. `libs/store` provides it; tests bring their own.

Every method may raise `StoreUnavailable`; the API answers 503 then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import Protocol

from libs.domain.job import JobState, JobStatus
from libs.domain.schedule import ScheduleState
from libs.events import Spec
from libs.store.control.accounts import Token
from libs.store.control.idempotency import Reservation
from libs.store.projection.changes import ExecutionRow


class Queries(Protocol):
    """Reading jobs and schedules of one account (libs/store/reads/account_queries.py)."""

    async def get_job(self, account: str, job_id: str) -> tuple[JobState, Spec] | None:
        """Return a job of *account*."""

    async def job_status(self, job_id: str) -> JobStatus | None:
        """Return a job's status, whichever account it belongs to."""

    async def list_jobs(
        self,
        account: str,
        *,
        statuses: Collection[JobStatus] | None = None,
        schedule_id: str | None = None,
        limit: int,
        before: str | None = None,
    ) -> Sequence[tuple[JobState, Spec]]:
        """Return jobs with ids below *before*, newest first; only those in one of *statuses*, if given."""

    async def executions(self, account: str, job_id: str) -> Sequence[ExecutionRow]:
        """Return a job's attempts, oldest first."""

    async def get_schedule(self, account: str, schedule_id: str) -> tuple[ScheduleState, Spec] | None:
        """Return a schedule of *account*."""

    async def list_schedules(
        self, account: str, *, limit: int, before: str | None = None
    ) -> Sequence[tuple[ScheduleState, Spec]]:
        """Return schedules that are not deleted, newest first."""

    async def usage(self, account: str, day: date) -> int:
        """Return how many attempts of *account* came due on *day* (UTC)."""


class Keys(Protocol):
    """Idempotency keys (libs/store/control/idempotency.py)."""

    async def reserve(self, account: str, key: str, request_hash: bytes, job_id: str, created_at: int) -> Reservation:
        """Take *key* for *job_id*, or return the reservation that holds it; of concurrent callers exactly one `is_new`."""

    async def reservation(self, account: str, key: str) -> Reservation | None:
        """Return the reservation that holds *key*, without taking it."""


class Progress(Protocol):
    """How far the tables are (libs/store/projection/progress.py)."""

    def known(self, partition: int) -> int:
        """Return the newest position known to be in the tables; -1 when none is."""

    async def has(self, partition: int) -> bool:
        """Whether the database knows *partition*, whether or not anything of it is folded."""

    async def wait(self, partition: int, position: int, timeout_s: float) -> bool:
        """Wait until the tables hold *position*; False if that did not happen in time."""

    async def wait_all(self, positions: Mapping[int, int], timeout_s: float) -> bool:
        """The same for several partitions at once."""


class Accounts(Protocol):
    """API tokens and signing secrets (libs/store/control/accounts.py)."""

    async def find(self, token_hash: bytes) -> Token | None:
        """Return the token with this hash, unless it is revoked; it may have expired."""

    async def add_token(self, token: Token, token_hash: bytes) -> bool:
        """Keep a new token of an account that exists; False if the account has too many."""

    async def tokens(self, account: str) -> Sequence[Token]:
        """Return the tokens of *account* that are not revoked, newest first."""

    async def revoke(self, account: str, token_id: str) -> bool:
        """Refuse a token of *account* from now on; False if no valid one has this id."""

    async def ensure_account(self, account: str, signing_secret: str) -> bool:
        """Make *account* if it is not there, and give it *signing_secret* if it has none that is current."""

    async def signing_secrets(self, accounts: Iterable[str]) -> Mapping[str, Sequence[str]]:
        """Return, for those of *accounts* that have any, the secrets that sign now, the current one first."""

    async def rotate_signing_secret(self, account: str, secret: str) -> bool:
        """Make *secret* the current one; the one before it signs for 24 h more. False if too many sign already."""
