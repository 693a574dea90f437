"""
Judge: the evidence of a run, and what it says. Most of it is for the checker of the chaos tests; the rest is what only a simulation
can see: the log itself, the tables row for row, which process called, and whether anything is left to do.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from libs.domain.job import JobState
from libs.domain.jobs.delivery import DeliveryState
from libs.domain.ledger import Ledger
from libs.events import OwnerClaimed, ScheduleTicked, read
from libs.events.ids import execution_id, is_id
from libs.store.leases.lease_keeper import HAND_BACK_S, LEFT_S
from libs.store.reads.partition_tables import decode_spec
from services.api.contract.job_answers import PUBLIC_STATUS
from services.scheduler.partition_owner import HAND_OFF_EARLY_MS
from tests.chaos.judging.checker import check
from tests.chaos.judging.history import Call, Execution, Fault, History, Hook, JobRead, SchedulePlan
from tests.chaos.judging.view import View
from tests.simulation.fleet.chronicle import BEGAN_AT
from tests.simulation.fleet.clients import Clients
from tests.simulation.fleet.endpoint import undelivered
from tests.simulation.fleet.nemesis import Nemesis
from tests.simulation.fleet.node import Harness, Node
from tests.simulation.fleet.stories.labels import labels_lost
from tests.simulation.fleet.stories.responses import responses_lost
from tests.simulation.fleet.stories.runs import running_beside_each_other
from tests.simulation.fleet.stories.schedules import (
    MOVING,
    RESUMES,
    RUN_MS,
    ScheduleStory,
    instants_of,
    is_of_an_old_rule,
)

SKEW_MS: Final = 400.0  # between the clock of a process and the true time
GATHER_MS: Final = 20.0  # more than what is decided waits to be decided together
TICK_GRACE_MS: Final = 5_000.0
SKEW_MS: Final = 31_000.0  # the most that a clock of the nemesis is wrong
SETTLED_MS: Final = 9_000.0
RECORD_GRACE_MS: Final = 25_000.0  # how long a dispatcher may hold an attempt that another has recorded


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is left when everything is quiet, and who acted."""

    harness: Harness
    nodes: Sequence[Node]
    clients: Clients
    nemesis: Nemesis
    listed: Sequence[str]
    ended_at: float
    late_ms: float
    apart: Sequence[str]


def judge(evidence: Evidence) -> list[str]:
    """Return every violation, as lines that begin with its name."""
    with evidence.harness.store.database.unswept():
        return _judge(evidence)


def _judge(evidence: Evidence) -> list[str]:
    history = _history(evidence)
    kinds = {blow.kind for blow, _ in evidence.nemesis.struck}
    excused = {"repeated_after_record"}  # what may land late, may land behind a repetition: see _recorded_twice
    handed_over = _handed_over(evidence, history)
    waited = {call.job_id for call in history.calls if evidence.clients.may_be_late(call.name)}
    found = [
        str(each)
        for each in check(history, late_ms=evidence.late_ms)
        if each.name not in excused
        and not (each.name == "late" and each.subject in waited)
        and not (each.name == "unexplained_duplicate" and each.subject in handed_over)
    ]
    found += evidence.clients.violations
    found += _duplicates(evidence, history)
    found += _recorded_twice(evidence, history)
    found += _ticks(evidence, history, skew_ms=SKEW_MS if "skew" in kinds else 0.0)
    found += [f"crashed: {each}" for each in evidence.harness.loop.errors]
    for node in evidence.nodes:
        found += [f"{name}: {node.name}: {count} times" for name, count in node.counts.items() if name in _NEVER]
    found += [*_changes(evidence), *evidence.apart, *_over_the_day(evidence.harness)]
    found += labels_lost(evidence.harness.store.database, {**evidence.clients.plans, **evidence.clients.schedules})
    found += responses_lost(evidence.harness.store.database)
    found += undelivered(evidence.harness, evidence.nemesis.poisoned)
    return found


_NEVER: Final = ("illegal", "not stopped in time", "resigned failed")


def _history(evidence: Evidence) -> History:
    clients, nemesis, harness = evidence.clients, evidence.nemesis, evidence.harness
    database = harness.store.database
    own = {job.job_id: job for job in database.jobs.values() if not is_id(job.account, "whe")}
    jobs = {job.job_id: _read(harness, job) for job in own.values() if job.job_id not in nemesis.poisoned}
    dropped = {_name(harness, own[job_id]) for job_id in nemesis.poisoned if job_id in own}
    return History(
        plans={name: plan for name, plan in clients.plans.items() if name not in dropped},
        schedules={name: SchedulePlan(name=name) for name in clients.schedules},
        operations=tuple(each for each in clients.operations if each.name not in dropped),
        calls=tuple(each for each in harness.targets.calls if each.name not in dropped),
        hooks=tuple(
            hook for hook in _not_asked_for(harness) if hook.job_id in jobs and jobs[hook.job_id].schedule_id is None
        ),
        jobs=jobs,
        listed=tuple(each for each in evidence.listed if each not in nemesis.poisoned),
        faults=tuple(_faults(evidence, None)),
        ended_at=evidence.ended_at,
        retry_base_ms=harness.sizes.retry_base_s * 1000,
    )


def _name(harness: Harness, job: JobState) -> str:
    return decode_spec(harness.store.database.specs_by_id[job.spec_id]).body or ""


def _read(harness: Harness, job: JobState) -> JobRead:
    database = harness.store.database
    partition = database.partition_of[job.job_id]
    records = harness.log.records(partition)
    rows = [row for key, row in sorted(database.execution_rows.items()) if key[0] == job.job_id]
    return JobRead(
        id=job.job_id,
        name=_name(harness, job),
        status=PUBLIC_STATUS[job.status],
        execution_count=job.attempt,
        executions=tuple(
            Execution(
                id=execution_id(job.job_id, row.attempt),
                attempt=row.attempt,
                status=None if row.ok is None else "success" if row.ok else "failed",
                status_code=row.status_code,
                executed_at=row.executed_at,
            )
            for row in rows
        ),
        timeline=tuple(records[offset].envelope.type for offset in job.offsets),
        schedule_id=job.schedule_id,
        ended_by=job.ended_by,
    )


def _faults(evidence: Evidence, role: str | None) -> Iterator[Fault]:
    """Yield the faults that hurt *role*, or anything that calls (None)."""
    # Leases find their places in the first seconds: a partition that changes hands waits for the calls under way.
    yield Fault(kind="term", at=BEGAN_AT, until=BEGAN_AT + SETTLED_MS)
    for line in evidence.harness.chronicle.lines:
        if "resigned partition" in line and "reason=halted" in line:
            # Who has its share already waits for so long before it takes a partition that an older build cannot serve.
            at = BEGAN_AT + float(line.split()[0]) * 1000
            yield Fault(kind="term", at=at, until=at + LEFT_S * 1000)
    for blow, fault in evidence.nemesis.struck:
        if blow.kind == "poison":
            continue
        if blow.kind == "steal":
            if role in (None, ("scheduler", "dispatcher", "webhooks")[blow.number % 3]):
                yield fault
        elif (
            blow.kind.startswith(("store", "log", "slow"))
            or role in evidence.nodes[blow.node].roles
            or (role is None and evidence.nodes[blow.node].roles != ("api",))
        ):
            yield fault


def _overlaps(faults: Iterable[Fault], start: float, end: float) -> bool:
    return any(fault.kind != "term" and fault.at <= end and fault.until >= start for fault in faults)


def _handed_over(evidence: Evidence, history: History) -> set[str]:
    """Return the runs that work for longer than a dispatcher waits at a hand-over, and were called once more then."""
    rules = {name: story.rule for name, story in evidence.clients.schedules.items()}
    calls: dict[str, list[Call]] = defaultdict(list)
    for call in history.calls:
        if RUN_MS > HAND_BACK_S * 1000 and "overlap" in rules.get(call.name, ()):
            calls[call.job_id].append(call)
    return {
        job_id
        for job_id, same in calls.items()
        if len(same) > 1 and all(two.at > one.at + HAND_BACK_S * 1000 for one, two in pairwise(same))
    }


def _duplicates(evidence: Evidence, history: History) -> Iterator[str]:
    """A call is repeated only around a fault of a dispatcher or of what it stands on; a webhook the same."""
    calls: dict[tuple[str, int], list[Call]] = defaultdict(list)
    for call in history.calls:
        calls[call.job_id, call.attempt].append(call)
    faults = list(_faults(evidence, "dispatcher"))
    handed_over = _handed_over(evidence, history)
    for (job_id, attempt), same in calls.items():
        for one, two in pairwise(same):
            if job_id not in handed_over and not _overlaps(faults, one.at, two.at):
                yield f"duplicate_of_another's_fault: {job_id} attempt {attempt} at {one.at:.0f} and {two.at:.0f}"
    hooks: dict[str, list[Hook]] = defaultdict(list)
    for hook in evidence.harness.targets.hooks:
        hooks[hook.job_id].append(hook)
    for job in evidence.harness.store.database.jobs.values():
        if job.has_webhook and job.job_id not in hooks and job.job_id not in evidence.nemesis.poisoned:
            yield f"webhook_lost: {job.job_id} is {job.status.name}, and no report came"
    faults = list(_faults(evidence, "webhooks"))
    due_again = {id(hook) for hook in evidence.harness.targets.hooks} - {
        id(hook) for hook in _not_asked_for(evidence.harness)
    }
    for job_id, told in hooks.items():
        for first, second in pairwise(told):
            if id(second) not in due_again and not _overlaps(faults, first.at, second.at):
                yield f"webhook_of_another's_fault: {job_id} at {first.at:.0f} and {second.at:.0f}"


def _not_asked_for(harness: Harness) -> list[Hook]:
    """Return the webhooks without those that were due again, because the one before failed."""
    retries, last, found = _retries(harness), dict[str, Hook](), []
    for hook in harness.targets.hooks:
        before = last.get(hook.job_id)
        last[hook.job_id] = hook
        if before is None or not any(
            before.at - SKEW_MS < at <= hook.at + SKEW_MS for at in retries.get(hook.job_id, ())
        ):
            found.append(hook)
    return found


def _retries(harness: Harness) -> Mapping[str, list[int]]:
    """Return for each job the instants at which its webhook was due again, as the log says."""
    found: dict[str, list[int]] = defaultdict(list)
    for partition in range(harness.sizes.partitions):
        ledger = Ledger(partition)
        for record in harness.log.records(partition):
            applied = ledger.apply(record.position, read(partition, record.envelope), record.envelope.claim)
            for state in applied.changed.values():
                if isinstance(state, DeliveryState) and state.job_id is not None and state.next_at is not None:
                    found[state.job_id].append(state.next_at)
    return found


def _recorded_twice(evidence: Evidence, history: History) -> Iterator[str]:
    """An attempt whose outcome has long been in the log is not made again."""
    recorded: dict[str, float] = {}
    for partition in range(evidence.harness.sizes.partitions):
        for record in evidence.harness.log.records(partition):
            if record.envelope.type == "attempt.finished":
                attempt = record.envelope.value.partition(b'"execution_id":"')[2].partition(b'"')[0].decode()
                recorded.setdefault(attempt, record.at)
    for call in history.calls:
        at = recorded.get(call.execution_id)
        if at is not None and call.at > at + RECORD_GRACE_MS:
            yield f"repeated_after_record: {call.execution_id}, recorded at {at}, called at {call.at:.0f}"


# --- schedules ------------------------------------------------------------------------------------------------------------


def _ticks(evidence: Evidence, history: History, *, skew_ms: float) -> Iterator[str]:
    view = View(history)
    early_ms = evidence.harness.sizes.lead_ms + GATHER_MS + skew_ms
    ahead = _written_ahead(evidence.harness)
    for story in evidence.clients.schedules.values():
        jobs: dict[float, set[str]] = defaultdict(set)
        for call in history.calls:
            if call.schedule_id is not None and call.name == story.name:
                jobs[call.scheduled_at].add(call.job_id)
        for tick_at, ids in sorted(jobs.items()):
            if len(ids) > 1:
                yield f"tick_doubled: {story.name}: {tick_at:.0f}: {sorted(ids)}"
        if not story.ops:
            continue
        reference = instants_of(story, evidence.ended_at, skew_ms)
        for tick_at in sorted(jobs):
            ahead_ms = early_ms + HAND_OFF_EARLY_MS * bool(jobs[tick_at] & ahead)
            if tick_at not in reference:
                yield f"tick_alien: {story.name}: {tick_at:.0f} is no instant of {story.rule}"
            elif is_of_an_old_rule(story, tick_at, ahead_ms + skew_ms):
                yield f"old_rule: {story.name}: {tick_at:.0f} is none of the rule that it was changed to"
            elif _is_idle_at(story, tick_at, skew_ms, ahead_ms):
                yield f"tick_alien: {story.name}: {tick_at:.0f}, while it was paused or deleted"
        if "overlap" in story.rule:
            yield from running_beside_each_other(evidence.harness, story, history)
        elif story.rule is not MOVING:
            yield from _missing(view, story, reference, set(jobs), skew_ms)


def _written_ahead(harness: Harness) -> set[str]:
    """Return the jobs whose tick was written ahead of the lead by an owner that handed its partition over: a claim follows it."""
    found: set[str] = set()
    for partition in range(harness.sizes.partitions):
        ahead = set()
        for record in harness.log.records(partition):
            event = read(partition, record.envelope)
            if isinstance(event, ScheduleTicked) and event.at < event.tick_at - harness.sizes.lead_ms:
                ahead.add(event.job_id)
            elif isinstance(event, OwnerClaimed):
                found |= ahead
    return found


def _is_idle_at(story: ScheduleStory, tick_at: float, skew_ms: float, early_ms: float) -> bool:
    """Whether it is certain that nothing was to tick at *tick_at*: ticks are decided at most *early_ms* ahead."""
    if tick_at < story.ops[0].invoked_at - skew_ms:
        return True
    for index, op in enumerate(story.ops):
        if op.outcome != "ok" or op.kind not in ("pause", "delete"):
            continue
        again = [each for each in story.ops[index:] if each.kind in RESUMES]
        # It makes up for what follows the last tick that was decided, so maybe for ticks of an earlier pause, too.
        if any(each.kind == "catch_up" for each in again):
            continue
        # What was sent before and whose fate is not known may yet land behind: a resume, of all things.
        unsure = any(each.kind in RESUMES and each.outcome == "info" for each in story.ops[:index])
        until = min([each.invoked_at for each in again], default=float("inf")) - skew_ms
        if op.returned_at + early_ms < tick_at < until and not (unsure and op.kind == "pause"):
            return True
    return False


def _missing(
    view: View, story: ScheduleStory, reference: Sequence[float], ticks: set[float], skew_ms: float
) -> Iterator[str]:
    unsure_from = min((op.invoked_at for op in story.ops if op.outcome == "info"), default=float("inf"))
    for index, op in enumerate(story.ops):
        if op.outcome != "ok" or op.kind not in ("create", *RESUMES) or unsure_from < op.returned_at:
            continue
        ends = [each.invoked_at for each in story.ops[index:] if each.kind in ("pause", "delete")]
        until = min([*ends, view.history.ended_at, unsure_from]) - TICK_GRACE_MS - skew_ms
        mine = [at for at in reference if op.returned_at + skew_ms < at <= until]
        for tick_at, next_at in pairwise([*mine, float("inf")]):
            free_at = view.free_from(tick_at, TICK_GRACE_MS)
            if tick_at not in ticks and free_at <= until and next_at > free_at:
                yield f"tick_missing: {story.name}: {tick_at:.0f}"


def _changes(evidence: Evidence) -> Iterator[str]:
    """A change of a schedule that was answered stays, whatever lands behind it that was asked for before."""
    schedules = evidence.harness.store.database.schedules
    for story in evidence.clients.schedules.values():
        for schedule_id in story.ids:
            state = schedules[schedule_id]
            found = state.max_retries, None if state.more is None else state.more.max_runs
            if found != (story.max_retries, story.max_runs):
                yield f"change_lost: {story.name}: {story.max_retries}, {story.max_runs} were answered, {state}"


# --- the tables -----------------------------------------------------------------------------------------------------------


def _over_the_day(harness: Harness) -> Iterator[str]:
    """No account has more attempts due on one day than its limit, over all partitions."""
    limit = harness.sizes.daily_limit
    due: Counter[tuple[str, int]] = Counter()
    for partition in range(harness.sizes.partitions):
        due.update(harness.store.database.rows(partition).usage)
    for (account, day), count in sorted(due.items()):
        if limit and count > limit and not is_id(account, "whe"):
            yield f"over_the_day {account}: {count} attempts on day {day}, of {limit}"


def unfinished(harness: Harness, nodes: Sequence[Node], poisoned: set[str]) -> list[str]:
    """Say what is still to be done when everything should be quiet; empty if it is."""
    with harness.store.database.unswept():
        return _unfinished(harness, nodes, poisoned)


def _unfinished(harness: Harness, nodes: Sequence[Node], poisoned: set[str]) -> list[str]:
    database = harness.store.database
    found = []
    for partition in range(harness.sizes.partitions):
        position, end = database.progress(partition)[0], harness.log.place(partition).end
        if position != end - 1:
            found.append(f"partition {partition}: the tables stand at {position}, the log ends before {end}")
    for job in database.jobs.values():
        if job.job_id not in poisoned and (not job.is_terminal or (job.has_webhook and job.webhook_at is None)):
            found.append(f"{job.job_id} is {job.status.name}, webhook at {job.webhook_at}, due at {job.fire_at}")
    for delivery in database.deliveries.values():
        if delivery.next_at is not None and delivery.delivery_id not in poisoned and delivery.job_id not in poisoned:
            found.append(f"{delivery.delivery_id} waits for a try at {delivery.next_at}")
    if found:
        return found
    found = undelivered(harness, poisoned)  # it reads the whole log: only once all else is done
    if found:
        return found
    for node in nodes:
        if node.process is not None and node.process.is_first_build:
            continue  # it may be left without a partition that it can serve
        for service in node.services:
            held = getattr(service, "held_count", 0)
            ready = getattr(service, "ready", lambda: None)()
            if held or ready is not None:
                found.append(f"{node.process} {type(service).__name__}: holds {held}, {ready}")
    return found
