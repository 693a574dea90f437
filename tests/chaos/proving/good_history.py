"""
A good history, made up: jobs of every fate around one kill -9, and a schedule over three minutes. The checker finds nothing in it;
the planted bugs are changes of it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from zlib import crc32

from libs.events.ids import new_job_id
from tests.chaos.judging.history import (
    Call,
    Execution,
    Fault,
    History,
    Hook,
    JobRead,
    Operation,
    Plan,
    SchedulePlan,
)

START = 1_700_000_040_000.0  # a full minute
FAULT = Fault(kind="kill", at=START + 30_000, until=START + 32_000)
RETRY_BASE_MS = 200.0


@dataclass
class Draft:
    """What a history is made from."""

    plans: dict[str, Plan] = field(default_factory=dict)
    operations: list[Operation] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    hooks: list[Hook] = field(default_factory=list)
    jobs: dict[str, JobRead] = field(default_factory=dict)


def make(seed: int = 1, count: int = 60) -> History:
    """Return a history of *count* jobs of every fate and of one schedule."""
    draw, draft = random.Random(seed), Draft()
    fates = ("plain", "flaky", "failing", "keyed", "cancelled", "refused", "bad", "unknown", "in_flight")
    for number in range(count):
        _job(draft, draw, f"{fates[number % len(fates)]}-{number}", fates[number % len(fates)])
    _ticks(draft)
    return History(
        plans=draft.plans,
        schedules={"every-minute": SchedulePlan(name="every-minute")},
        operations=tuple(draft.operations),
        calls=tuple(draft.calls),
        hooks=tuple(draft.hooks),
        jobs=draft.jobs,
        listed=tuple(draft.jobs),
        faults=(FAULT,),
        ended_at=START + 200_000,
        retry_base_ms=RETRY_BASE_MS,
    )


def _job(draft: Draft, draw: random.Random, name: str, fate: str) -> None:
    """Write one job's life down."""
    at = START + draw.randrange(0, 25_000) if fate != "in_flight" else FAULT.at - 200
    failures = {"flaky": 1, "failing": 3}.get(fate, 0)
    plan = Plan(
        name=name,
        fire_at=at + 2_000 if fate != "in_flight" else FAULT.at - 50,
        max_retries={"flaky": 2, "failing": 2}.get(fate, 0),
        failure_count=failures,
        key=f"key-{name}" if fate == "keyed" else None,
        has_webhook=True,
    )
    draft.plans[name] = plan
    job_id = new_job_id(int(START), 0, crc32(name.encode()).to_bytes(8, "big"))
    if fate == "bad":
        draft.operations.append(_operation("create", name, at, "fail", status=400))
        return
    if fate in ("keyed", "unknown"):
        draft.operations.append(_operation("create", name, at, "info"))
    if fate != "unknown":
        draft.operations.append(_operation("create", name, at + 10, "ok", status=201, id=job_id))
    draft.operations.append(_operation("read", name, at + 20, "ok", status=200, id=job_id, seen="scheduled"))
    if fate == "cancelled":
        draft.operations.append(_operation("cancel", name, at + 1_000, "ok", status=204, id=job_id))
        draft.operations.append(_operation("read", name, at + 1_020, "ok", status=200, id=job_id, seen="cancelled"))
        timeline = ("job.scheduled", "job.cancel_requested", "job.cancelled", "webhook.finished")
        draft.jobs[job_id] = JobRead(id=job_id, name=name, status="cancelled", execution_count=0, timeline=timeline)
        draft.hooks.append(Hook(at=at + 1_030, job_id=job_id, status="cancelled", attempt_num=0, status_code=None))
        return
    attempts = min(failures, plan.max_retries) + 1
    rows, called_at = [], plan.fire_at + 3
    for attempt in range(1, attempts + 1):
        code = 500 if attempt <= failures else 200
        call = Call(
            at=called_at,
            name=name,
            job_id=job_id,
            execution_id=f"exec_{name}-{attempt}",
            attempt=attempt,
            scheduled_at=plan.fire_at,
            answer=code,
        )
        draft.calls.append(call)
        if fate == "in_flight":
            # Dead while the answer was on its way: the next life calls again.
            called_at = FAULT.until + 20
            draft.calls.append(Call(**(vars(call) | {"at": called_at})))
        word = "success" if code == 200 else "failed"
        rows.append(
            Execution(id=call.execution_id, attempt=attempt, status=word, status_code=code, executed_at=called_at - 2)
        )
        called_at += RETRY_BASE_MS * 2 ** (attempt - 1) + 10
    if fate == "refused":
        draft.operations.append(_operation("cancel", name, plan.fire_at, "fail", status=409, id=job_id))
    steps = ["attempt.due", "attempt.finished", "job.retry_scheduled"] * attempts
    last = rows[-1]
    draft.jobs[job_id] = JobRead(
        id=job_id,
        name=name,
        status=last.status or "",
        execution_count=attempts,
        executions=tuple(rows),
        timeline=("job.scheduled", *steps[:-1], "job.finished", "webhook.finished"),
    )
    word = "completed" if last.status == "success" else "failed"
    draft.hooks.append(
        Hook(at=called_at + 30, job_id=job_id, status=word, attempt_num=attempts, status_code=last.status_code)
    )
    draft.operations.append(_operation("read", name, called_at + 50, "ok", status=200, id=job_id, seen=last.status))


def _ticks(draft: Draft) -> None:
    name = "every-minute"
    draft.operations.append(_operation("create_schedule", name, START + 5_000, "ok", status=201, id="sched_1"))
    draft.operations.append(_operation("delete_schedule", name, START + 185_000, "ok", status=204, id="sched_1"))
    for minute in (1, 2, 3):
        tick_at, job_id = START + minute * 60_000, f"job_tick-{minute}"
        call = Call(
            at=tick_at + 4,
            name=name,
            job_id=job_id,
            execution_id=f"exec_tick-{minute}",
            attempt=1,
            scheduled_at=tick_at,
            answer=200,
            schedule_id="sched_1",
        )
        draft.calls.append(call)
        row = Execution(id=call.execution_id, attempt=1, status="success", status_code=200, executed_at=tick_at + 1)
        draft.jobs[job_id] = JobRead(
            id=job_id,
            name=name,
            status="success",
            execution_count=1,
            executions=(row,),
            timeline=("schedule.ticked", "attempt.due", "attempt.finished", "job.finished"),
            schedule_id="sched_1",
        )


def _operation(kind: str, name: str, at: float, outcome: str, **more: object) -> Operation:
    return Operation(kind=kind, name=name, invoked_at=at, returned_at=at + 5, outcome=outcome, **more)  # type: ignore[arg-type]
