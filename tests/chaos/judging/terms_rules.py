"""The rules about jobs with rules of their own: their policies, what was asked of them while they lived, and their keys."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

from tests.chaos.judging.history import JobRead, Terms
from tests.chaos.judging.view import FREEZES, View, Violation

_ON_ITS_WAY_MS: Final = 500.0  # from the last look at an expiry to the arrival of the call, on a busy machine
_CLOCKS_MS: Final = 300.0  # two processes' clocks differ by less
_CUT_MS: Final = 2_000.0  # from the answer to a stop until no dispatcher begins its call any more


def check_terms(view: View) -> Iterator[Violation]:
    for job_id, job in view.history.jobs.items():
        terms = view.terms_of(job_id)
        if terms is not None:
            yield from _ending(view, job, terms)
            yield from _waits(view, job, terms)


def _ending(view: View, job: JobRead, terms: Terms) -> Iterator[Violation]:
    calls = view.calls_of.get(job.id, [])
    is_plain = all(
        row.status_code is not None for row in job.executions
    )  # each attempt was answered, and that is known
    if is_plain and (job.ended_by or job.status) not in terms.ends:
        yield Violation("policy_ignored", job.id, f"{job.name} ended by {job.ended_by}, {job.status}")
    least, most = terms.attempts
    if any(not row.status_code for row in job.executions) or len(calls) > job.execution_count:
        least, most = 0, most + sum(not row.status_code for row in job.executions)
    if not least <= job.execution_count <= most:
        yield Violation("policy_ignored", job.id, f"{job.name} made {job.execution_count} attempts of {terms.attempts}")


def _waits(view: View, job: JobRead, terms: Terms) -> Iterator[Violation]:
    calls, waits = view.calls_of.get(job.id, []), terms.waits_ms
    firsts = {call.attempt: call for call in reversed(calls)}
    for call in calls:
        following = firsts.get(call.attempt + 1)
        if following is not None and waits and call.answer is not None:
            gap, least = following.at - call.at, waits[min(call.attempt, len(waits)) - 1]
            if gap < least and len(calls) == job.execution_count:
                yield Violation("policy_ignored", job.id, f"{job.name} waited {gap:.0f} ms, least is {least:.0f}")
        too_late_at = call.scheduled_at + (terms.expires_ms or 0) + _ON_ITS_WAY_MS
        if terms.expires_ms is not None and call.at > too_late_at and not _stood_still(view, too_late_at, call.at):
            late = call.at - call.scheduled_at - terms.expires_ms
            yield Violation("policy_ignored", job.id, f"{job.name} was called {late:.0f} ms after its expiry")


def _stood_still(view: View, since: float, until: float) -> bool:
    """Whether a process that had looked at the clock before *since* may have gone on only then."""
    return any(
        fault.kind.startswith(FREEZES) and fault.at <= until and fault.until >= since - _ON_ITS_WAY_MS
        for fault in view.faults
    )


def check_requests(view: View) -> Iterator[Violation]:
    """What was answered with 200 counts, until something else was; what nobody answered may count at any time."""
    for job_id, job in view.history.jobs.items():
        if (terms := view.terms_of(job_id)) is None or not terms.is_moved:
            continue
        asked = [
            each
            for each in view.operations_of[job.name]
            if each.kind in ("create", "change", "run", "stop") and (each.id == job_id or each.outcome == "info")
        ]
        calls = view.calls_of.get(job_id, [])
        wanted: list[dict[str, Any]] = []
        for each in sorted(asked, key=lambda each: each.returned_at):
            if each.outcome == "fail" or each.kind == "stop":
                continue
            if each.outcome == "ok":
                wanted = [one for one in wanted if one["is_unsure"]]
            until = each.returned_at + _CLOCKS_MS if each.kind == "run" and each.outcome == "ok" else math.inf
            wanted.append({**(each.asked or {"revision": 0}), "until": until, "is_unsure": each.outcome == "info"})
        for call in calls:
            fits = [
                each
                for each in wanted
                if each["revision"] == call.revision
                and each.get("fire_at", call.scheduled_at) == call.scheduled_at <= each["until"]
            ]
            if not fits and not _extends(terms):
                yield Violation("change_lost", job_id, f"called as {call.revision}, {call.scheduled_at:.0f}: {wanted}")
        made = [each.returned_at for each in asked if each.kind == "create" and each.outcome == "ok"]
        if terms.put_off_ms is not None and made:
            until = min(made) + terms.put_off_ms
            if any(call.scheduled_at > until for call in calls):
                yield Violation("policy_ignored", job_id, f"put off beyond {until:.0f}")
        for stop in asked:
            if stop.kind == "stop" and stop.outcome == "ok":
                late = [call for call in calls if call.at > stop.returned_at + _CUT_MS]
                if stop.seen != (job.ended_by or job.status):
                    yield Violation("stop_ignored", job_id, f"{stop.seen} was answered, and it is {job.ended_by}")
                if late and view.fault_between(stop.invoked_at, late[0].at) is None:
                    yield Violation("stop_ignored", job_id, f"called {late[0].at - stop.returned_at:.0f} ms after it")


def _extends(terms: Terms) -> bool:
    """Whether what is asked for again moves the job's instant alone."""
    return terms.put_off_ms is not None


def check_keys(view: View) -> Iterator[Violation]:
    """By the log: a job with a key is made when the one before has let go of it. By arrivals: so are the calls."""
    of_name: dict[str, list[JobRead]] = defaultdict(list)
    for job_id, job in view.history.jobs.items():
        terms = view.terms_of(job_id)
        if terms is not None and terms.is_moved and job.born_at is not None:
            of_name[job.name].append(job)
    for name, jobs in of_name.items():
        holds_ms = view.history.plans[name].terms.holds_ms  # type: ignore[union-attr]
        for one, two in pairwise(sorted(jobs, key=lambda each: each.born_at or 0.0)):
            let_go_at = one.gone_at if holds_ms is not None or one.due_at is None else one.due_at
            if let_go_at is None or (two.born_at or 0.0) < let_go_at:
                yield Violation(
                    "key_held_twice", name, f"{two.id} was made at {two.born_at}, {one.id} had it until {let_go_at}"
                )
            calls = view.calls_of.get(one.id), view.calls_of.get(two.id)
            if holds_ms is not None and calls[0] and calls[1] and calls[1][0].at < calls[0][0].at + holds_ms:
                yield Violation("key_held_twice", name, f"{two.id} was called while {one.id} was at it")
