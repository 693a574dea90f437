"""The rules about schedules: which ticks there are, by the rule that was in force, and how many of them; which runs may meet."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final
from zoneinfo import ZoneInfo

from tests.chaos.judging.history import Call, Operation, SchedulePlan
from tests.chaos.judging.view import View, Violation

_GRACE_MS: Final = 5_000.0
_AHEAD_MS: Final = 1_700.0  # a tick is decided a little ahead, at a hand-over 1.6 s, and what is decided is called
_CLOCKS_MS: Final = 300.0  # two processes' clocks differ by less
_OF_A_TICK: Final = (None, "schedule", "catchup", "buffered", "backfill")
_STEP_MS: Final = 1_000


def check_schedules(view: View) -> Iterator[Violation]:
    for name, plan in view.history.schedules.items():
        created = [each for each in _asked(view, name, "create_schedule") if each.outcome != "fail"]
        if not created:
            continue
        calls = [call for call in view.history.calls if call.schedule_id is not None and call.name == name]
        of_ticks = [call for call in calls if call.trigger in _OF_A_TICK]
        jobs: dict[float, set[str]] = defaultdict(set)
        for call in of_ticks:
            jobs[call.scheduled_at].add(call.job_id)
        for tick_at, ids in sorted(jobs.items()):
            if len(ids) > 1:
                yield Violation("tick_doubled", name, f"{tick_at:.0f}: {sorted(ids)}")
            yield from _alien(view, plan, tick_at)
        yield from _missing(view, plan, set(jobs))
        yield from _counts(view, plan, jobs)
        yield from _meeting(view, plan, of_ticks)
        yield from _changes(view, name)


def _asked(view: View, name: str, *kinds: str) -> list[Operation]:
    return [each for each in view.operations_of[name] if each.kind in kinds]


# --- ticks ----------------------------------------------------------------------------------------------------------------


def names(plan: SchedulePlan, fields: Mapping[str, Any] | None, at: float) -> bool:
    """Say whether a rule names the instant *at* as a tick, by arithmetic of its own: an interval, or each n-th minute of a zone."""
    if fields is None:
        return at % plan.period_ms == 0 or at == plan.first_at
    if "every" in fields:
        anchor = datetime.fromisoformat(fields["every"]["anchor"]).timestamp() * 1000
        return (at - anchor) % (fields["every"]["seconds"] * 1000) == 0
    minutes = int(fields["cron"].split()[0].removeprefix("*/").replace("*", "1"))
    wall = datetime.fromtimestamp(at / 1000, UTC).astimezone(ZoneInfo(fields.get("timezone", "UTC")))
    return wall.second == 0 and at % 1000 == 0 and wall.minute % minutes == 0


def _alien(view: View, plan: SchedulePlan, tick_at: float) -> Iterator[Violation]:
    """A tick is one of a rule that was in force, and none of a time in which the schedule did not tick."""
    operations = _asked(view, plan.name, "create_schedule", "change_schedule")
    rules = [each for each in operations if each.outcome != "fail" and _is_rule(each)]
    dead_at = min(
        (each.returned_at for each in _asked(view, plan.name, "delete_schedule") if each.outcome != "fail"),
        default=view.history.ended_at,
    )
    began_at = rules[0].invoked_at - (0 if plan.fields is None else _GRACE_MS)  # a back-fill begins a little before
    known = [{**(plan.fields or {}), **(each.asked or {})} or None for each in rules]
    in_force = [
        fields
        for index, (each, fields) in enumerate(zip(rules, known, strict=True))
        if (index == 0 or each.invoked_at - _CLOCKS_MS <= tick_at)
        and not any(later.outcome == "ok" and later.returned_at + _AHEAD_MS < tick_at for later in rules[index + 1 :])
    ]
    if not began_at <= tick_at <= dead_at + _AHEAD_MS:
        yield Violation("tick_alien", plan.name, f"{tick_at:.0f}, and it lived from {began_at:.0f} to {dead_at:.0f}")
    elif not any(names(plan, fields, tick_at) for fields in in_force):
        is_old = any(names(plan, fields, tick_at) for fields in known)
        yield Violation("old_rule" if is_old else "tick_alien", plan.name, f"{tick_at:.0f} is none of {in_force}")
    elif _is_idle_at(view, plan.name, tick_at):
        yield Violation("tick_alien", plan.name, f"{tick_at:.0f}, while it was paused")


def _is_rule(operation: Operation) -> bool:
    return operation.kind == "create_schedule" or not {"every", "cron"}.isdisjoint(operation.asked or {})


def _is_idle_at(view: View, name: str, tick_at: float) -> bool:
    """Whether it is certain that the schedule was paused at *tick_at*, and the pause not made up for."""
    operations = sorted(_asked(view, name, "pause", "resume"), key=lambda each: each.invoked_at)
    for index, pause in enumerate(operations):
        if pause.kind != "pause" or pause.outcome != "ok":
            continue
        again = next((each for each in operations[index:] if each.kind == "resume"), None)
        # It makes up for what follows the last tick that was decided, so maybe for ticks of an earlier pause, too.
        if any((each.asked or {}).get("catch_up") for each in operations[index:]):
            continue
        until = math.inf if again is None else again.invoked_at - _CLOCKS_MS
        unsure = any(each.kind == "resume" and each.outcome == "info" for each in operations[:index])
        if pause.returned_at + _AHEAD_MS < tick_at < until and not unsure:
            return True
    return False


def _missing(view: View, plan: SchedulePlan, ticks: set[float]) -> Iterator[Violation]:
    """
    A tick is left out only during an outage, and the latest of those is made up for: or all of them, if the schedule says so.

    Of a schedule that leaves ticks out for other reasons nothing is known.
    """
    created, fields = view.did(plan.name, "create_schedule", "ok"), plan.fields or {}
    is_all = fields.get("misfire") == "fire_all"
    leaves_out = {"overlap", "max_runs"} & fields.keys() or fields.get("misfire") == "skip"
    if not created or leaves_out or (_asked(view, plan.name, "pause", "change_schedule") and not is_all):
        return
    deleted = [each.invoked_at for each in _asked(view, plan.name, "delete_schedule")]
    until = min([*deleted, view.history.ended_at]) - _GRACE_MS
    wanted = list(instants(plan, created[0].returned_at, until + plan.period_ms))
    for tick_at, next_at in pairwise([*wanted, math.inf]):
        free_at = view.free_from(tick_at, _GRACE_MS)
        if tick_at <= until and tick_at not in ticks and free_at <= until and (is_all or next_at > free_at):
            yield Violation("tick_missing", plan.name, f"{tick_at:.0f}")


def instants(plan: SchedulePlan, since: float, until: float) -> Iterator[float]:
    """Yield the ticks of a schedule that nobody changes, after *since*, until *until*."""
    if plan.fields is None:
        at = plan.first_at or (since // plan.period_ms + 1) * plan.period_ms
        while at <= until:
            yield at
            at = (at // plan.period_ms + 1) * plan.period_ms
        return
    at = (since // _STEP_MS + 1) * _STEP_MS
    while at <= until:
        if names(plan, plan.fields, at):
            yield at
        at += _STEP_MS


# --- runs -----------------------------------------------------------------------------------------------------------------


def _counts(view: View, plan: SchedulePlan, jobs: Mapping[float, set[str]]) -> Iterator[Violation]:
    fields = plan.fields or {}
    most = fields.get("max_runs")
    if most is not None and len(jobs) > most:
        yield Violation("too_many_runs", plan.name, f"{len(jobs)} runs of {most}")
    failures = fields.get("pause_after_failures")
    resumes = [each for each in _asked(view, plan.name, "resume") if each.outcome != "fail"]
    if failures and len(jobs) > failures * (len(resumes) + 1):
        yield Violation("too_many_runs", plan.name, f"{len(jobs)} failed runs, resumed {len(resumes)} times")
    asked = _asked(view, plan.name, "run_schedule")
    by_hand = {call.job_id for call in view.history.calls if call.name == plan.name and call.trigger == "manual"}
    if lost := {each.id or "" for each in asked if each.outcome == "ok"} - by_hand:
        yield Violation("lost", plan.name, f"runs that were asked for: {sorted(lost)}")
    if len(by_hand) > sum(each.outcome != "fail" for each in asked):
        yield Violation("phantom", plan.name, f"{len(by_hand)} runs by hand, asked for were {len(asked)}")


def _meeting(view: View, plan: SchedulePlan, calls: list[Call]) -> Iterator[Violation]:
    """By arrivals: no run begins while another works. By the log: none is due before the one before is at its end."""
    overlap = (plan.fields or {}).get("overlap", "allow")
    if overlap == "allow":
        return
    began: dict[str, Call] = {}
    for call in sorted(calls, key=lambda each: each.at):
        began.setdefault(call.job_id, call)
    for one, two in pairwise(began.values()):
        first, second = view.history.jobs.get(one.job_id), view.history.jobs.get(two.job_id)
        if overlap != "replace" and two.at < one.at + plan.run_ms:
            yield Violation("overlap_broken", plan.name, f"{two.job_id} began while {one.job_id} worked")
        elif first and second and (second.due_at or math.inf) < (first.gone_at or 0.0):
            yield Violation("overlap_broken", plan.name, f"{two.job_id} was due before {one.job_id} was at its end")
        if two.scheduled_at < one.scheduled_at:
            yield Violation("overlap_broken", plan.name, f"{two.job_id} is of an earlier tick than {one.job_id}")


def _changes(view: View, name: str) -> Iterator[Violation]:
    """Each field is shown as the last change says that was answered; one that nobody answered may count at any time."""
    if (shown := view.history.shown.get(name)) is None:
        return
    wanted: dict[str, list[tuple[Any, bool]]] = defaultdict(list)
    for each in sorted(_asked(view, name, "change_schedule"), key=lambda each: each.returned_at):
        for field, value in (each.asked or {}).items():
            if each.outcome == "ok":
                wanted[field] = [one for one in wanted[field] if one[1]]
            if each.outcome != "fail":
                wanted[field].append((value, each.outcome == "info"))
    for field, values in wanted.items():
        if shown.get(field) not in [value for value, _ in values]:
            yield Violation("change_lost", name, f"{field} is {shown.get(field)}, answered was {values}")
