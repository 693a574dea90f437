"""
What must be true of a run that has calmed down: the invariants of the protocol, by number.

    I1   at most one admitted due per attempt; attempts are 1..n without gaps
    I2   204 means that the job never fires, 409 that it did
    I3   every job that was accepted reaches an end
    I4   the tables at position o are the fold up to o
    I5   every admitted due is called; once, if no dispatcher died
    I6   no call without an admitted due, none before its time
    I7   admitted decisions are legal
    I8   one job per tick; no tick is made up, and of those missed only the latest is made
    I9   usage is the count of dues
    I10  GET after 201 shows the job
    I12  one key, one job
    I13  no accepted fact is dropped
    I14  memory holds what is near, and nothing else
    I15  a pause or deletion of a schedule that stands in the log before a tick may be decided stops that tick's call
    I16  a job is called, judged and ended as its policy says (policy_rules.py)
    I17  of changes of a schedule each that was answered with 200 counted, and made its version
    I18  the job of a tick calls what its schedule said at that tick
    I20  a stop that stands in the log ends its job: after it at most one decision more
    I21  a job is called as its last change says that was made before its first due, and at that instant
    I22  a webhook is sent, and tried again until its delivery ends; each try counts once, and none is made before its instant
    I23  what is forgotten never comes back (history.py)
    I24  what waits is not forgotten, and what is needed is kept (history.py)
    I25  of the jobs with one key at most one has it (keys/keys.py)
    I26  what was answered about the job of a key is so (keys/keys.py)
    I27  while a run is under way, a tick spawns another one only if its schedule allows that (policy_rules.py)
    I28  a schedule pauses itself after as many failed runs in a row as it says (policy_rules.py)
    I30  a fold that begins with what was carried ends as the fold of the whole log (carry/carrying.py)
    I31  nobody reads what was trimmed (carry/carrying.py)

I11, contiguous positions, is asserted by the ledger itself. Held jobs and schedules are excused from I3 and I5, and must have
been poisoned.
"""

from __future__ import annotations

from collections import Counter

from libs.domain.job import JobState, JobStatus
from libs.domain.jobs.delivery import DeliveryState
from libs.domain.ledger import Verdict
from libs.domain.schedule import ScheduleState, ScheduleStatus
from libs.domain.state_registry import owed_at
from libs.events import (
    AttemptDue,
    JobCancelRequested,
    ScheduleChanged,
    ScheduleCreated,
    ScheduleDefined,
    ScheduleResumed,
    ScheduleSpawned,
    ScheduleTicked,
    WebhookAttempted,
)
from libs.store.projection.changes import PartitionChanges
from tests.simulation.model.actors import HAND_OFF_EARLY_MS, SKEW_MS, Owner
from tests.simulation.model.carry.carrying import broken_beginnings
from tests.simulation.model.clients import Known
from tests.simulation.model.harness import OPEN, Harness, Partition, Stored
from tests.simulation.model.history import broken_history
from tests.simulation.model.policy_rules import (
    broken_policies,
    broken_runs,
    facts_of,
    ignored_stops,
    lost_job_changes,
    stops_of,
)
from tests.simulation.model.rules import rule_of_state
from tests.simulation.model.webhooks import is_pending


def check(harness: Harness, known: Known, owners: list[Owner]) -> list[str]:
    """Return every breach that can be seen once all is quiet."""
    found = list(harness.violations)
    for part in harness.partitions:
        found += _dues(part) + _ends(part, known) + _tables(part) + _ticks(harness, part, known)
        found += broken_policies(harness, part) + ignored_stops(part) + lost_job_changes(harness, part)
        found += _deliveries(part) + broken_history(part) + broken_runs(part) + broken_beginnings(part)
        found += part.violations
        found += [f"I7 illegal decision in the log: {stored.item}" for stored in part.illegal]
    found += _calls(harness) + _promises(harness, known)
    found += _lost_changes(harness, known) + _specs_of_ticks(harness)
    for owner in owners:
        found += _memory(owner)
    return found


def _dues(part: Partition) -> list[str]:
    admitted = [
        (stored.item.job_id, stored.item.attempt)
        for stored in part.records
        if isinstance(stored.item, AttemptDue) and stored.applied.verdict in (Verdict.APPLIED, Verdict.ILLEGAL)
    ]
    found = [f"I1 {due} was admitted {count} times" for due, count in Counter(admitted).items() if count > 1]
    for job in part.oracle.states.of(JobState).values():
        attempts = [attempt for job_id, attempt in admitted if job_id == job.job_id]
        if attempts != list(range(1, job.attempt + 1)):
            found.append(f"I1 {job.job_id} made the attempts {attempts}, and says {job.attempt}")
        if job.charged > job.max_retries + 1:
            found.append(f"I1 {job.job_id} made more attempts than it may")
    return found


def _ends(part: Partition, known: Known) -> list[str]:
    found = []
    for job in part.oracle.states.of(JobState).values():
        if job.held:
            if job.job_id not in known.poisoned:
                found.append(f"I3 {job.job_id} is held, and no record of it was unreadable")
        elif not job.is_terminal:
            found.append(f"I3 {job.job_id} is stuck: {job}")
        elif (job.status == JobStatus.COMPLETED) != bool(job.last_ok) and job.ended_by not in ("stopped", "replaced"):
            found.append(f"I3 {job.job_id} ended as {job.status.name} with last_ok {job.last_ok}")
    for schedule in part.oracle.states.of(ScheduleState).values():
        if schedule.held and schedule.schedule_id not in known.poisoned:
            found.append(f"I3 {schedule.schedule_id} is held, and no record of it was unreadable")
    for stored in part.records:
        if isinstance(stored.item, JobCancelRequested) and stored.applied.verdict is Verdict.APPLIED:
            job = part.oracle.states[stored.item.job_id]
            if not (job.held or job.status == JobStatus.CANCELLED or job.attempt or job.ended_by == "expired"):
                found.append(f"I13 the cancel of {job.job_id} was dropped")
    return found


def _tables(part: Partition) -> list[str]:
    tables, oracle = part.tables, part.oracle
    if tables.position != oracle.position:
        return [f"I4 the tables stand at {tables.position}, the log ends at {oracle.position}"]
    found = []
    if tables.claim != oracle.claim:
        found.append(f"I4 the tables hold the claim {tables.claim}, the fold {oracle.claim}")
    if tables.schedules != oracle.states.of(ScheduleState):
        found.append("I4 the tables differ from the full fold")
    rows = {**tables.jobs, **tables.deliveries}  # what has no row is looked at by I24
    if any(oracle.states.get(state_id) != state for state_id, state in rows.items()):
        found.append("I4 the tables differ from the full fold")
    full = PartitionChanges(part.number)
    for stored in part.records:
        full.add(stored.applied)
    executions = {key: row for key, row in full.executions.items() if key[0] in tables.jobs}
    if tables.executions != executions or any(full.specs.get(each) != tables.specs[each] for each in tables.specs):
        found.append("I4 executions or specs differ from the full fold")
    if tables.usage != full.usage or sum(tables.usage.values()) != len(part.due):
        found.append(f"I9 usage says {tables.usage}, admitted were {len(part.due)}")
    return found


def _deliveries(part: Partition) -> list[str]:
    found = []
    for job in part.oracle.states.of(JobState).values():
        if is_pending(job) and not job.held:
            found.append(f"I22 {job.job_id} ended, and its webhook was never sent")
    for delivery_id, delivery in part.oracle.states.of(DeliveryState).items():
        if delivery.next_at is not None and not delivery.held:
            found.append(f"I22 {delivery_id} is not tried again: {delivery}")
        tries = [
            stored
            for stored in part.records
            if isinstance(stored.item, WebhookAttempted)
            and stored.item.delivery_id == delivery_id
            and stored.applied.verdict is Verdict.APPLIED
        ]
        if [stored.item.attempt for stored in tries] != list(range(1, delivery.attempt + 1)):
            found.append(f"I22 {delivery_id} has tries that were not made one after the other")
        charged = 0
        for stored in tries:
            before = part.truth(delivery_id, stored.position - 1)
            if not isinstance(before, DeliveryState):
                charged += stored.item.outcome == "failure"
                continue
            charged += stored.item.outcome == "failure" and before.is_pending
            if before.next_at is None or stored.item.at < before.next_at:
                found.append(f"I22 {delivery_id} was tried before its instant")
        if delivery.charged != charged:
            found.append(f"I22 {delivery_id} was charged {delivery.charged} times for {charged} failures")
    return found


def _calls(harness: Harness) -> list[str]:
    found = []
    due = {key: at for part in harness.partitions for key, at in part.due.items()}
    calls = Counter((call.job_id, call.attempt) for call in harness.calls)
    held = {job.job_id for part in harness.partitions for job in part.oracle.states.of(JobState).values() if job.held}
    late = {
        (item.job_id, item.attempt)
        for part in harness.partitions
        for item in facts_of(part)
        if item.outcome == "too_late"
    }
    stopped = {job_id for part in harness.partitions for job_id in stops_of(part)}
    excused = late | {key for key in due if key[0] in held or key[0] in stopped}
    found += [f"I5 {key} was due and never called" for key in due if key not in calls and key not in excused]
    if harness.dispatcher_count == len(harness.partitions):
        found += [f"I5 {key} was called {count} times" for key, count in calls.items() if count > 1]
    for call in harness.calls:
        not_before = due.get((call.job_id, call.attempt))
        if not_before is None:
            found.append(f"I6 {call.job_id} was called without an admitted due")
        elif call.at < not_before:
            found.append(f"I6 {call.job_id} was called {not_before - call.at} ms before its time")
        if call.was_finished:
            found.append(f"I5 {call.job_id} was called by a dispatcher that could know the result")
    return found


def _promises(harness: Harness, known: Known) -> list[str]:
    found = []
    jobs = {job_id: job for part in harness.partitions for job_id, job in part.oracle.states.of(JobState).items()}
    schedules = {schedule_id for part in harness.partitions for schedule_id in part.oracle.states.of(ScheduleState)}
    for job_id in known.cancelled:
        if jobs[job_id].attempt:
            found.append(f"I2 {job_id}: 204, and it fired")
    for job_id in known.expired:
        if jobs[job_id].attempt or jobs[job_id].ended_by != "expired":
            found.append(f"I2 {job_id}: 409 because it expired, and it did not")
    for job_id in known.fired:
        if not jobs[job_id].attempt:
            found.append(f"I2 {job_id}: 409, and it never fired")
    found += [
        f"I13 {job_id} was answered with 201 and is not in the fold" for job_id in known.jobs if job_id not in jobs
    ]
    found += [
        f"I13 {one} was answered with 201 and is not in the fold" for one in known.schedules if one not in schedules
    ]
    forgotten = {job_id for part in harness.partitions for job_id in part.forgotten}
    by_key = Counter(
        job.idempotency_key for job in jobs.values() if job.idempotency_key is not None and job.job_id not in forgotten
    )
    found += [f"I12 {key} stands for {count} jobs" for key, count in by_key.items() if count > 1]
    found += [f"I12 {key} was answered with {ids}" for key, ids in known.keys.items() if len(ids - forgotten) > 1]
    for call in harness.calls:
        url = known.jobs.get(call.job_id)
        is_changed = call.job_id in jobs and jobs[call.job_id].version > 0  # I21 says what is called then
        if url is not None and call.url != url and not is_changed:
            found.append(f"I6 {call.job_id} called {call.url}, asked for was {url}")
    return found


def _ticks(harness: Harness, part: Partition, known: Known) -> list[str]:
    """
    I8 and I15, by arithmetic of its own: the ticks of every rule are a fixed time apart (rules.py).

    A tick is the one that the schedule recorded as next or, when that one was missed, the latest that was missed.
    """
    found = []
    next_run: dict[str, int] = {}
    is_resumed: set[str] = set()
    catching_up: set[str] = set()
    jobs: Counter[tuple[str, int]] = Counter()
    for stored in part.records:
        item = stored.item
        state = next((each for each in stored.applied.changed.values() if isinstance(each, ScheduleState)), None)
        if state is None:
            continue
        schedule_id = state.schedule_id
        if isinstance(item, ScheduleResumed):
            is_resumed.add(schedule_id)
        if isinstance(item, ScheduleTicked):
            rule = rule_of_state(state)
            expected = next_run[schedule_id]
            expected, is_made = rule.decided(schedule_id, expected, item.at, is_catching_up=schedule_id in catching_up)
            if schedule_id in is_resumed:
                expected = max(item.tick_at, next_run[schedule_id])  # decided before the resume, perhaps
            if item.tick_at != expected:
                found.append(f"I8 {schedule_id} ticked at {item.tick_at}, expected was {expected}")
            fire_at = rule.fire_at(schedule_id, item.tick_at)
            if rule.latest(item.tick_at) != item.tick_at or state.next_tick_at != item.tick_at + rule.period_ms:
                found.append(f"I8 {schedule_id} left its rule: {item}")
            if is_made != (item.action == "spawned" or item.reason is not None) and schedule_id not in is_resumed:
                found.append(f"I8 {schedule_id} was {item.action} against its policy: {item}")
            if item.trigger == "catchup" and item.fire_at is not None:
                is_in_time = item.at <= item.fire_at < item.at + 30_000
            else:
                is_in_time = item.action != "spawned" or (item.fire_at or item.tick_at) == fire_at
            if not is_in_time:
                found.append(f"I8 {schedule_id} left its rule: {item}")
            lead_ms = harness.settings.lead_ms
            if stored.envelope.claim in harness.handed_over:
                lead_ms += HAND_OFF_EARLY_MS
            if item.at < fire_at - lead_ms:
                found.append(f"I8 {schedule_id} ticked too early: {item}")
            found += _ignored_stops(part, known, stored, lead_ms + SKEW_MS)
            is_resumed.discard(schedule_id)
            if item.job_id in stored.applied.changed:
                jobs[schedule_id, item.tick_at] += 1
        is_catching_up = state.more is not None and state.more.is_catching_up
        (catching_up.add if is_catching_up else catching_up.discard)(schedule_id)
        if state.next_run_at is not None:
            next_run[schedule_id] = state.next_tick_at or 0
    found += [f"I8 {tick} spawned {count} jobs" for tick, count in jobs.items() if count > 1]
    return found


def _lost_changes(harness: Harness, known: Known) -> list[str]:
    """I17, by the order of the log: what was answered as done is what made its version."""
    made = {
        (stored.item.schedule_id, stored.item.version): stored.item.change_id
        for part in harness.partitions
        for stored in part.records
        if isinstance(stored.item, ScheduleChanged) and stored.applied.verdict is Verdict.APPLIED
    }
    return [
        f"I17 {change} was answered with 200, and {made.get((change.schedule_id, change.version))} counted"
        for change in known.changes
        if made.get((change.schedule_id, change.version)) != change.change_id
    ]


def _specs_of_ticks(harness: Harness) -> list[str]:
    """I18, by the order of the log."""
    urls: dict[str, str] = {}
    of_job: dict[str, str] = {}
    for part in harness.partitions:
        for stored in part.records:
            item = stored.item
            if stored.applied.verdict is not Verdict.APPLIED:
                continue
            if isinstance(item, ScheduleCreated | ScheduleDefined | ScheduleChanged) and item.spec is not None:
                urls[item.schedule_id] = item.spec.url
            elif isinstance(item, ScheduleSpawned) or (isinstance(item, ScheduleTicked) and item.action == "spawned"):
                of_job.setdefault(item.job_id, urls[item.schedule_id])
    return [
        f"I18 {call.job_id} called {call.url}, at its tick it was {of_job[call.job_id]}"
        for call in harness.calls
        if call.job_id in of_job and call.url != of_job[call.job_id]
    ]


def _ignored_stops(part: Partition, known: Known, stored: Stored, early_ms: int) -> list[str]:
    """I15: say which stops stood in the log more than *early_ms* ahead of a tick, and the tick's job fired all the same."""
    tick = stored.item
    assert isinstance(tick, ScheduleTicked)
    stops = [
        stop
        for stop in known.stops
        if stop.schedule_id == tick.schedule_id
        and stop.at < (tick.fire_at or tick.tick_at) - early_ms
        and stop.position > stored.position
        and not any(
            isinstance(later.item, ScheduleResumed)
            and (later.item.next_tick_at or later.item.next_run_at) == tick.tick_at
            for later in part.records[stop.position :]
        )
    ]
    # The job of a tick that is made up for is spawned at once and called within half a minute: it is there when the stop comes.
    fired = (tick.job_id, 1) in part.due and tick.trigger == "schedule"
    return [f"I15 {tick.job_id} fired at {tick.tick_at}, and {stop} came before" for stop in stops if fired]


def _memory(owner: Owner) -> list[str]:
    decider = owner.decider
    found = []
    if decider.overlay_count:
        found.append(f"I14 {decider.overlay_count} decisions were never read back")
    states = decider.ledger.states
    for owner_id, state in states.items():
        at = owed_at(state, lead_ms=owner.harness.settings.lead_ms)
        is_near = at is not None and at < decider.horizon_at
        if not is_near and (state.held or state.status not in OPEN):
            found.append(f"I14 {owner_id} is kept in memory for nothing: {state}")
    return found


def is_quiet(harness: Harness, owners: list[Owner]) -> bool:
    """Say whether nothing is under way, and nothing is owed that poison does not excuse."""
    for part, owner in zip(harness.partitions, owners, strict=True):
        if part.queues or part.tables.position != part.end - 1 or owner.dead:
            return False
        jobs, deliveries = part.oracle.states.of(JobState), part.oracle.states.of(DeliveryState)
        if any(not (job.is_terminal or job.held) or (is_pending(job) and not job.held) for job in jobs.values()):
            return False
        if any(each.next_at is not None and not each.held for each in deliveries.values()):
            return False
        for schedule in part.oracle.states.of(ScheduleState).values():
            is_live = schedule.status == ScheduleStatus.ACTIVE and not schedule.held
            if is_live and schedule.owes_now:
                return False
            if (
                is_live
                and schedule.next_run_at is not None
                and schedule.next_run_at - harness.settings.lead_ms <= harness.now + SKEW_MS
            ):
                return False
    return True
