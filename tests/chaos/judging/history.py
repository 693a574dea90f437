"""
History: everything that was seen from outside while Fliq ran, as plain values.

What the client wanted (plans), what it did and was told (operations), what reached the targets (calls) and the webhook receiver
(hooks), what the API says at the end (reads), and when the process was hurt (faults). All instants are ms since 1970 by the one
clock of this machine, with fractions. A name is the nonce in a job's body: matching is exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A job the client wanted: due at *fire_at*; its target fails the first *failure_count* calls."""

    name: str
    fire_at: float
    max_retries: int = 0
    failure_count: int = 0
    key: str | None = None
    has_webhook: bool = False
    has_policy: bool = False  # a `retry` object: an answer of 429 that asks to wait is not charged


@dataclass(frozen=True, kw_only=True)
class SchedulePlan:
    """A schedule the client wanted: a tick at every full *period_ms* since 1970, before them one at *first_at* if it is given."""

    name: str
    period_ms: int = 60_000
    first_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class Operation:
    """
    One request of the client.

    Args:
        kind: what was asked for; `read` is a GET of the job.
        name: the plan it is about.
        outcome: `ok`, `fail` (told that it did not happen), or `info`: a timeout, a reset or a 5xx; nobody knows.
        id: the job or schedule, where known.
        seen: the public status a read showed.
    """

    kind: Literal["create", "cancel", "read", "create_schedule", "delete_schedule"]
    name: str
    invoked_at: float
    returned_at: float
    outcome: Literal["ok", "fail", "info"]
    status: int | None = None
    id: str | None = None
    seen: str | None = None


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call that reached a target, and how the target answered (None: it never did)."""

    at: float
    name: str
    job_id: str
    execution_id: str
    attempt: int
    scheduled_at: float
    answer: int | None
    schedule_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Hook:
    """One webhook that arrived."""

    at: float
    job_id: str
    status: str
    attempt_num: int
    status_code: int | None


@dataclass(frozen=True, kw_only=True)
class Execution:
    """
    One row of `GET /v1/jobs/{id}/executions`; *status* is None when the outcome is not known.

    Args:
        executed_at: when the call left whose outcome was recorded.
        recorded_at: when the log took the outcome, where that is known.
    """

    id: str
    attempt: int
    status: str | None
    status_code: int | None
    executed_at: float
    recorded_at: float | None = field(default=None, compare=False)


@dataclass(frozen=True, kw_only=True)
class JobRead:
    """A job as the API shows it at the end; *name* is what its body says, *timeline* the types of its events in order."""

    id: str
    name: str
    status: str
    execution_count: int
    executions: tuple[Execution, ...] = ()
    timeline: tuple[str, ...] = ()
    schedule_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Fault:
    """
    From *at* something was wrong; at *until* all was in order again. A graceful stop is a fault of kind `term`.

    Args:
        healed_at: when the last that was wrong had been undone; how long it took from there on was Fliq's own affair.
        is_graceful: excuses lateness, but no repetition.
    """

    kind: str
    at: float
    until: float
    healed_at: float | None = None
    is_graceful: bool = False
    detail: str = ""

    @property
    def excuses_repetition(self) -> bool:
        """Whether an attempt that it met under way may be made again."""
        return not self.is_graceful and self.kind != "term"


@dataclass(frozen=True, kw_only=True)
class History:
    """
    A whole run, quiesced: *ended_at* is when the final reads began.

    Args:
        recovery_ms: how long after the last heal of a fault everything must be in order again.
        unread: where the API said something else than the tables, one line each.
    """

    plans: Mapping[str, Plan]
    schedules: Mapping[str, SchedulePlan] = field(default_factory=dict)
    operations: tuple[Operation, ...]
    calls: tuple[Call, ...]
    hooks: tuple[Hook, ...] = ()
    jobs: Mapping[str, JobRead]
    listed: tuple[str, ...]
    faults: tuple[Fault, ...] = ()
    ended_at: float
    retry_base_ms: float = 200.0
    recovery_ms: float = 15_000.0
    unread: tuple[str, ...] = ()
