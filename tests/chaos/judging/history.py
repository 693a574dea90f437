"""
History: everything that was seen from outside while Fliq ran, as plain values.

What the client wanted (plans), what it did and was told (operations), what reached the targets (calls) and the webhook receiver
(hooks), what the API says at the end (reads), and when the process was hurt (faults). All instants are ms since 1970 by the one
clock of this machine, with fractions. A name is the nonce in a job's body: matching is exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Terms:
    """
    What a job with rules of its own must come to.

    Args:
        ends: the reasons (`ended_by`, or `cancelled`) that it may end for, once each of its attempts was answered.
        attempts: the least and the most attempts.
        waits_ms: the least time between the calls of two attempts that follow each other.
        expires_ms: after its instant; no call leaves from then on.
        hooks: how often its webhook is sent: this receiver fails all but the last.
        is_moved: it is changed, or its instant is not known beforehand.
        put_off_ms: after its first create was answered; it is put off no further.
        holds_ms: jobs of this name have one key, and each has it for at least so long from its first call on.
    """

    ends: tuple[str, ...]
    attempts: tuple[int, int] = (1, 1)
    waits_ms: tuple[float, ...] = ()
    expires_ms: float | None = None
    hooks: int = 1
    is_moved: bool = False
    put_off_ms: float | None = None
    holds_ms: float | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A job the client wanted: due at *fire_at*; its target fails the first *failure_count* calls; *terms* are its own rules."""

    name: str
    fire_at: float
    max_retries: int = 0
    failure_count: int = 0
    key: str | None = None
    has_webhook: bool = False
    has_policy: bool = False  # a `retry` object: an answer of 429 that asks to wait is not charged
    terms: Terms | None = None


@dataclass(frozen=True, kw_only=True)
class SchedulePlan:
    """
    A schedule the client wanted: a tick at every full *period_ms* since 1970, before them one at *first_at* if it is given.

    Args:
        fields: what its request says besides what to call, if it is more than that; ticks are then those of these fields.
        run_ms: how long its target works.
    """

    name: str
    period_ms: int = 60_000
    first_at: float | None = None
    fields: Mapping[str, Any] | None = None
    run_ms: int = 0


Kind = Literal[
    "create", "cancel", "read", "change", "run", "stop",
    "create_schedule", "delete_schedule", "change_schedule", "pause", "resume", "run_schedule", "backfill",
    "create_endpoint",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Operation:
    """
    One request of the client.

    Args:
        kind: what was asked for; `read` is a GET of the job.
        name: the plan it is about.
        outcome: `ok`, `fail` (told that it did not happen), or `info`: a timeout, a reset or a 5xx; nobody knows.
        id: the job or schedule, where known.
        seen: the public status a read showed; how the job had ended, if it was stopped.
        asked: what a change changes.
    """

    kind: Kind
    name: str
    invoked_at: float
    returned_at: float
    outcome: Literal["ok", "fail", "info"]
    status: int | None = None
    id: str | None = None
    seen: str | None = None
    asked: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Call:
    """
    One call that reached a target, and how the target answered (None: it never did).

    Args:
        revision: which of the bodies that were asked for one after the other it brought.
        trigger: why a schedule made it.
    """

    at: float
    name: str
    job_id: str
    execution_id: str
    attempt: int
    scheduled_at: float
    answer: int | None
    schedule_id: str | None = None
    revision: int = 0
    trigger: str | None = None


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
    """
    A job as the API shows it at the end; *name* is what its body says, *timeline* the types of its events in order.

    Args:
        born_at, due_at, gone_at: when the log took its first record, its first due and its end, where that is known.
    """

    id: str
    name: str
    status: str
    execution_count: int
    executions: tuple[Execution, ...] = ()
    timeline: tuple[str, ...] = ()
    schedule_id: str | None = None
    ended_by: str | None = None
    born_at: float | None = field(default=None, compare=False)
    due_at: float | None = field(default=None, compare=False)
    gone_at: float | None = field(default=None, compare=False)

    @property
    def is_cut_off(self) -> bool:
        """Whether somebody stopped it: then what its last call came to is not known."""
        return self.ended_by in ("stopped", "replaced")


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
        breaches: rules that the log itself breaks, each with the invariant that it is: see log_rules.py.
        shown: schedules as the API showed them last, by name.
        told: the jobs whose end the endpoint of the account was told, and the ids of what told it.
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
    breaches: tuple[tuple[str, str], ...] = ()
    shown: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    told: Mapping[str, tuple[str, ...]] | None = None
