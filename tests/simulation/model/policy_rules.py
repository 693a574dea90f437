"""
I16 and I20, by arithmetic of their own, from records alone. I20 is about stopped jobs.

I16: a job is called, judged and ended as the policy says that its request carries.

* Each due carries the request's policy. No call leaves at or after `expires_at`, nor later than `max_elapsed` after the first.
* After a result that ends a job no try follows. Before the last one the budget was not used up.
* The end's reason is the one of the last result, or a bound that was reached.
"""

from __future__ import annotations

from collections.abc import Iterator

from libs.domain.ledger import Verdict
from libs.events import (
    AttemptDue,
    AttemptFinished,
    JobChanged,
    JobChangeRequested,
    JobFinished,
    JobMerged,
    JobMergeRequested,
    JobRetryScheduled,
    JobScheduled,
    JobStopRequested,
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
    if reason == "stopped":
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
        if isinstance(stored.item, JobStopRequested) and stored.applied.verdict is Verdict.APPLIED:
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
