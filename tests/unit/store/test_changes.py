"""What is gathered of a run of records, and how it becomes columns."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from libs.domain.instants import DAY_MS
from libs.domain.job import MAX_OFFSETS
from libs.domain.ledger import Ledger
from libs.events import AttemptDue, Claim, JobScheduled, ScheduleTicked, Spec
from libs.events.ids import from_int, new_job_id, new_schedule_id, tick_job_id
from libs.store.projection import rows
from libs.store.projection.changes import ExecutionRow, PartitionChanges
from tests.fakes import events
from tests.fakes.store_states import job_ids, positions, schedule_ids

NOW = 20_000 * DAY_MS - 50  # just before midnight
JOB = new_job_id(NOW, 0, bytes(8))
SCHEDULE = new_schedule_id(NOW, 0, bytes(8))
SPEC = Spec(url="https://example.com/")


def gathered(*events: object) -> PartitionChanges:
    ledger, changes = Ledger(0, claim=Claim(1, "claimclaim")), PartitionChanges(0)
    for position, event in enumerate(events):
        changes.add(ledger.apply(position, event, "1.claimclaim"))  # type: ignore[arg-type]
    return changes


def due(attempt: int = 1) -> AttemptDue:
    return events.due(JOB, NOW + 75, attempt, at=NOW, timeout_ms=1)


SCHEDULED = JobScheduled(job_id=JOB, account="acme", at=NOW, spec=SPEC, fire_at=NOW + 75)


def test_a_repeated_fact_changes_nothing() -> None:
    """A second `job.scheduled` of the same id leaves one row and one spec."""
    changes = gathered(SCHEDULED, msgspec.structs.replace(SCHEDULED, fire_at=7))
    assert changes.states[JOB].fire_at == NOW + 75
    assert (changes.new, changes.specs) == ({JOB}, {JOB: msgspec.json.encode(SPEC)})
    assert (len(changes), bool(changes), JOB in changes, SCHEDULE in changes) == (2, True, True, False)


def test_an_attempt_counts_on_the_day_it_is_made() -> None:
    """Decided 50 ms before midnight for an instant behind it, an attempt belongs to the new day."""
    changes = gathered(SCHEDULED, due(), due())
    assert changes.usage == {("acme", 20_000): 1}
    assert changes.executions == {(JOB, 1): ExecutionRow(JOB, 1, NOW + 75)}
    assert changes.new_executions == {(JOB, 1)}


def test_a_late_attempt_counts_on_the_day_it_is_decided() -> None:
    """After an outage, what was due yesterday is made today."""
    late = msgspec.structs.replace(due(), at=NOW + DAY_MS)
    assert gathered(SCHEDULED, late).usage == {("acme", 20_000): 1}


def test_an_outcome_alone_is_not_a_new_execution() -> None:
    """An attempt that became due in an earlier flush is completed, not inserted."""
    ledger, changes = Ledger(0, claim=Claim(1, "claimclaim")), PartitionChanges(0)
    ledger.apply(0, SCHEDULED, None)
    ledger.apply(1, due(), "1.claimclaim")
    finished = events.finished(JOB, NOW, ok=False, started_at=5, duration_ms=6, error="x")
    changes.add(ledger.apply(2, finished, None))
    assert changes.executions == {(JOB, 1): ExecutionRow(JOB, 1, 5, False, None, "x", 6)}
    assert (changes.new_executions, changes.new, changes.usage) == (set(), set(), {})


def test_a_tick_changes_two_rows() -> None:
    """The schedule moves on and its job is new; the spec is the schedule's."""
    created = events.created(SCHEDULE, NOW, account="a", spec=SPEC, next_run_at=NOW + 9)
    job_id = tick_job_id(SCHEDULE, NOW + 9)
    tick = ScheduleTicked(schedule_id=SCHEDULE, at=NOW, tick_at=NOW + 9, job_id=job_id, next_run_at=NOW + 60_000)
    changes = gathered(created, tick)
    assert set(changes.specs) == {SCHEDULE}
    assert (changes.new, changes.states[SCHEDULE].last_run_at) == ({SCHEDULE, job_id}, NOW + 9)


def test_nothing_is_nothing() -> None:
    """Void records leave nothing to write."""
    assert (len(PartitionChanges(0)), bool(PartitionChanges(0))) == (0, False)


@given(st.lists(positions, max_size=MAX_OFFSETS))
def test_offsets_come_back(offsets: list[int]) -> None:
    """Up to 64 positions are packed into 8 bytes each and come back in their order."""
    packed = rows.pack_offsets(offsets)
    assert len(packed) == 8 * len(offsets)
    assert rows.unpack_offsets(packed) == tuple(offsets)


@given(job_ids(7), schedule_ids(65535))
def test_ids_come_back(job_id: str, schedule_id: str) -> None:
    """An id survives being a UUID, whose order is the id's."""
    assert rows.job_id_of(rows.uuid_of(job_id)) == job_id
    assert from_int("sched", rows.uuid_of(schedule_id).int) == schedule_id
    assert rows.uuid_of(job_id) < rows.MAX_ID
