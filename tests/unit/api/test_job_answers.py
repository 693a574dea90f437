"""The one table from internal status to public words, and timelines without secrets."""

from __future__ import annotations

from typing import get_args, get_type_hints

import msgspec
import orjson

from libs.domain.job import JobState, JobStatus
from libs.events import JobFinished, JobScheduled, ScheduleTicked, Spec, Unknown, Unreadable
from libs.events.codec import KINDS
from libs.events.fields import Instant
from libs.events.ids import new_job_id, new_schedule_id, tick_job_id
from services.api.contract import job_answers
from tests.fakes import events

JOB = new_job_id(1_700_000_000_000, 2, b"12345678")
SCHEDULE = new_schedule_id(1_700_000_000_000, 2, b"12345678")
SPEC = Spec(url="https://example.com/", headers={"Authorization": "canary"}, body="canary")


def test_every_status_has_a_word() -> None:
    """Each internal status has one public word, and the filter's words are exactly those."""
    assert set(job_answers.PUBLIC_STATUS) == set(JobStatus)
    assert set(job_answers.STATUSES_OF) == {"scheduled", "running", "success", "failed", "cancelled"}
    assert sorted(s for statuses in job_answers.STATUSES_OF.values() for s in statuses) == sorted(JobStatus)


def test_next_attempt() -> None:
    """next_attempt_at is shown while the job waits, for its first try or a retry, and not while it is held."""
    state = JobState(job_id=JOB, account="a", scheduled_at=1_000, fire_at=2_000, created_at=0)
    for status in JobStatus:
        shown = job_answers.job(msgspec.structs.replace(state, status=status), SPEC, 5_000, with_payload=True)[
            "next_attempt_at"
        ]
        waits = status in (JobStatus.SCHEDULED, JobStatus.RETRYING)
        assert shown == ("1970-01-01T00:00:02Z" if waits else None)
    assert (
        job_answers.job(msgspec.structs.replace(state, held=True), SPEC, 5_000, with_payload=True)["next_attempt_at"]
        is None
    )


def test_case_14_a_start_to_come_is_not_shown() -> None:
    """An attempt that is due 75 ms ahead of its instant has started when that has come, and not before."""
    state = JobState(
        job_id=JOB,
        account="a",
        status=JobStatus.RUNNING,
        scheduled_at=2_000,
        fire_at=2_000,
        created_at=0,
        started_at=2_000,
    )

    assert job_answers.job(state, SPEC, 1_999, with_payload=True)["started_at"] is None
    assert job_answers.job(state, SPEC, 2_000, with_payload=True)["started_at"] == "1970-01-01T00:00:02Z"


def test_timeline_has_no_secrets() -> None:
    """A timeline shows types, places and instants, never headers or bodies."""
    event = JobScheduled(job_id=JOB, account="a", at=1_500, spec=SPEC, fire_at=2_000, idempotency_key="canary")
    entry = job_answers.timeline_entry(event, partition=2, position=7, at=1_501)

    assert entry == {
        "type": "job.scheduled",
        "at": "1970-01-01T00:00:01.500Z",
        "position": 7,
        "partition": 2,
        "fire_at": "1970-01-01T00:00:02Z",
        "max_retries": 0,
        "replay_of": None,
    }
    assert b"canary" not in orjson.dumps(entry)


def test_timeline_words() -> None:
    """Instants are RFC 3339 and statuses public in a timeline too."""
    due = events.due(JOB, 1_000, account="a", at=0)
    finished = JobFinished(job_id=JOB, account="a", at=0, status="completed", attempt=1, status_code=200)
    ticked = ScheduleTicked(schedule_id=SCHEDULE, at=0, tick_at=1_000, job_id=tick_job_id(SCHEDULE, 1_000))

    assert job_answers.timeline_entry(due, partition=0, position=0, at=0)["not_before"] == "1970-01-01T00:00:01Z"
    assert job_answers.timeline_entry(finished, partition=0, position=0, at=0)["status"] == "success"
    entry = job_answers.timeline_entry(ticked, partition=0, position=0, at=0)
    assert set(entry) == {"type", "at", "position", "partition", "schedule_id", "tick_at"}


def test_timeline_of_the_unreadable() -> None:
    """A record that cannot be read has its place in the timeline, and says so."""
    for item in (Unknown("job.new_thing", 9, False), Unreadable("attempt.due", JOB, "torn")):
        entry = job_answers.timeline_entry(item, partition=1, position=3, at=1_000)
        assert entry == {
            "type": item.type,
            "at": "1970-01-01T00:00:01Z",
            "position": 3,
            "partition": 1,
            "readable": False,
        }


def test_no_timeline_field_is_an_unrendered_instant() -> None:
    """Every instant field of every event that can stand in a timeline is rendered, also in events to come."""
    seen = 0
    for kind in KINDS:
        if not kind.key and kind.role == "decision":
            continue  # of the partition: it stands in no timeline
        for name, hint in get_type_hints(kind.event, include_extras=True).items():
            if Instant in (hint, *get_args(hint)):
                seen += 1
                assert name == "at" or name.endswith("_at") or name in ("not_before", "until", "missed", "skipped"), (
                    kind,
                    name,
                )
    assert seen > len(KINDS)
