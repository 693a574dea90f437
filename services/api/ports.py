"""
Ports: what the API needs of the tables, said in its own words. `libs/store` provides them; tests bring their own.

Every method may raise `StoreUnavailable`; the API answers 503 then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Protocol

from libs.domain.job import JobState, JobStatus
from libs.domain.schedule import ScheduleState
from libs.events import Spec
from services.api.auth import Identity
from services.api.present import Execution


class Queries(Protocol):
    """Reading jobs and schedules, always of one account."""

    async def get_job(self, account: str, job_id: str) -> tuple[JobState, Spec] | None:
        """Return a job of *account*."""

    async def job_status(self, job_id: str) -> JobStatus | None:
        """Return a job's status, whosever it is."""

    async def list_jobs(
        self,
        account: str,
        *,
        status: str | None = None,
        schedule_id: str | None = None,
        limit: int,
        before: str | None = None,
    ) -> Sequence[tuple[JobState, Spec]]:
        """Return jobs with ids below *before*, newest first; *status* is a public word."""

    async def executions(self, account: str, job_id: str) -> Sequence[Execution]:
        """Return a job's attempts, oldest first."""

    async def get_schedule(self, account: str, schedule_id: str) -> tuple[ScheduleState, Spec] | None:
        """Return a schedule of *account*."""

    async def list_schedules(
        self, account: str, *, limit: int, before: str | None = None
    ) -> Sequence[tuple[ScheduleState, Spec]]:
        """Return schedules that are not deleted, newest first."""

    async def usage(self, account: str, day: date) -> int:
        """Return how many attempts of *account* were admitted as due on *day* (UTC)."""


class Reservation(Protocol):
    """Who holds an idempotency key."""

    @property
    def job_id(self) -> str: ...
    @property
    def request_hash(self) -> bytes: ...
    @property
    def created_at(self) -> int: ...
    @property
    def is_new(self) -> bool: ...


class Keys(Protocol):
    """Idempotency keys."""

    async def reserve(self, account: str, key: str, request_hash: bytes, job_id: str, created_at: int) -> Reservation:
        """Take *key* for *job_id*, or return whom it was taken for; of concurrent callers exactly one `is_new`."""

    async def reservation(self, account: str, key: str) -> Reservation | None:
        """Return whom *key* was taken for, without taking it."""


class Progress(Protocol):
    """How far the tables are (libs/store/progress.py)."""

    def known(self, partition: int) -> int:
        """Return the newest position known to be in the tables; -1 when none is."""

    async def wait(self, partition: int, position: int, timeout_s: float) -> bool:
        """Wait until the tables hold *position*; False when that did not happen in time."""

    async def wait_all(self, positions: Mapping[int, int], timeout_s: float) -> bool:
        """The same for several partitions at once."""


class TokenRow(Protocol):
    """A token as the tables hold it: everything but the secret. Instants in ms since 1970."""

    @property
    def token_id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def scopes(self) -> Sequence[str]: ...
    @property
    def last_four(self) -> str: ...
    @property
    def created_at(self) -> int: ...
    @property
    def expires_at(self) -> int | None: ...


class TokenStore(Protocol):
    """API tokens."""

    async def find(self, token_hash: bytes) -> Identity | None:
        """Return whose token has this hash and is not revoked; it may have expired."""

    async def add(
        self,
        *,
        token_id: str,
        account: str,
        name: str,
        token_hash: bytes,
        scopes: Sequence[str],
        last_four: str,
        created_at: int,
        expires_at: int | None,
    ) -> None:
        """Keep a new token."""

    async def list(self, account: str) -> Sequence[TokenRow]:
        """Return the account's tokens that are not revoked, newest first."""

    async def revoke(self, account: str, token_id: str) -> bool:
        """Revoke a token; False when the account has no such token that is not revoked already."""


class SigningSecret(Protocol):
    """A `whsec_` secret; *expires_at* (ms since 1970) is None for the current one."""

    @property
    def secret(self) -> str: ...
    @property
    def created_at(self) -> int: ...
    @property
    def expires_at(self) -> int | None: ...


class SigningSecrets(Protocol):
    """The secrets that sign an account's outgoing calls."""

    async def current(self, account: str) -> Sequence[SigningSecret]:
        """Return the secrets that sign now, the newest first; makes one for an account that has none."""

    async def rotate(self, account: str) -> Sequence[SigningSecret]:
        """Make a new secret; those before it sign for another 24 h. Return what `current` would."""
