"""
Checker: decides from a history whether Fliq kept its word. Pure: no clock, no I/O.

Theory of operation

An operation whose outcome the client could not learn (`info`) may have happened or not; both are right, but only one of them, and
whatever else the history shows must fit it. A call is matched with its job by the name in its body and by its headers, so nothing
has to be guessed. A fault excuses exactly two things: lateness while it lasted, and a repetition, under the same execution id, of
an attempt whose outcome was not recorded when the fault struck; a graceful one excuses lateness only. A webhook may be repeated
around a fault, not otherwise, and none may be missing.

A name of INVARIANTS (invariants.py) that is missing from the answer held. planted.py shows for each that it can fail.

Source: the Chronos test of Jepsen for the shape.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Final

from tests.chaos.judging.call_rules import check_calls, check_lateness
from tests.chaos.judging.history import History, JobRead, Operation
from tests.chaos.judging.schedule_rules import check_schedules
from tests.chaos.judging.terms_rules import check_keys, check_requests, check_terms
from tests.chaos.judging.view import View, Violation

# What may stand anywhere in the timeline of a job: it was told of, or was to end otherwise than it did.
_BESIDE: Final = ("webhook.finished", "webhook.attempted", "job.cancel_requested", "schedule.run_stopped")
_RANK: Final = {"scheduled": 0, "running": 1, "success": 2, "failed": 2, "cancelled": 2}
_WEBHOOK_WORD: Final = {"completed": "success", "failed": "failed", "cancelled": "cancelled"}


def check(history: History, *, late_ms: float = 1_000.0) -> list[Violation]:
    """Return every violation in *history*; *late_ms* bounds how late a call may leave once nothing hinders it."""
    view = View(history)
    found: list[Violation] = []
    for check_one in _CHECKS:
        found.extend(check_one(view))
    found.extend(check_lateness(view, late_ms))
    return found


def lateness(history: History) -> list[float]:
    """How many ms each job's first call came after its instant, or after the last fault since then; sorted."""
    view = View(history)
    late = []
    for first in (calls[0] for calls in view.calls_of.values()):
        asked_at = view.asked_at(first)
        # A call that leaves in the moments before Fliq is seen to be ready again counts as made then.
        healed = [
            min(fault.until, first.at) for fault in view.faults if asked_at < fault.until and fault.at <= first.at
        ]
        late.append(first.at - max([asked_at, *healed]))
    return sorted(late)


def _accepted(view: View) -> Iterator[Violation]:
    for name, plan in view.history.plans.items():
        accepted = view.did(name, "create", "ok")
        ids = view.ids_of[name]
        holds_a_key = plan.terms is not None and plan.terms.is_moved  # one job after the other may have it
        if len(ids) > 1 and not holds_a_key:
            yield Violation("key_split" if plan.key else "crossed", name, f"jobs {sorted(ids)}")
        refused = view.did(name, "create", "fail")
        if refused and not accepted and not view.did(name, "create", "info") and ids:
            yield Violation("refused_but_fired", name, f"status {refused[0].status}, yet {sorted(ids)} called")
        if not accepted:
            continue
        job_id = accepted[0].id or ""
        job = view.history.jobs.get(job_id)
        if job is None:
            yield Violation("missing", name, f"{job_id} was acknowledged and cannot be read")
            continue
        yield from _cancels(view, name, job)
    for job_id, job in view.history.jobs.items():
        terms = view.terms_of(job_id)
        may_be_silent = job.is_cut_off or (terms is not None and terms.attempts[0] == 0)
        if not view.calls_of.get(job_id) and job.status != "cancelled" and not may_be_silent:
            yield Violation("lost", job.name, f"{job_id} is {job.status} and never called")


def _cancels(view: View, name: str, job: JobRead) -> Iterator[Violation]:
    calls = view.calls_of.get(job.id, [])
    for cancel in view.operations_of[name]:
        if cancel.kind != "cancel" or cancel.outcome == "info":
            continue
        if cancel.outcome == "ok":
            if calls:
                yield Violation(
                    "fired_after_cancel", name, f"204 at {cancel.returned_at:.0f}, call at {calls[0].at:.0f}"
                )
            if job.status != "cancelled":
                yield Violation("cancel_undone", name, f"204, yet {job.id} is {job.status}")
        elif cancel.status == 409 and (not calls or job.status == "cancelled"):
            yield Violation(
                "refused_cancel_never_fired", name, f"409, yet {job.id} is {job.status}, {len(calls)} calls"
            )
        elif cancel.status == 404:
            yield Violation("cancel_not_found", name, f"404 for {job.id}")
    if job.status == "cancelled" and not any(each.kind in ("cancel", "stop") for each in view.operations_of[name]):
        yield Violation("cancelled_by_nobody", name, job.id)


def _records(view: View) -> Iterator[Violation]:
    for job_id, calls in view.calls_of.items():
        job = view.history.jobs.get(job_id)
        if job is None:
            yield Violation("unrecorded_call", job_id, "called, and cannot be read")
            continue
        recorded = {(row.id, row.attempt) for row in job.executions}
        for call in calls:
            if (call.execution_id, call.attempt) not in recorded:
                yield Violation("unrecorded_call", job_id, f"{call.execution_id}, attempt {call.attempt}")
    for job_id, job in view.history.jobs.items():
        yield from _of_one_job(view, job_id, job)


def _of_one_job(view: View, job_id: str, job: JobRead) -> Iterator[Violation]:
    if job.status not in ("success", "failed", "cancelled"):
        yield Violation("stuck", job_id, f"is {job.status}")
    numbers = [row.attempt for row in job.executions]
    if numbers != list(range(1, len(numbers) + 1)) or job.execution_count != len(numbers):
        yield Violation("attempt_gap", job_id, f"attempts {numbers}, count {job.execution_count}")
    plan = view.plan_of(job_id)
    if job.is_cut_off or view.terms_of(job_id) is not None:
        return  # terms_rules.py has the rest
    if plan is not None and len(numbers) > plan.max_retries + 1:
        yield Violation("too_many_attempts", job_id, f"{len(numbers)} with max_retries {plan.max_retries}")
    answers: dict[int, set[int | None]] = defaultdict(set)
    for call in view.calls_of.get(job_id, []):
        answers[call.attempt].add(call.answer)
    for row in job.executions:
        answered = answers[row.attempt]
        ok = row.status_code is not None and 200 <= row.status_code < 300
        if row.status is None or ok != (row.status == "success"):
            yield Violation("wrong_outcome", job_id, f"attempt {row.attempt}: {row.status}, {row.status_code}")
        elif row.status_code is not None and row.status_code not in answered:
            yield Violation(
                "wrong_outcome", job_id, f"attempt {row.attempt}: {row.status_code}, target said {answered}"
            )
    expected = {
        "success": bool(job.executions) and job.executions[-1].status == "success",
        "failed": bool(job.executions)
        and job.executions[-1].status != "success"
        and (plan is None or len(job.executions) == plan.max_retries + 1),
        "cancelled": not job.executions,
    }
    if not expected.get(job.status, True):
        yield Violation("wrong_status", job_id, f"{job.status} with {[row.status for row in job.executions]}")
    if job.timeline and not _fits(job):
        yield Violation("wrong_timeline", job_id, f"{job.status}: {' '.join(job.timeline)}")


# What may stand anywhere; a run that is stopped once its outcome is known ends as that says.
_BESIDE: Final = ("webhook.finished", "webhook.attempted", "job.cancel_requested", "schedule.run_stopped")


def _fits(job: JobRead) -> bool:
    """Whether the timeline is that of a job with these executions and this end; what folds to nothing is not in it."""
    born, *rest = [each for each in job.timeline if each not in _BESIDE]
    if born not in ("job.scheduled", "schedule.ticked", "schedule.spawned"):
        return False
    if job.status == "cancelled":
        return rest == ["job.cancelled"]
    expected = ["attempt.due", "attempt.finished", "job.retry_scheduled"] * len(job.executions)
    return rest == [*expected[:-1], "job.finished"]


def _reads(view: View) -> Iterator[Violation]:
    for name, operations in view.operations_of.items():
        accepted_at = min((each.returned_at for each in operations if _is_ok(each, "create")), default=None)
        reads = sorted((each for each in operations if each.kind == "read"), key=lambda each: each.invoked_at)
        if accepted_at is not None:
            for each in reads:
                if each.status == 404 and each.invoked_at >= accepted_at:
                    yield Violation("unread_write", name, f"404 {each.invoked_at - accepted_at:.0f} ms after the 201")
        answered = [each for each in reads if each.seen is not None]
        for index, one in enumerate(answered):
            for two in answered[index + 1 :]:
                if one.returned_at <= two.invoked_at and not _may_follow(one.seen or "", two.seen or ""):
                    yield Violation("status_backwards", name, f"{one.seen}, then {two.seen}")


def _may_follow(one: str, two: str) -> bool:
    return one == two or _RANK[one] < _RANK[two]


def _is_ok(operation: Operation, kind: str) -> bool:
    return operation.kind == kind and operation.outcome == "ok"


def _list(view: View) -> Iterator[Violation]:
    counts = Counter(view.history.listed)
    for job_id, count in counts.items():
        if count > 1:
            yield Violation("list_double", job_id, f"{count} times")
    for name, ids in view.ids_of.items():
        for job_id in ids - counts.keys():
            yield Violation("list_gap", name, f"{job_id} is not in the list")


def _hooks(view: View) -> Iterator[Violation]:
    by_job = defaultdict(list)
    for hook in sorted(view.history.hooks, key=lambda each: each.at):
        by_job[hook.job_id].append(hook)
    for job_id, hooks in by_job.items():
        job = view.history.jobs.get(job_id)
        plan = view.plan_of(job_id)
        for hook in hooks:
            if job is None or plan is None or not plan.has_webhook:
                yield Violation("webhook_wrong", job_id, "a report nobody asked for")
            elif _WEBHOOK_WORD.get(hook.status) != job.status or hook.attempt_num != job.execution_count:
                yield Violation("webhook_wrong", job_id, f"says {hook.status}, {hook.attempt_num}; is {job.status}")
            elif job.executions and hook.status_code != job.executions[-1].status_code:
                yield Violation("webhook_wrong", job_id, f"says {hook.status_code}")
        times = plan.terms.hooks if plan is not None and plan.terms is not None else 1
        for one, two in pairwise(hooks[times - 1 :]):
            if view.fault_between(one.at, two.at) is None:
                yield Violation("webhook_duplicate", job_id, f"at {one.at:.0f} and {two.at:.0f}")
    plans = {job_id: view.plan_of(job_id) for job_id in view.history.jobs}
    expected = [job_id for job_id, plan in plans.items() if plan is not None and plan.has_webhook]
    for job_id in expected:
        terms = view.terms_of(job_id)
        if len(by_job.get(job_id, ())) < (1 if terms is None else terms.hooks):
            count = len(by_job.get(job_id, ()))
            yield Violation("webhook_lost", job_id, f"{view.history.jobs[job_id].status}, and {count} reports came")


def _endpoint(view: View) -> Iterator[Violation]:
    told = view.history.told
    if told is None:
        return
    for job_id, job in view.history.jobs.items():
        if job.status in ("failed", "cancelled") and job_id not in told:
            yield Violation("endpoint_not_told", job_id, f"{job.status}")
    for job_id, ids in told.items():
        if len(ids) > 1:
            yield Violation("endpoint_told_twice", job_id, f"{ids}")


def _recovery(view: View) -> Iterator[Violation]:
    for fault in view.faults:
        if fault.healed_at is not None and fault.until - fault.healed_at > view.history.recovery_ms:
            took_s = (fault.until - fault.healed_at) / 1000
            yield Violation("slow_recovery", fault.kind, f"{took_s:.1f} s at {fault.healed_at:.0f}")
    for name, said in view.history.breaches:
        yield Violation(name, "the log", said)
    for said in view.history.unread:
        yield Violation("read_differs", "a job", said)


_CHECKS: Final[tuple[Callable[[View], Iterator[Violation]], ...]] = (
    _accepted,
    check_calls,
    _records,
    _reads,
    _list,
    _hooks,
    _endpoint,
    check_terms,
    check_requests,
    check_keys,
    check_schedules,
    _recovery,
)
