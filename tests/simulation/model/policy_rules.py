"""
I16, I20, I27 and I28, by arithmetic of their own, from records alone. I20 is about stopped jobs.

I16: a job is called, judged and ended as the policy says that its request carries.

* Each due carries the request's policy. No call leaves at or after `expires_at`, nor later than `max_elapsed` after the first.
* After a result that ends a job no try follows. Before the last one the budget was not used up.
* The end's reason is the one of the last result, or a bound that was reached.

I27: while a run that a tick spawned is under way, no other tick spawns one, unless the schedule allows it. Each tick that waits
gets its job once, and only after it waited. When all is quiet, no tick waits while no run is under way.

I28: a schedule pauses itself exactly when as many runs failed in a row as it says.
"""

from __future__ import annotations

from collections.abc import Iterator

from libs.domain.ledger import Verdict
from libs.domain.schedule import ScheduleState
from libs.events import (
    AttemptDue,
    AttemptFinished,
    Event,
    JobCancelled,
    JobChanged,
    JobChangeRequested,
    JobFinished,
    JobMerged,
    JobMergeRequested,
    JobRetryScheduled,
    JobScheduled,
    JobStopRequested,
    RunPolicy,
    ScheduleAutopaused,
    ScheduleResumed,
    ScheduleRunStopped,
    ScheduleSpawned,
    ScheduleTicked,
)
from tests.simulation.model.harness import Harness, Partition
from tests.simulation.model.keys.keys import after_merges

ENDS = {"stopped": "stopped_by_target", "not_retryable": "not_retryable"}
PLAIN_ENDS = {"completed": "success", "failed": "exhausted"}


def facts_of(part: Partition) -> Iterator[AttemptFinished]:
    """Yield the results that count, in the order of the log."""
    for stored in part.records:
        if isinstance(stored.item, AttemptFinished) and stored.applied.verdict is Verdict.APPLIED:
            yield stored.item


def broken_policies(harness: Harness, part: Partition) -> list[str]:
    """Return the breaches of I16 in *part*."""
    asked: dict[str, JobScheduled] = {}
    dues: dict[str, list[AttemptDue]] = {}
    results: dict[str, list[AttemptFinished]] = {}
    ends: dict[str, JobFinished] = {}
    for stored in part.records:
        if stored.applied.verdict is not Verdict.APPLIED:
            continue
        match stored.item:
            case JobScheduled():
                asked[stored.item.job_id] = stored.item
            case AttemptDue():
                dues.setdefault(stored.item.job_id, []).append(stored.item)
            case AttemptFinished():
                results.setdefault(stored.item.job_id, []).append(stored.item)
            case JobFinished():
                ends[stored.item.job_id] = stored.item
    found = []
    for job_id, job in asked.items():
        mine = dues.get(job_id, [])
        found += _dues(job, mine) + _calls(harness, job, mine)
        found += _results(job, results.get(job_id, []))
        if job_id in ends:
            found += _end(job, ends[job_id], mine, results.get(job_id, []))
    return found


def _dues(job: JobScheduled, dues: list[AttemptDue]) -> list[str]:
    return [
        f"I16 the due {due} lost the policy of {job}"
        for due in dues
        if (due.retry, due.success_on) != (job.retry, job.success_on)
    ]


def _bounds(job: JobScheduled, dues: list[AttemptDue]) -> dict[str, int]:
    bounds = {} if job.expires_at is None else {"expired": job.expires_at}
    if dues and job.retry is not None and job.retry.max_elapsed_ms is not None:
        bounds["max_elapsed"] = max(dues[0].at, dues[0].not_before) + job.retry.max_elapsed_ms + 1
    return bounds


def _calls(harness: Harness, job: JobScheduled, dues: list[AttemptDue]) -> list[str]:
    bounds = _bounds(job, dues)
    # A call of the first try is bound by the job's expiry alone: `max_elapsed` counts from it.
    return [
        f"I16 {job.job_id} was called at {call.at}, and {why} at {at}"
        for call in harness.calls
        if call.job_id == job.job_id
        for why, at in bounds.items()
        if call.at >= at and (why == "expired" or call.attempt > 1)
    ]


def _results(job: JobScheduled, results: list[AttemptFinished]) -> list[str]:
    found = []
    charged = 0
    for number, result in enumerate(results, 1):
        is_last = number == len(results)
        charged += result.outcome not in ("free", "snoozed")
        ends_it = result.ok or result.outcome in ("stopped", "not_retryable", "too_late")
        if not is_last and (ends_it or charged > job.max_retries):
            found.append(f"I16 {job.job_id} was tried again after {result}")
    return found


def _end(job: JobScheduled, end: JobFinished, dues: list[AttemptDue], results: list[AttemptFinished]) -> list[str]:
    reason = end.ended_by or PLAIN_ENDS[end.status]
    last = results[-1] if results else None
    charged = sum(each.outcome not in ("free", "snoozed") for each in results)
    if reason in ("stopped", "replaced"):
        is_right = True  # I20 has the rest
    elif reason in ("expired", "max_elapsed"):
        is_right = reason in _bounds(job, dues)
    elif last is None:
        is_right = False
    elif reason == "success":
        is_right = last.ok
    elif reason == "exhausted":
        is_right = not last.ok and last.outcome is None and charged == job.max_retries + 1
    else:
        is_right = ENDS.get(last.outcome or "") == reason
    return (
        []
        if is_right
        else [f"I16 {job.job_id} ended by {reason} after {last}, {charged} charged of {job.max_retries + 1}"]
    )


def stops_of(part: Partition) -> dict[str, int]:
    """Return the position of the first stop that counts, by job."""
    found: dict[str, int] = {}
    for stored in part.records:
        if isinstance(stored.item, JobStopRequested | ScheduleRunStopped) and stored.applied.verdict is Verdict.APPLIED:
            found.setdefault(stored.item.job_id, stored.position)
    return found


def ignored_stops(part: Partition) -> list[str]:
    """
    I20: say which jobs went on after a stop.

    An owner may have decided once before it read the stop. What it decides after that is the end.
    """
    stops = stops_of(part)
    after: dict[str, list[str]] = {}
    for stored in part.records:
        item = stored.item
        if stored.applied.verdict is not Verdict.APPLIED or not isinstance(item, AttemptDue | JobRetryScheduled):
            continue
        if item.job_id in stops and stored.position > stops[item.job_id]:
            after.setdefault(item.job_id, []).append(type(item).__name__)
    return [
        f"I20 {job_id} was stopped at {stops[job_id]}, and then came {decisions}"
        for job_id, decisions in after.items()
        if len(decisions) > 1
    ]


def lost_job_changes(harness: Harness, part: Partition) -> list[str]:
    """I21: say which jobs were called otherwise than their last change before the first due says."""
    found: list[str] = []
    asked: dict[str, JobChangeRequested] = {}
    merging: dict[str, list[JobMergeRequested]] = {}
    wanted: dict[str, tuple[int, str]] = {}  # job -> instant and URL of the call
    for stored in part.records:
        item = stored.item
        if stored.applied.verdict is not Verdict.APPLIED:
            continue
        match item:
            case JobScheduled():
                wanted[item.job_id] = (item.fire_at, item.spec.url)
            case JobChangeRequested():
                asked[item.request_id] = item
            case JobChanged() if item.job_id in wanted:
                change = asked[item.request_id]
                url = wanted[item.job_id][1] if change.spec is None else change.spec.url
                wanted[item.job_id] = (change.fire_at, url)
            case JobMergeRequested():
                merging.setdefault(item.job_id, []).append(item)
            case JobMerged() if item.job_id in wanted:
                wanted[item.job_id] = after_merges(wanted[item.job_id], merging.pop(item.job_id, []))
            case AttemptDue() if item.attempt == 1 and item.job_id in wanted:
                if item.not_before != wanted[item.job_id][0]:
                    found.append(f"I21 {item.job_id} is due at {item.not_before}, and changed to {wanted[item.job_id]}")
            case _:
                pass
    for call in harness.calls:
        if call.job_id in wanted and call.url != wanted[call.job_id][1]:
            found.append(f"I21 {call.job_id} called {call.url}, and changed to {wanted[call.job_id]}")
    return found


ALLOW = RunPolicy()


class _Runs:
    """What the records so far say of one schedule."""

    def __init__(self) -> None:
        self.policy = ALLOW
        self.running: set[str] = set()
        self.waiting: set[int] = set()
        self.spawned: set[int] = set()
        self.failures = 0
        self.grace_until = 0

    def take(self, event: Event) -> list[str]:
        """Take in a record that counts; return what it breaks."""
        found: list[str] = []
        if isinstance(event, ScheduleTicked) and event.action == "buffered":
            self.waiting.add(event.tick_at)
        elif isinstance(event, ScheduleTicked | ScheduleSpawned):
            if isinstance(event, ScheduleTicked) and event.action != "spawned":
                return found
            if self.running and self.policy.overlap != "allow":
                found.append(f"I27 {event} spawned a run while {self.running} ran")
            if max(event.at, event.tick_at) < self.grace_until and self.policy.grace_s:
                found.append(f"I27 {event} spawned a run in a grace until {self.grace_until}")
            if isinstance(event, ScheduleSpawned) and event.tick_at not in self.waiting:
                found.append(f"I27 {event} names a tick that did not wait")
            if isinstance(event, ScheduleSpawned) and event.tick_at in self.spawned:
                found.append(f"I27 {event} fired its slot twice")
            self.waiting.discard(event.tick_at)
            self.spawned.add(event.tick_at)
            if self.policy.overlap != "allow":
                self.running.add(event.job_id)
        elif isinstance(event, JobFinished | JobCancelled):
            if isinstance(event, JobFinished) and event.last_error == "timeout" and event.job_id in self.running:
                self.grace_until = max(self.grace_until, event.at + self.policy.grace_s * 1_000)
            self.running.discard(event.job_id)
            if isinstance(event, JobFinished) and event.ended_by not in ("stopped", "replaced"):
                self.failures = 0 if event.status == "completed" else self.failures + 1
        elif isinstance(event, ScheduleResumed):
            self.failures = 0
        elif isinstance(event, ScheduleAutopaused) and self.failures < self.policy.pause_after_failures:
            found.append(f"I28 {event} after {self.failures} failures in a row")
        return found

    def become(self, policy: RunPolicy) -> None:
        """Go on by *policy*."""
        if policy != self.policy:
            self.failures = 0
        if policy.overlap == "allow":
            self.running.clear()
        self.policy = policy


def broken_runs(part: Partition) -> list[str]:
    """Return the breaches of I27 and I28 in *part*."""
    found: list[str] = []
    runs: dict[str, _Runs] = {}
    now = 0  # as the last record has it
    for stored in part.records:
        if stored.applied.verdict is not Verdict.APPLIED:
            continue
        for state in stored.applied.changed.values():
            if not isinstance(state, ScheduleState) or state.more is None:
                continue
            mine = runs.setdefault(state.schedule_id, _Runs())
            assert stored.applied.event is not None
            now = max(now, stored.applied.event.at)
            found += mine.take(stored.applied.event)
            mine.become(state.more.runs or ALLOW)
    for state in part.oracle.states.of(ScheduleState).values():
        more = state.more
        if more is None or not state.is_active or state.held:
            continue
        if more.buffered and not more.active and now >= (more.grace_until or 0):
            found.append(f"I27 {state.schedule_id}: {more.buffered} wait, and no run is under way")
        limit = (more.runs or ALLOW).pause_after_failures
        if limit and more.failures_in_row >= limit:
            found.append(f"I28 {state.schedule_id} goes on after {more.failures_in_row} failures in a row")
    return found
