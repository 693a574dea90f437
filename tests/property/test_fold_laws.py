"""The laws of the fold, over random histories of one partition (fold_histories.py)."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.domain import job as job_fold
from libs.domain import schedule as schedule_fold
from libs.domain.job import TERMINAL, JobState, JobStatus
from libs.domain.jobs import delivery as delivery_fold
from libs.domain.jobs.optional_state import change_asked
from libs.domain.ledger import Ledger, Verdict
from libs.domain.schedule import ScheduleState, ScheduleStatus
from libs.domain.state_registry import State, decide, owed_at
from libs.events import (
    AttemptDue,
    Claim,
    Envelope,
    Event,
    JobCancelRequested,
    JobChanged,
    JobChangeRefused,
    JobChangeRequested,
    JobStopRequested,
    Unknown,
    Unreadable,
    WebhookFinished,
    encode,
    read,
)
from libs.events.codec import KINDS, kind_of
from libs.store.projection.changes import PartitionChanges
from tests.fakes import events
from tests.property.fold_histories import (
    CLAIMS,
    JOBS,
    NOW,
    SCHEDULE,
    due,
    finished,
    histories,
    scheduled,
    sealed,
    tick,
)

# The machine may be busy: how long an example takes says nothing about the law.
LAW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Folded(NamedTuple):
    """What a fold ends with, and what each record did."""

    states: tuple[int, Claim | None, dict[str, JobState], dict[str, ScheduleState]]
    verdicts: list[Verdict]


def fold(history: list[Envelope], ledger: Ledger | None = None) -> Folded:
    """Read *history* on from where *ledger* stands."""
    ledger = Ledger(0) if ledger is None else ledger
    verdicts = [ledger.apply(ledger.position + 1, read(0, envelope), envelope.claim).verdict for envelope in history]
    return Folded(
        (ledger.position, ledger.claim, ledger.states.of(JobState), ledger.states.of(ScheduleState)), verdicts
    )


def timeless(folded: Folded) -> Any:
    """Return the states without the positions in them."""
    _, claim, jobs_by_id, schedules = folded.states
    return (
        claim,
        {key: {**_fields(state), "offsets": None} for key, state in jobs_by_id.items()},
        {key: {**_fields(state), "changed_at": None} for key, state in schedules.items()},
    )


def _fields(state: State) -> dict[str, Any]:
    return {name: getattr(state, name) for name in state.__struct_fields__}


@LAW
@given(histories, st.integers(0, 40))
def test_folding_in_two_parts_is_folding_in_one(history: list[Envelope], cut: int) -> None:
    """fold(a + b) == fold(b, fold(a)): a fold can stop anywhere and go on from its states."""
    before = Ledger(0)
    fold(history[:cut], before)
    after = Ledger(0, position=before.position, claim=before.claim)
    after.states.update(before.states)

    assert fold(history[cut:], after).states == fold(history).states


@LAW
@given(histories)
def test_the_fold_is_a_function_of_the_bytes(history: list[Envelope]) -> None:
    """Reading the same bytes again gives the same states; nothing else goes into them."""
    again = [Envelope(*each[:5], bytes(each.value)) for each in history]

    assert fold(again) == fold(history)


@LAW
@given(histories, st.data())
def test_a_fact_that_repeats_changes_nothing(history: list[Envelope], data: st.DataObject) -> None:
    """Any fact may come again later, however often: states stay, and so do the verdicts of all other records."""
    plain = fold(history)
    places = [
        n
        for n, each in enumerate(history)
        if each.type in FIRST_WINS and plain.verdicts[n] is Verdict.APPLIED  # what came too early may apply later
    ]
    if not places:
        return
    original = data.draw(st.sampled_from(places))
    at = data.draw(st.integers(original + 1, len(history)))

    repeated = fold([*history[:at], history[original], *history[at:]])

    assert timeless(repeated) == timeless(plain)
    assert repeated.verdicts[at] is Verdict.REPEATED
    assert [*repeated.verdicts[:at], *repeated.verdicts[at + 1 :]] == plain.verdicts


# Pausing and resuming may come again and mean it; all other facts are said once.
FIRST_WINS = {
    "job.scheduled",
    "job.cancel_requested",
    "attempt.finished",
    "webhook.finished",
    "schedule.created",
    "schedule.deleted",
}


@LAW
@given(histories)
def test_an_end_is_never_left(history: list[Envelope]) -> None:
    """A terminal job stays as it is but for the note about its webhook; a deleted schedule stays as it is."""
    ledger = Ledger(0)
    for envelope in history:
        before_jobs, before_schedules = ledger.states.of(JobState), ledger.states.of(ScheduleState)
        fold([envelope], ledger)
        for job_id, before in before_jobs.items():
            after = ledger.states[job_id]
            if before.status in TERMINAL and after is not before:
                assert envelope.type == "webhook.finished"
                assert {**_fields(after), "webhook_at": None, "offsets": None} == {
                    **_fields(before),
                    "webhook_at": None,
                    "offsets": None,
                }
        for schedule_id, schedule in before_schedules.items():
            if schedule.status is ScheduleStatus.DELETED:
                assert ledger.states[schedule_id] == schedule


@LAW
@given(histories)
def test_only_what_is_in_the_tables_of_transitions_happens(history: list[Envelope]) -> None:
    """Every change of a status stands in `TRANSITIONS`, and only APPLIED and POISON change a state."""
    ledger = Ledger(0)
    for envelope in history:
        jobs_before, schedules_before = ledger.states.of(JobState), ledger.states.of(ScheduleState)
        verdict = fold([envelope], ledger).verdicts[0]
        for job_id, job in ledger.states.of(JobState).items():
            old = jobs_before.get(job_id)
            if old is None or old == job:
                continue
            assert verdict in (Verdict.APPLIED, Verdict.POISON)
            if verdict is Verdict.APPLIED:
                assert job.status in job_fold.TRANSITIONS[old.status, envelope.type]
            else:
                assert (job.held, job.status) == (True, old.status)
        for schedule_id, schedule in ledger.states.of(ScheduleState).items():
            was = schedules_before.get(schedule_id)
            if was is not None and was.status != schedule.status:
                assert schedule.status in schedule_fold.TRANSITIONS[was.status, envelope.type]


@LAW
@given(histories)
def test_attempts_count_up_and_each_is_due_once(history: list[Envelope]) -> None:
    """Whatever owners and others write, the admitted dues of a job that applied are 1, 2, 3, ..."""
    ledger = Ledger(0)
    dues: dict[str, list[int]] = {}
    for envelope in history:
        item = read(0, envelope)
        applied = ledger.apply(ledger.position + 1, item, envelope.claim)
        if isinstance(item, AttemptDue) and applied.verdict is Verdict.APPLIED:
            dues.setdefault(item.job_id, []).append(item.attempt)

    for job_id, job in ledger.states.of(JobState).items():
        assert dues.get(job_id, []) == list(range(1, job.attempt + 1))


@LAW
@given(histories)
def test_a_decision_that_is_owed_is_legal(history: list[Envelope]) -> None:
    """Whatever the history, what is owed applies; and once it is folded something else is owed, or nothing."""
    ledger = Ledger(0)
    fold(history, ledger)
    claim = ledger.claim
    assert claim is not None
    states: list[State] = list(ledger.states.values())
    for state in states:
        at = owed_at(state, lead_ms=75)
        if at is None:
            continue
        decision = decide(state, max(at, NOW), jitter=0.5, retry_base_s=30.0)
        envelope = encode(decision, claim)

        assert fold([envelope], ledger).verdicts == [Verdict.APPLIED]

        # The same decision once more is illegal for a job; for a schedule the tick was made, and is.
        assert fold([envelope], ledger).verdicts == [Verdict.ILLEGAL]


@LAW
@given(histories)
def test_any_calm_future_ends_every_job(history: list[Envelope]) -> None:
    """An owner that makes what is owed, and results that come, bring every job that is not held to its end."""
    ledger = Ledger(0)
    fold(history, ledger)
    for job_id in list(ledger.states.of(JobState)):
        for _ in range(200):
            job = ledger.states[job_id]
            if job.is_terminal or job.held:
                break
            if job.status is JobStatus.RUNNING:
                fold([encode(finished(job_id, job.attempt, ok=False))], ledger)
            else:
                decision = decide(job, NOW, jitter=0.5, retry_base_s=30.0)
                fold([encode(decision, ledger.claim)], ledger)
        job = ledger.states[job_id]
        assert job.held or job.is_terminal
        assert job.held or job.attempt <= max(job.max_retries + 1, 4)


@LAW
@given(histories)
def test_the_gathered_changes_are_the_states(history: list[Envelope]) -> None:
    """What a flush writes, flush by flush, makes the tables equal to the fold."""
    ledger, changes = Ledger(0), PartitionChanges(0)
    tables: dict[str, State] = {}
    for number, envelope in enumerate(history):
        changes.add(ledger.apply(ledger.position + 1, read(0, envelope), envelope.claim))
        if number % 3 == 2:
            tables.update(changes.states.of(JobState))
            tables.update(changes.states.of(ScheduleState))
            changes = PartitionChanges(0)
    tables.update(changes.states.of(JobState))
    tables.update(changes.states.of(ScheduleState))

    assert tables == ledger.states


@settings(LAW, max_examples=300)
@given(
    st.sampled_from([kind.name for kind in KINDS] + ["quota.granted", ""]),
    st.integers(-2, 3),
    st.booleans(),
    st.one_of(st.none(), st.text(max_size=30)),
    st.one_of(st.sampled_from([*JOBS, SCHEDULE, "owner", ""]), st.text(max_size=40)),
    st.one_of(st.binary(max_size=80), st.recursive(st.none(), st.lists).map(lambda v: repr(v).encode())),
)
def test_no_bytes_raise(
    name: str, version: int, must_understand: bool, claim: str | None, key: str, value: bytes
) -> None:
    """Whatever stands in a log, reading names it; and folding it moves on, unless it says that it must be understood."""
    envelope = Envelope(name, version, must_understand, claim, key, value)
    item = read(0, envelope)

    assert type(item) in {Unknown, Unreadable, *(kind.event for kind in KINDS)}
    if not (isinstance(item, Unknown) and item.must_understand):
        assert fold([envelope]).states[0] == 0


@settings(LAW, max_examples=300)
@given(sealed, st.data())
def test_no_mutated_record_raises_or_reaches_a_stranger(envelope: Envelope, data: st.DataObject) -> None:
    """A record with a few bytes changed is read as something, and what it names is what its key names, or nothing."""
    value = bytearray(envelope.value)
    for _ in range(data.draw(st.integers(1, 3))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))

    item = read(0, envelope._replace(value=bytes(value)))

    if isinstance(item, Unreadable):
        assert item.key in ("", envelope.key)
    elif not isinstance(item, Unknown):
        key = kind_of(item).key
        assert not key or getattr(item, key) == envelope.key


# The tables of transitions themselves


def test_every_status_is_reached_and_left_as_it_should_be() -> None:
    """From `scheduled` every status can be reached; terminal ones lead only to themselves, all others lead on."""
    reached, frontier = {JobStatus.SCHEDULED}, [JobStatus.SCHEDULED]
    while frontier:
        status = frontier.pop()
        for (source, _), targets in job_fold.TRANSITIONS.items():
            for target in targets:
                if source == status and target not in reached:
                    reached.add(target)
                    frontier.append(target)

    assert reached == set(JobStatus)
    for status in JobStatus:
        leads_to = {
            target for (source, _), targets in job_fold.TRANSITIONS.items() if source == status for target in targets
        }
        assert (leads_to == {status}) == (status in TERMINAL)


def test_the_tables_name_every_event_of_their_kind_and_nothing_else() -> None:
    """Each event of a job or schedule, but its first, stands in a table of transitions; and no name is misspelt."""
    names = Counter(kind.name for kind in KINDS)
    for_jobs = {name for _, name in job_fold.TRANSITIONS}
    for_schedules = {name for _, name in schedule_fold.TRANSITIONS}

    for_deliveries = {name for _, name in delivery_fold.TRANSITIONS}

    told_besides = {"webhook.attempted", "schedule.run_stopped"}  # of a delivery and of a schedule, which concern a job
    assert for_jobs == {kind.name for kind in KINDS if kind.key == "job_id"} - {"job.scheduled"} | told_besides
    assert for_deliveries == {kind.name for kind in KINDS if kind.key == "delivery_id"}
    runs = {"job.scheduled", "job.finished", "job.cancelled"}  # of which a schedule is told that looks at its runs
    firsts = {"schedule.created", "schedule.defined"}
    assert for_schedules == {kind.name for kind in KINDS if kind.key == "schedule_id"} - firsts | runs
    assert set(names.values()) == {1}


@pytest.mark.parametrize("status", list(JobStatus))
def test_a_status_and_an_event_that_are_not_in_the_table_change_nothing(status: JobStatus) -> None:
    """`evolve` gives back the very object for everything that does not apply."""
    state = JobState(
        job_id=JOBS[0], account="acme", status=status, attempt=1, scheduled_at=NOW, fire_at=NOW, created_at=NOW
    )
    assert state.is_terminal == (status in TERMINAL)
    assert state.is_waiting == (status in job_fold.WAITING)
    change = JobChangeRequested(job_id=JOBS[0], at=NOW, request_id="a", version=0, fire_at=NOW)
    asked = msgspec.structs.replace(
        state, more=change_asked(None, change) if status == JobStatus.SCHEDULED else None, cancel_requested=False
    )
    for answer in (
        JobChanged(job_id=JOBS[0], at=NOW, request_id="a", fire_at=NOW),
        JobChangeRefused(job_id=JOBS[0], at=NOW, request_id="a"),
    ):
        assert (job_fold.evolve(asked, answer, 9) is not asked) == (status == JobStatus.SCHEDULED)
    everything: list[Event] = [
        change,
        scheduled(JOBS[0], NOW, 0),
        JobCancelRequested(job_id=JOBS[0], at=NOW),
        JobStopRequested(job_id=JOBS[0], at=NOW),
        events.cancelled(JOBS[0], NOW),
        due(JOBS[0], 2),
        finished(JOBS[0], 1, ok=True),
        events.retried(JOBS[0], NOW),
        events.ended(JOBS[0], NOW, status="failed"),
        WebhookFinished(job_id=JOBS[0], at=NOW, ok=True, duration_ms=1),
        tick(1, 1, 1, 0),
    ]
    for event in everything:
        applies = (status, kind_of(event).name) in job_fold.TRANSITIONS
        assert (job_fold.evolve(state, event, 9) is not state) == applies


def test_a_timeline_remembers_so_many_positions() -> None:
    """Positions beyond the limit are left out; the job itself goes on."""
    ledger = Ledger(0)
    fold([encode(events.claimed(CLAIMS[0], NOW)), encode(scheduled(JOBS[0], NOW, 999))], ledger)
    for attempt in range(1, 40):
        fold([encode(due(JOBS[0], attempt), CLAIMS[0]), encode(finished(JOBS[0], attempt, ok=False))], ledger)
        fold([encode(events.retried(JOBS[0], NOW, attempt + 1), CLAIMS[0])], ledger)

    job = ledger.states[JOBS[0]]
    assert (len(job.offsets), job.attempt) == (job_fold.MAX_OFFSETS, 39)
