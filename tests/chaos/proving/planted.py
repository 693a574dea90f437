"""
Planted bugs: what a history would look like if Fliq had this or that defect. The checker must find each by name; one that finds
fewer is not evidence.

PLANTED maps a defect to the invariant that must break and the change that breaks it. Every change works on any history that has
a job of each fate (good_history.make, or a recorded run).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from tests.chaos.judging.history import Call, Execution, History, JobRead, Operation

Change = Callable[[History], History]
T = TypeVar("T")


def first(found: Iterable[T], what: str) -> T:
    """Return the first of *found*; a history that has no *what* is none to plant this in."""
    for each in found:
        return each
    raise LookupError(f"this history has no {what}")


def _called(history: History, *, attempts: int = 1, status: str = "success") -> JobRead:
    """
    A job of its own (no tick) that called so often, each attempt once, and ended so: of those, the one whose first call is
    farthest from every fault, as near one the checker rightly excuses what is planted.
    """
    times = Counter(call.job_id for call in history.calls)
    created = {each.name for each in history.operations if _is(each, "create", "ok")}
    fitting = [
        job
        for job in history.jobs.values()
        if job.schedule_id is None
        and job.status == status
        and job.execution_count == attempts
        and times[job.id] == attempts
        and history.plans[job.name].has_webhook
        and job.name in created
    ]
    first(fitting, f"{status} job with {attempts} attempts")
    return max(fitting, key=lambda job: quiet_ms(history, _calls(history, job)[0].at))


def quiet_ms(history: History, at: float) -> float:
    """How far *at* is from the nearest fault, in ms: 0 within one."""
    return min((max(fault.at - at, at - fault.until, 0.0) for fault in history.faults), default=math.inf)


def _cancelled(history: History) -> tuple[JobRead, Operation]:
    cancel = first((each for each in history.operations if _is(each, "cancel", "ok")), "acknowledged cancel")
    return history.jobs[cancel.id or ""], cancel


def _is(operation: Operation, kind: str, outcome: str) -> bool:
    return operation.kind == kind and operation.outcome == outcome


def _calls(history: History, job: JobRead) -> list[Call]:
    return sorted((call for call in history.calls if call.job_id == job.id), key=lambda each: each.at)


def _tick(history: History) -> Call:
    return first(sorted((c for c in history.calls if c.schedule_id), key=lambda each: each.at), "tick")


def _without(history: History, job: JobRead) -> tuple[Call, ...]:
    return tuple(call for call in history.calls if call.job_id != job.id)


def _changed(history: History, old: Call, **fields: Any) -> History:
    return replace(history, calls=tuple(replace(each, **fields) if each is old else each for each in history.calls))


def _read_as(history: History, job: JobRead, **fields: Any) -> History:
    return replace(history, jobs={**history.jobs, job.id: replace(job, **fields)})


def _more(history: History, *operations: Operation, calls: Iterable[Call] = ()) -> History:
    return replace(history, operations=(*history.operations, *operations), calls=(*history.calls, *calls))


def _record_dropped(history: History) -> History:
    return replace(history, calls=_without(history, _called(history)))


def _offset_committed_before_work(history: History) -> History:
    job = _called(history)
    lost = replace(job, status="running", executions=(), execution_count=0, timeline=())
    return replace(history, calls=_without(history, job), jobs={**history.jobs, job.id: lost})


def _reset_to_latest(history: History) -> History:
    job = _called(history)
    return replace(history, jobs={each: read for each, read in history.jobs.items() if each != job.id})


def _first_call(change: Callable[[Call], Mapping[str, Any]]) -> Change:
    """The first call of a job that has one, with what *change* says of it."""

    def changed(history: History) -> History:
        call = _calls(history, _called(history))[0]
        return _changed(history, call, **change(call))

    return changed


def _called_again(change: Callable[[Call], Mapping[str, Any]]) -> Change:
    """A second call beside the first one of a job that has one, with what *change* says of it."""

    def again(history: History) -> History:
        call = _calls(history, _called(history))[0]
        return _more(history, calls=[replace(call, **change(call))])

    return again


def _back_off_ignored(history: History) -> History:
    one, two, *_ = _calls(history, _called(history, attempts=2))
    return _changed(history, two, at=one.at + 20)


def _fires_after_cancel(history: History) -> History:
    job, cancel = _cancelled(history)
    plan = history.plans[job.name]
    call = Call(
        at=max(plan.fire_at, cancel.returned_at) + 5,
        name=job.name,
        job_id=job.id,
        execution_id="exec_zombie",
        attempt=1,
        scheduled_at=plan.fire_at,
        answer=200,
    )
    row = Execution(id="exec_zombie", attempt=1, status="success", status_code=200, executed_at=call.at - 1)
    fired = replace(job, execution_count=1, executions=(row,), timeline=())
    return replace(_more(history, calls=[call]), jobs={**history.jobs, job.id: fired})


def _cancel_acknowledged_before_decision(history: History) -> History:
    job, _ = _cancelled(history)
    return _read_as(history, job, status="failed", timeline=())


def _cancels_the_wrong_job(history: History) -> History:
    asked = {each.name for each in history.operations if each.kind == "cancel"}
    others = (job for job in history.jobs.values() if job.name in history.plans and job.name not in asked)
    job = first(others, "job that nobody cancels")
    quiet = replace(job, status="cancelled", executions=(), execution_count=0, timeline=())
    return replace(history, calls=_without(history, job), jobs={**history.jobs, job.id: quiet})


def _cancel_refused_and_dropped(history: History) -> History:
    _, cancel = _cancelled(history)
    refused = replace(cancel, outcome="fail", status=409)
    return replace(history, operations=tuple(refused if each is cancel else each for each in history.operations))


def _cancel_reads_stale_table(history: History) -> History:
    job = _called(history)
    at = history.plans[job.name].fire_at - 10
    return _more(history, _told("cancel", job, at, 404))


def _read_reads_stale_table(history: History) -> History:
    job = _called(history)
    created = first((o for o in history.operations if o.name == job.name and _is(o, "create", "ok")), "create")
    return _more(history, _told("read", job, created.returned_at + 1, 404))


def _told(kind: str, job: JobRead, at: float, status: int) -> Operation:
    return Operation(
        kind=kind,  # type: ignore[arg-type]
        name=job.name,
        invoked_at=at,
        returned_at=at + 1,
        outcome="fail",
        status=status,
        id=job.id,
    )


def _replica_lags(history: History) -> History:
    job = _called(history)
    end = history.ended_at
    reads = [
        replace(_told("read", job, at, 200), outcome="ok", seen=seen)
        for at, seen in ((end + 10, "success"), (end + 20, "running"))
    ]
    return _more(history, *reads)


def _key_reserved_twice(history: History) -> History:
    keyed = (o for o in history.operations if _is(o, "create", "ok") and history.plans[o.name].key is not None)
    made = first(keyed, "keyed job")
    twin = replace(history.jobs[made.id or ""], id="job_twin")
    more = _more(history, replace(made, id="job_twin"))
    return replace(more, jobs={**history.jobs, "job_twin": twin}, listed=(*history.listed, "job_twin"))


def _refused_job_lives(history: History) -> History:
    for refused in history.operations:
        others = [each.outcome for each in history.operations if each.name == refused.name and each.kind == "create"]
        if _is(refused, "create", "fail") and set(others) == {"fail"}:
            ghost = replace(_called(history), id="job_ghost", name=refused.name)
            return replace(history, jobs={**history.jobs, ghost.id: ghost})
    raise LookupError("this history has no refused create")


def _bodies_swapped(history: History) -> History:
    one, two, *_ = [call for call in history.calls if call.schedule_id is None and call.attempt == 1]
    first = _called(history)
    other = one if one.job_id != first.id else two
    return _changed(history, _calls(history, first)[0], name=other.name)


def _start_without_barrier(history: History) -> History:
    kills = [fault for fault in history.faults if fault.kind == "kill"]
    recorded = {job.id for job in history.jobs.values() if job.status == "success"}
    for call in history.calls:
        for kill in kills:
            if call.at < kill.at and call.job_id in recorded and call.schedule_id is None:
                return _more(history, calls=[replace(call, at=kill.until + 10)])
    raise LookupError("this history has no kill behind a call")


def _new_execution_id_on_resend(history: History) -> History:
    return _changed(history, _repeated(history), execution_id="exec_other")


def _repeated(history: History) -> Call:
    seen: set[str] = set()
    for call in sorted(history.calls, key=lambda each: each.at):
        if call.execution_id in seen:
            return call
        seen.add(call.execution_id)
    raise LookupError("this history has no repeated execution")


def _one_try_too_many(history: History) -> History:
    used_up = (job for job in history.jobs.values() if job.status == "failed" and job.name in history.plans)
    return _with_another_attempt(history, first(used_up, "failed job"))


def _with_another_attempt(history: History, job: JobRead) -> History:
    last = _calls(history, job)[-1]
    again = replace(last, at=last.at + 5_000, attempt=last.attempt + 1, execution_id="exec_again")
    row = replace(job.executions[-1], id="exec_again", attempt=again.attempt, executed_at=again.at - 1)
    rows = (*job.executions, row)
    read = replace(job, executions=rows, execution_count=len(rows), timeline=())
    return replace(_more(history, calls=[again]), jobs={**history.jobs, job.id: read})


def _execution_not_written(history: History) -> History:
    job = _called(history, attempts=2)
    return _read_as(history, job, executions=job.executions[1:], execution_count=2)


def _attempt_number_skipped(history: History) -> History:
    job = _called(history, attempts=2)
    one, two = job.executions
    return _read_as(history, job, executions=(one, replace(two, attempt=3)))


def _outcome_misread(history: History) -> History:
    job = _called(history, attempts=2)
    one, two = job.executions
    return _read_as(history, job, executions=(replace(one, status="success", status_code=200), two))


def _gives_up_early(history: History) -> History:
    job = _called(history, attempts=2)
    calls = _calls(history, job)
    rest = tuple(call for call in history.calls if call is not calls[-1])
    gone = replace(job, status="failed", executions=job.executions[:1], execution_count=1, timeline=())
    return replace(history, calls=rest, jobs={**history.jobs, job.id: gone})


def _zombie_decision_counted(history: History) -> History:
    job = _called(history)
    return _read_as(history, job, timeline=(*job.timeline[:2], *job.timeline[1:]))


def _cursor_skips_a_row(history: History) -> History:
    job = _called(history)
    return replace(history, listed=tuple(each for each in history.listed if each != job.id))


def _cursor_by_offset(history: History) -> History:
    return replace(history, listed=(*history.listed, history.listed[0]))


def _webhook_dropped(history: History) -> History:
    job = _called(history)
    return replace(history, hooks=tuple(hook for hook in history.hooks if hook.job_id != job.id))


def _webhook_retried(history: History) -> History:
    hook = first((hook for hook in history.hooks if hook.job_id == _called(history).id), "webhook")
    return replace(history, hooks=(*history.hooks, replace(hook, at=hook.at + 50)))


def _webhook_says_success(history: History) -> History:
    hooks = tuple(replace(each, status="success") if each.status == "completed" else each for each in history.hooks)
    return replace(history, hooks=hooks)


def _two_owners_tick(history: History) -> History:
    call = _tick(history)
    twin = replace(call, job_id="job_other_tick", execution_id="exec_other_tick", at=call.at + 1)
    return _more(history, calls=[twin])


def _tick_skipped(history: History) -> History:
    call = _tick(history)
    jobs = {each: read for each, read in history.jobs.items() if each != call.job_id}
    return replace(history, calls=tuple(each for each in history.calls if each is not call), jobs=jobs)


def _ticks_after_delete(history: History) -> History:
    call = _tick(history)
    moved = call.scheduled_at + 600_000
    return _changed(history, call, scheduled_at=moved, at=moved + 4)


def _pool_never_heals(history: History) -> History:
    fault = history.faults[0]
    slow = replace(fault, healed_at=fault.until, until=fault.until + history.recovery_ms + 1)
    return replace(history, faults=(slow, *history.faults[1:]))


PLANTED: Final[dict[str, tuple[str, Change]]] = {
    "a record is dropped": ("lost", _record_dropped),
    "the offset is committed before the work": ("stuck", _offset_committed_before_work),
    "a reader resets to the latest position": ("missing", _reset_to_latest),
    "the clock is one second ahead": ("early", _first_call(lambda call: {"at": call.scheduled_at - 1_000})),
    "a timer is rounded down by a millisecond": ("early", _first_call(lambda call: {"at": call.scheduled_at - 1})),
    "a timer is forgotten until something else happens": ("late", _first_call(lambda call: {"at": call.at + 5_000})),
    "the back-off is ignored": ("early_retry", _back_off_ignored),
    "a zombie fires after the cancel": ("fired_after_cancel", _fires_after_cancel),
    "a cancel is acknowledged before it is decided": ("cancel_undone", _cancel_acknowledged_before_decision),
    "a cancel hits the wrong job": ("cancelled_by_nobody", _cancels_the_wrong_job),
    "a cancel is refused and carried out": ("refused_cancel_never_fired", _cancel_refused_and_dropped),
    "a cancel reads a stale table": ("cancel_not_found", _cancel_reads_stale_table),
    "a read reads a stale table": ("unread_write", _read_reads_stale_table),
    "a replica lags": ("status_backwards", _replica_lags),
    "a key is reserved twice": ("key_split", _key_reserved_twice),
    "a refused job lives": ("refused_but_fired", _refused_job_lives),
    "two clusters share a log": ("phantom", _called_again(lambda _: {"name": "nobody", "job_id": "job_nobody"})),
    "two jobs' bodies are swapped": ("crossed", _bodies_swapped),
    "a connection that dropped sends again by itself": (
        "unexplained_duplicate",
        _called_again(lambda call: {"at": call.at + 5}),
    ),
    "a dispatcher starts without the barrier": ("repeated_after_record", _start_without_barrier),
    "a repeated attempt gets a new execution id": ("attempt_with_two_ids", _new_execution_id_on_resend),
    "one try too many": ("too_many_attempts", _one_try_too_many),
    "a success is retried": ("attempt_after_success", lambda history: _with_another_attempt(history, _called(history))),
    "an execution is not written": ("unrecorded_call", _execution_not_written),
    "an attempt number is skipped": ("attempt_gap", _attempt_number_skipped),
    "a failure is recorded as success": ("wrong_outcome", _outcome_misread),
    "retries are given up early": ("wrong_status", _gives_up_early),
    "a zombie's decision counts": ("wrong_timeline", _zombie_decision_counted),
    "a cursor skips a row": ("list_gap", _cursor_skips_a_row),
    "a cursor counts rows": ("list_double", _cursor_by_offset),
    "a webhook is dropped": ("webhook_lost", _webhook_dropped),
    "a webhook is tried again": ("webhook_duplicate", _webhook_retried),
    "a webhook uses the API's word": ("webhook_wrong", _webhook_says_success),
    "two owners tick": ("tick_doubled", _two_owners_tick),
    "a tick is skipped": ("tick_missing", _tick_skipped),
    "a pool never heals": ("slow_recovery", _pool_never_heals),
    "the API shows another status": ("read_differs", lambda history: replace(history, unread=("it does",))),
    "a deleted schedule ticks": ("tick_alien", _ticks_after_delete),
}
