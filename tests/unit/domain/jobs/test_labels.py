"""Labels of jobs: where they come from, and that nothing changes them."""

from __future__ import annotations

import msgspec
import pytest

from libs.domain.job import JobState, create, evolve, spawn
from libs.domain.ledger import Ledger
from libs.domain.schedule import create as create_schedule
from libs.domain.schedule import evolve as evolve_schedule
from libs.domain.state_registry import decide, owed_at
from libs.events import AttemptDue, Claim, JobChanged, JobChangeRequested, JobMerged, JobMergeRequested, Spec, encode
from libs.events.ids import new_job_id, new_schedule_id
from libs.events.schedule import ScheduleChanged, ScheduleRule
from libs.store.projection.changes import LabelRow, PartitionChanges
from tests.fakes import events

NOW = 1_790_000_000_000
JOB = new_job_id(NOW, 0, bytes(8))
SCHEDULE = new_schedule_id(NOW, 0, bytes(8))
LABELS = {"kind": "invoice", "tenant": "acme"}


def labelled() -> JobState:
    return create(events.asked(JOB, NOW, labels=LABELS), 0)


def test_a_job_has_the_labels_of_its_request() -> None:
    """A plain job has none, and nothing besides; its record is that of the first version."""
    assert labelled().labels == LABELS
    plain = events.asked(JOB, NOW)
    assert (create(plain, 0).labels, create(plain, 0).more, encode(plain).version) == ({}, None, 1)


def test_a_labelled_job_is_tried_again_as_a_plain_one() -> None:
    """Its first due is that of a plain job, byte by byte."""
    jobs = [labelled(), create(events.asked(JOB, NOW), 0)]
    dues = [decide(each, NOW, jitter=0.5, retry_base_s=3) for each in jobs]
    assert isinstance(dues[0], AttemptDue)
    assert dues[0] == dues[1]
    assert [owed_at(each, lead_ms=75) for each in jobs] == [NOW - 75] * 2


def test_labels_outlive_whatever_happens_to_the_job() -> None:
    """Changes, merges of other requests, tries and the end."""
    spec = Spec(url="https://example.com/other")
    state = labelled()
    for position, event in enumerate(
        (
            JobChangeRequested(job_id=JOB, at=NOW, request_id="a", version=0, fire_at=NOW, spec=spec, new_spec_id=JOB),
            JobChanged(job_id=JOB, at=NOW, request_id="a", fire_at=NOW),
            JobMergeRequested(
                job_id=JOB, at=NOW, request_id="b", how="replace", fire_at=NOW, spec=spec, new_spec_id=JOB
            ),
            JobMerged(job_id=JOB, at=NOW),
            events.due(JOB, NOW),
            events.finished(JOB, NOW, outcome="snoozed", ok=False),
            events.retried(JOB, NOW),
            events.due(JOB, NOW, 2),
            events.finished(JOB, NOW, 2),
            events.ended(JOB, NOW, 2),
        ),
        1,
    ):
        changed = evolve(state, event, position)
        assert changed is not state
        state = changed
        assert state.labels == LABELS


@pytest.mark.parametrize("labels", [None, LABELS])
def test_a_spawned_job_has_the_labels_of_its_schedule(labels: dict[str, str] | None) -> None:
    """Those that the schedule has at the tick: a change of them is for later jobs."""
    schedule = create_schedule(events.defined(SCHEDULE, NOW, labels=labels), 0)
    assert spawn(events.ticked(SCHEDULE, NOW), 1, schedule).labels == (labels or {})
    changed = ScheduleChanged(
        schedule_id=SCHEDULE,
        at=NOW,
        version=2,
        change_id="c",
        rule=ScheduleRule(every_s=90, anchor_at=NOW),
        labels={"tenant": "other"},
    )
    assert spawn(events.ticked(SCHEDULE, NOW), 2, evolve_schedule(schedule, changed, 1)).labels == {"tenant": "other"}


def test_rows_of_labels_are_those_of_new_jobs() -> None:
    """One for each label, made once: by the record that makes the job, of a caller or of a tick."""
    ledger, changes = Ledger(0, claim=Claim(1, "claimclaim")), PartitionChanges(0)
    tick = events.ticked(SCHEDULE, NOW + 90_000, at=NOW, version=1)
    asked = events.asked(JOB, NOW, labels=LABELS)
    for position, event in enumerate(
        (
            asked,
            msgspec.structs.replace(asked, labels={"late": "x"}),
            events.defined(SCHEDULE, NOW, labels=LABELS),
            tick,
        )
    ):
        changes.add(ledger.apply(position, event, "1.claimclaim"))

    assert changes.labels == [
        LabelRow("acme", name, value, job_id) for job_id in (JOB, tick.job_id) for name, value in LABELS.items()
    ]
    assert len(changes) == 3 + 2 + 4  # states, specs, labels
