"""
A good history of what has rules of its own, made up from the tables of tests/chaos/kinds: a job of each kind and a schedule of each
kind, away from every fault. The planted bugs of planted_plans.py are changes of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final
from zlib import crc32

from libs.events.ids import new_job_id
from tests.chaos.judging.history import Call, Execution, History, Hook, JobRead, Operation, Plan, SchedulePlan
from tests.chaos.judging.schedule_rules import instants
from tests.chaos.kinds.jobs import JOB_KINDS, JobKind
from tests.chaos.kinds.schedules import PHASES, SCHEDULE_KINDS, ScheduleKind
from tests.chaos.proving import good_history

BEGAN: Final = good_history.START + 100_000  # long after the kill
# A run that was to be replaced, and whose target answered just then.
ENDED_IN_TIME: Final = ("schedule.spawned", "attempt.due", "schedule.run_stopped", "attempt.finished", "job.finished")
LIVED_MS: Final = 90_000
TARGETS: Final = {"status": 503, "enough": 500, "retry-after": 429, "snooze": 200, "flaky": 500}
REASONS: Final = {"success": "success", "cancelled": "cancelled"}


def make() -> History:
    """Return it, and beside it all that tests/chaos/proving/good_history.py has."""
    history = good_history.make()
    for fate, kind in JOB_KINDS.items():
        history = _with_job(history, fate, kind)
    for fate, schedule in SCHEDULE_KINDS.items():
        history = _with_schedule(history, fate, schedule)
    ended = {job.id: ("wh_" + job.id,) for job in history.jobs.values() if job.status in ("failed", "cancelled")}
    return replace(history, listed=tuple(history.jobs), told=ended)


def _with_job(history: History, fate: str, kind: JobKind) -> History:
    """A job that its user makes, and asks for once more or changes if its kind has a story about that."""
    name, terms, fire_at = f"s1-{fate}", kind.terms, BEGAN + 2_000
    plan = Plan(name=name, fire_at=fire_at, terms=terms, has_webhook=kind.hook is not None)
    job_id = new_job_id(int(BEGAN), 0, crc32(name.encode()).to_bytes(8, "big"))
    asked: dict[str, Any] = {"revision": 0, "fire_at": fire_at}
    operations = [operation("create", name, BEGAN, id=job_id, asked=asked)]
    calls, revision = [], 0
    if fate in ("changed", "replaced"):
        revision, fire_at = 1, fire_at + 300
        how = "change" if fate == "changed" else "create"
        again = {"revision": 1, "fire_at": fire_at}
        operations.append(operation(how, name, BEGAN + 500, id=job_id, asked=again))
    if fate == "run-now":
        fire_at = BEGAN + 702
        operations.append(operation("run", name, BEGAN + 700, id=job_id, asked={"revision": 0}))
    at, attempts = fire_at + 3, max(terms.attempts[0], 1)
    for attempt in range(1, attempts + 1):
        code = TARGETS.get(kind.target.split("/")[0], 200)
        if attempt > 1 or fate == "wants-404":
            code = 404 if fate == "wants-404" else 200 if attempt == attempts else code
        calls.append(
            Call(
                at=at,
                name=name,
                job_id=job_id,
                execution_id=f"exec_{name}-{attempt}",
                attempt=attempt,
                scheduled_at=fire_at,
                answer=code,
                revision=revision,
            )
        )
        at += terms.waits_ms[min(attempt, len(terms.waits_ms)) - 1] + 5 if terms.waits_ms else 0
    status = REASONS.get(terms.ends[0], "failed")
    if "stopped" in terms.ends:
        operations.append(operation("stop", name, fire_at + 500, id=job_id, seen="stopped"))
    job = JobRead(
        id=job_id,
        name=name,
        status=status,
        execution_count=attempts,
        executions=tuple(
            Execution(
                id=call.execution_id,
                attempt=call.attempt,
                status=status if call is calls[-1] else "failed",
                status_code=call.answer,
                executed_at=call.at - 1,
            )
            for call in calls
        ),
        ended_by=terms.ends[0],
        born_at=BEGAN + 3,
        due_at=fire_at - 75,
        gone_at=at + 400,
    )
    hook = Hook(at=at + 50, job_id=job_id, status="completed", attempt_num=attempts, status_code=calls[-1].answer)
    hooks = [replace(hook, at=hook.at + 300 * n) for n in range(terms.hooks)] if kind.hook else []
    return replace(
        history,
        plans={**history.plans, name: plan},
        operations=(*history.operations, *operations),
        calls=(*history.calls, *calls),
        hooks=(*history.hooks, *hooks),
        jobs={**history.jobs, job_id: job},
    )


def _with_schedule(history: History, fate: str, kind: ScheduleKind) -> History:
    """A schedule that ticks by its rule; the one that is moved is moved once, the one that pauses once, in the middle."""
    name, fields, middle = f"s1-{fate}", kind.fields, BEGAN + LIVED_MS / 2
    plan = SchedulePlan(name=name, fields=fields, run_ms=kind.run_ms)
    operations = [operation("create_schedule", name, BEGAN, id=f"sched_{name}")]
    ticks = list(instants(plan, BEGAN + 5, BEGAN + LIVED_MS))
    shown = {**fields}
    if fate == "moves":
        shown["every"] = {"seconds": 4, "anchor": PHASES[1]}
        operations.append(operation("change_schedule", name, middle, asked={"every": shown["every"]}))
        moved = instants(replace(plan, fields=shown), middle, BEGAN + LIVED_MS)
        ticks = [*(at for at in ticks if at <= middle), *moved]
    if "pauses" in fate:
        operations.append(operation("pause", name, middle))
        operations.append(operation("resume", name, middle + 9_000, asked={}))
        ticks = [at for at in ticks if not middle < at < middle + 9_000]
    most = fields.get("max_runs") or fields.get("pause_after_failures")
    apart_ms = 0 if fields.get("overlap", "allow") in ("allow", "replace") else kind.run_ms
    runs: list[tuple[float, float]] = []
    for tick_at in ticks[:most]:
        if not runs or tick_at >= runs[-1][1] + apart_ms:
            runs.append((tick_at, tick_at + 4))
    operations.append(operation("delete_schedule", name, BEGAN + LIVED_MS, id=f"sched_{name}"))
    triggers = ["schedule"] * len(runs)
    if fate == "by-hand":
        runs.append((middle + 333, middle + 340))
        triggers.append("manual")
        operations.append(operation("run_schedule", name, middle + 330, id=_tick_job(name, middle + 333)))
    calls, jobs = [], {}
    for (tick_at, at), trigger in zip(runs, triggers, strict=True):
        job_id = _tick_job(name, tick_at)
        code = 500 if "status/500" in kind.target else 200
        call = Call(
            at=at,
            name=name,
            job_id=job_id,
            execution_id=f"exec_{job_id}",
            attempt=1,
            scheduled_at=tick_at,
            answer=code,
            schedule_id=f"sched_{name}",
            trigger=trigger,
        )
        word = "success" if code == 200 else "failed"
        row = Execution(id=call.execution_id, attempt=1, status=word, status_code=code, executed_at=at - 1)
        calls.append(call)
        jobs[job_id] = JobRead(
            id=job_id,
            name=name,
            status=word,
            execution_count=1,
            executions=(row,),
            timeline=ENDED_IN_TIME if fate == "takes-over" else (),
            schedule_id=call.schedule_id,
            born_at=at - 70,
            due_at=at - 60,
            gone_at=at + min(kind.run_ms, 900),
        )
    return replace(
        history,
        schedules={**history.schedules, name: plan},
        operations=(*history.operations, *operations),
        calls=(*history.calls, *calls),
        jobs={**history.jobs, **jobs},
        shown={**history.shown, name: shown},
    )


def _tick_job(name: str, at: float) -> str:
    return f"job_{name}-{at:.0f}"


def operation(kind: Any, name: str, at: float, **more: Any) -> Operation:
    """A request that was answered within 5 ms."""
    return Operation(
        kind=kind, name=name, invoked_at=at, returned_at=at + 5, **{"outcome": "ok", "status": 200, **more}
    )
