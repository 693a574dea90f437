"""
Planted bugs about jobs and schedules with rules of their own: see planted.py. Every change works on any history that has a job and
a schedule of each kind (good_plans.make, or that of a campaign).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from tests.chaos.judging.history import Call, History, JobRead
from tests.chaos.kinds.schedules import PHASES
from tests.chaos.proving.planted import Change, first, quiet_ms


def _is(name: str, kind: str) -> bool:
    """Whether what a load called *name* is of that kind: the name is the load's label, perhaps a number, and the kind."""
    return re.fullmatch(rf"[^-]+-(\d+-)?{kind}", name) is not None


def _jobs(history: History, kind: str) -> list[JobRead]:
    """The jobs of a kind, all known of each, called once for each of its attempts; those farthest from every fault first."""
    unsure = {each.name for each in history.operations if each.outcome == "info"}
    found = [
        job
        for job in history.jobs.values()
        if _is(job.name, kind) and job.name not in unsure and job.schedule_id is None
        and len(_calls(history, job)) == job.execution_count > 0
        and all(row.status_code for row in job.executions)
    ]  # fmt: skip
    return sorted(found, key=lambda job: -quiet_ms(history, _calls(history, job)[0].at))


def _calls(history: History, job: JobRead) -> list[Call]:
    return sorted((call for call in history.calls if call.job_id == job.id), key=lambda each: each.at)


def _of_job(kind: str, change: Callable[[History, JobRead], History]) -> Change:
    return lambda history: change(history, first(_jobs(history, kind), f"{kind} job"))


def _ticks(history: History, kind: str) -> list[Call]:
    """The first calls of the runs of a schedule of a kind, those with others around them, farthest from every fault, first."""
    firsts: dict[str, Call] = {}
    for call in sorted(history.calls, key=lambda each: each.at):
        if call.schedule_id is not None and call.trigger != "manual" and _is(call.name, kind):
            firsts.setdefault(call.job_id, call)
    around = [*firsts.values()][1:-3] or [*firsts.values()]
    return sorted(around, key=lambda call: -quiet_ms(history, call.at))


def _of_tick(kind: str, change: Callable[[History, Call], History]) -> Change:
    return lambda history: change(history, first(_ticks(history, kind), f"run of {kind}"))


def _read(history: History, job: JobRead, **fields: Any) -> History:
    return replace(history, jobs={**history.jobs, job.id: replace(job, **fields)})


def _call(history: History, old: Call, **fields: Any) -> History:
    return replace(history, calls=tuple(replace(each, **fields) if each is old else each for each in history.calls))


def _another_run(history: History, call: Call, **fields: Any) -> History:
    twin = replace(call, **{"job_id": "job_twin", "execution_id": "exec_twin", **fields})
    job = replace(history.jobs[call.job_id], id=twin.job_id)
    return replace(history, calls=(*history.calls, twin), jobs={**history.jobs, twin.job_id: job})


def _beside(history: History, call: Call, tick_ms: float, ms: float) -> History:
    """Another run, of a tick so much later, called so much later."""
    return _another_run(history, call, scheduled_at=call.scheduled_at + tick_ms, at=call.at + ms)


def _called_early(history: History, job: JobRead) -> History:
    one, two, *_ = _calls(history, job)
    return _call(history, two, at=one.at + 250)


def _as_before(history: History, job: JobRead) -> History:
    call = _calls(history, job)[0]
    return _call(history, call, revision=call.revision - 1)


def _twin(history: History, job: JobRead) -> History:
    call = _calls(history, job)[0]
    born_at = (job.born_at or call.at) + 1
    twin = replace(job, id="job_twin", born_at=born_at)
    made = replace(
        first((o for o in history.operations if o.id == job.id and o.kind == "create"), "create"), id=twin.id
    )
    again = replace(call, job_id=twin.id, execution_id="exec_twin", at=call.at + 20)
    return replace(
        history,
        jobs={**history.jobs, twin.id: twin},
        calls=(*history.calls, again),
        operations=(*history.operations, made),
        listed=(*history.listed, twin.id),
    )


def _many_runs(kind: str) -> Change:
    def more(history: History) -> History:
        call = first(_ticks(history, kind), f"run of {kind}")
        for number in range(1, 200):
            fields = {"job_id": f"job_more-{number}", "scheduled_at": call.scheduled_at + number * 6_000}
            history = _another_run(history, call, **fields)
        return history

    return more


def _shown(kind: str, **fields: Any) -> Change:
    def changed(history: History) -> History:
        name = first((each for each in history.shown if _is(each, kind)), kind)
        return replace(history, shown={**history.shown, name: {**history.shown[name], **fields}})

    return changed


def _told(change: Callable[[str, tuple[str, ...]], dict[str, tuple[str, ...]]]) -> Change:
    def otherwise(history: History) -> History:
        job_id, ids = first((history.told or {}).items(), "job that an endpoint was told of")
        rest = {each: told for each, told in (history.told or {}).items() if each != job_id}
        return replace(history, told={**rest, **change(job_id, ids)})

    return otherwise


def _at_a_later_tick(call: Call, ms: float) -> dict[str, float]:
    return {"scheduled_at": call.scheduled_at + ms, "at": call.at + ms}


def _told_once(history: History, job: JobRead) -> History:
    hooks = [each for each in history.hooks if each.job_id == job.id]
    return replace(history, hooks=tuple(each for each in history.hooks if each not in hooks[1:]))


def _tick_in_pause(history: History) -> History:
    """A tick long after a pause, whose resume came a minute later than it did."""
    call = first(_ticks(history, "pauses"), "tick")
    own = [each for each in history.operations if each.name == call.name]
    pause = first((each for each in own if each.kind == "pause" and each.outcome == "ok"), "pause")
    late = {id(each): replace(each, invoked_at=each.invoked_at + 60_000) for each in own if each.kind == "resume"}
    at = (pause.returned_at // 3_000 + 2) * 3_000
    operations = tuple(late.get(id(each), each) for each in history.operations)
    return _call(replace(history, operations=operations), call, scheduled_at=at, at=at + 4)


def _tick_of_the_old_rule(history: History) -> History:
    """A tick of an earlier rule, long after one change was answered and before the next one was asked for."""
    call = first(_ticks(history, "moves"), "tick")
    own = [each for each in history.operations if each.name == call.name]
    changes = [each for each in own if "every" in (each.asked or {})]
    ends = [*(each.invoked_at for each in changes[1:]), min(o.invoked_at for o in own if o.kind == "delete_schedule")]
    phases = [0, *(PHASES.index((each.asked or {})["every"]["anchor"]) for each in changes)]
    for number, (change, end) in enumerate(zip(changes, ends, strict=True), start=1):
        for at in range(int(change.returned_at + 2_000) // 1_000 * 1_000 + 1_000, int(end) - 1_000, 1_000):
            phase = at // 1_000 % 4
            if phase in phases[:number] and phase != phases[number]:
                return _call(history, call, scheduled_at=float(at), at=at + 4.0)
    raise LookupError("this history has no time in which an earlier rule could tick")


def _first_made_up_for_is_left_out(history: History) -> History:
    gone = min(_ticks(history, "all"), key=lambda call: call.at, default=None)
    if gone is None:
        raise LookupError("this history has no run of all")
    return replace(history, calls=tuple(each for each in history.calls if each.job_id != gone.job_id))


PLANTED_PLANS: Final[dict[str, tuple[str, Change]]] = {
    "a target's wish to wait is passed over": ("policy_ignored", _of_job("asks-to-wait", _called_early)),
    "a snooze is passed over": ("policy_ignored", _of_job("snoozes", _called_early)),
    "a list of delays is passed over": ("policy_ignored", _of_job("by-list", _called_early)),
    "a target's stop is a failure like others": (
        "policy_ignored",
        _of_job("says-stop", lambda history, job: _read(history, job, ended_by="exhausted")),
    ),
    "a failure that is not listed is tried again": (
        "policy_ignored",
        _of_job("not-listed", lambda history, job: _read(history, job, execution_count=6)),
    ),
    "a wanted status is a failure": (
        "policy_ignored",
        _of_job("wants-404", lambda history, job: _read(history, job, ended_by="exhausted", status="failed")),
    ),
    "an expired job is called": (
        "policy_ignored",
        _of_job(
            "expires",
            lambda history, job: _call(history, (last := _calls(history, job)[-1]), at=last.scheduled_at + 3_000),
        ),
    ),
    "a job is put off for ever": (
        "policy_ignored",
        _of_job(
            "put-off",
            lambda history, job: _call(history, (one := _calls(history, job)[0]), **_at_a_later_tick(one, 9_000)),
        ),
    ),
    "a durable webhook is tried once": (
        "webhook_lost",
        _of_job("told-again", _told_once),
    ),
    "a change that was answered is lost": ("change_lost", _of_job("changed", _as_before)),
    "a replacement that was answered is lost": ("change_lost", _of_job("replaced", _as_before)),
    "a job that is to run now waits for its instant": (
        "change_lost",
        _of_job(
            "run-now",
            lambda history, job: _call(history, (one := _calls(history, job)[0]), **_at_a_later_tick(one, 6_000)),
        ),
    ),
    "a stopped job goes on": (
        "stop_ignored",
        _of_job(
            "stopped",
            lambda history, job: _read(history, job, ended_by="success" if job.ended_by != "success" else "x"),
        ),
    ),
    "two jobs wait with one key": ("key_held_twice", _of_job("replaced", _twin)),
    "two jobs live with one key": ("key_held_twice", _of_job("single", _twin)),
    "an endpoint is not told": ("endpoint_not_told", _told(lambda *_: {})),
    "an endpoint is told twice": ("endpoint_told_twice", _told(lambda job, ids: {job: (*ids, "wh_other")})),
    "a slot fires twice": ("tick_doubled", _of_tick("latest", lambda history, call: _another_run(history, call))),
    "a back-fill makes a slot again": (
        "tick_doubled",
        _of_tick("by-hand", lambda history, call: _another_run(history, call, trigger="backfill")),
    ),
    "a zone is passed over": (
        "tick_alien",
        _of_tick("zoned", lambda history, call: _call(history, call, **_at_a_later_tick(call, -60_000))),
    ),
    "a paused schedule ticks": ("tick_alien", _tick_in_pause),
    "a tick of the rule before a change": ("old_rule", _tick_of_the_old_rule),
    "a schedule's change is lost": ("change_lost", _shown("moves", every={"seconds": 77})),
    "one of the missed ticks is left out": ("tick_missing", _first_made_up_for_is_left_out),
    "runs meet": (
        "overlap_broken",
        _of_tick(
            "skips",
            lambda history, call: _beside(history, call, 2_000, 900),
        ),
    ),
    "a run begins in a grace": (
        "overlap_broken",
        _of_tick(
            "outlasts",
            lambda history, call: _beside(history, call, 2_000, 1_200),
        ),
    ),
    "a waiting tick overtakes another": (
        "overlap_broken",
        _of_tick(
            "keeps-all",
            lambda history, call: _beside(history, call, -600_000, 5),
        ),
    ),
    "the run that is replaced goes on": (
        "overlap_broken",
        _of_tick(
            "takes-over", lambda history, call: _read(history, history.jobs[call.job_id], gone_at=call.at + 3_600_000)
        ),
    ),
    "runs are not counted": ("too_many_runs", _many_runs("five-times")),
    "failures are not counted": ("too_many_runs", _many_runs("gives-up")),
    "a run by hand is lost": (
        "lost",
        lambda history: replace(history, calls=tuple(c for c in history.calls if c.trigger != "manual")),
    ),
}
