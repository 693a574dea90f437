"""The rules about calls: each belongs to a job, none is early, late, repeated without a fault or one too many."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from tests.chaos.judging.history import Call, Execution, Plan
from tests.chaos.judging.view import FREEZES, View, Violation

_BEGUN_MS: Final = 1_500.0  # from reading that an attempt is running to its call, on a busy machine
_JITTER_LEAST: Final = 0.75  # of the delay before a retry


def check_calls(view: View) -> Iterator[Violation]:
    for job_id, calls in view.calls_of.items():
        for call in calls:
            plan = view.history.plans.get(call.name)
            if call.schedule_id is not None:
                if call.name not in view.history.schedules:
                    yield Violation("phantom", job_id, f"a call of an unknown schedule, {call.name!r}")
            elif plan is None:
                yield Violation("phantom", job_id, f"a call nobody asked for, {call.name!r}")
            elif view.name_of.get(job_id, call.name) != call.name:
                yield Violation("crossed", job_id, f"called with the body of {call.name!r}")
            elif not _is_moved(plan) and abs(call.scheduled_at - plan.fire_at) >= 1:
                yield Violation("crossed", job_id, f"says {call.scheduled_at:.0f}, was asked for {plan.fire_at:.0f}")
            if call.at < call.scheduled_at or (
                plan is not None and not _is_moved(plan) and call.at < int(plan.fire_at)
            ):
                early = call.scheduled_at - call.at
                yield Violation("early", job_id, f"attempt {call.attempt} came {early:.1f} ms early")
        yield from _attempts(view, job_id, calls, plan)


def _is_moved(plan: Plan) -> bool:
    return plan.terms is not None and plan.terms.is_moved


def _attempts(view: View, job_id: str, calls: Sequence[Call], plan: Plan | None) -> Iterator[Violation]:
    """If it has a policy, an attempt that was answered with 429 is not charged: the back-off after it does not grow."""
    charged, is_free = 0, plan is not None and plan.has_policy
    has_terms = plan is not None and plan.terms is not None  # terms_rules.py has the rest
    by_attempt: dict[int, list[Call]] = defaultdict(list)
    for call in calls:
        by_attempt[call.attempt].append(call)
    rows = {each.attempt: each for each in view.history.jobs[job_id].executions} if job_id in view.history.jobs else {}
    for attempt, same in sorted(by_attempt.items()):
        if len({call.execution_id for call in same}) > 1:
            yield Violation("attempt_with_two_ids", job_id, f"attempt {attempt}: {[c.execution_id for c in same]}")
        for one, two in pairwise(same):
            if view.fault_between(one.at, two.at) is None:
                yield Violation("unexplained_duplicate", job_id, f"attempt {attempt} at {one.at:.0f} and {two.at:.0f}")
        row = rows.get(attempt)
        if row is not None and row.status is not None and _is_repeated(view, same, row):
            yield Violation(
                "repeated_after_record", job_id, f"recorded as of {row.executed_at:.0f}, again at {same[-1].at:.0f}"
            )
        charged += not (is_free and same[-1].answer == 429)
        following = by_attempt.get(attempt + 1)
        if following and row is not None and row.status == "success":
            yield Violation("attempt_after_success", job_id, f"attempt {attempt} succeeded, then came another")
        if following:
            gap = following[0].at - same[-1].at
            least = view.history.retry_base_ms * 2 ** (max(charged, 1) - 1) * _JITTER_LEAST
            if gap < 0:
                yield Violation("repeated_after_record", job_id, f"attempt {attempt} came after {attempt + 1}")
            elif gap < least and not has_terms:
                yield Violation(
                    "early_retry", job_id, f"attempt {attempt + 1} after {gap:.0f} ms, least is {least:.0f}"
                )


def _is_repeated(view: View, same: Sequence[Call], row: Execution) -> bool:
    """
    Whether an attempt was made once more although *row* had its outcome.

    Where it is not known when the outcome was recorded, the recorded call being the last but one or an earlier one says so: whoever
    made it was killed. Where it is known, one who had just begun to make it again may end that. Who was frozen ends it later.
    """
    last = same[-1].at
    if row.recorded_at is None:
        since, excuses = row.executed_at, FREEZES[:1]
        is_repeated = len(same) > 1 and since <= same[-2].at
    else:
        since, excuses = view.readable_from(same[-1].job_id, row.recorded_at), FREEZES
        is_repeated = last > since + _BEGUN_MS
    return is_repeated and not any(
        fault.kind.startswith(excuses) and fault.at <= last and fault.until >= since for fault in view.faults
    )


def check_lateness(view: View, late_ms: float) -> Iterator[Violation]:
    for job_id, calls in view.calls_of.items():
        if _may_wait(view, calls[0]):
            continue
        asked_at = view.asked_at(calls[0])
        late = calls[0].at - view.free_from(asked_at, late_ms)
        if calls[0].attempt == 1 and late > late_ms and not _is_backlog(view, asked_at, calls[0].at, late_ms):
            yield Violation("late", job_id, f"{late:.0f} ms after nothing hindered it")


def _may_wait(view: View, call: Call) -> bool:
    """Whether a call waits for another run, or is made up for, or spread."""
    plan = view.history.schedules.get(call.name)
    if plan is None or plan.fields is None:
        return False
    return call.trigger not in (None, "schedule") or not {"overlap", "spread", "misfire"}.isdisjoint(plan.fields)


def _is_backlog(view: View, asked_at: float, called_at: float, late_ms: float) -> bool:
    """Whether a call was asked for while a fault was not over, and left within the time that there is for recovery."""
    return any(
        fault.at - late_ms <= asked_at <= fault.until and called_at <= fault.healed_at + view.history.recovery_ms
        for fault in view.faults
        if fault.healed_at is not None
    )
