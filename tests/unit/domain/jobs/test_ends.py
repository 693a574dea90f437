"""The event that ended a job, made again from what is known of the job."""

from __future__ import annotations

from libs.domain.job import create, evolve
from libs.domain.jobs.ends import end_of
from libs.events import Event
from libs.events.ids import new_job_id
from tests.fakes import events

AT = 1_800_000_000_000
JOB = new_job_id(AT, 0, bytes(8))


def test_an_end_is_told_as_the_log_told_it() -> None:
    """A cancelled job, one that went well and one that failed have the end that stands in the log."""
    due = events.due(JOB, AT)
    answer = {"status_code": 500, "error": "HTTP 500"}
    lives: list[tuple[Event, ...]] = [
        (events.cancelled(JOB, AT + 5, spec_id=JOB),),
        (due, events.finished(JOB, AT, status_code=200), events.ended(JOB, AT + 5, status_code=200, spec_id=JOB)),
        (
            due,
            events.finished(JOB, AT, ok=False, **answer),
            events.ended(JOB, AT + 5, status="failed", status_code=500, last_error="HTTP 500", spec_id=JOB),
        ),
    ]
    for life in lives:
        state = create(events.asked(JOB, AT), 0)
        for position, event in enumerate(life, 1):
            state = evolve(state, event, position)
        assert end_of(state) == life[-1]


def test_an_end_without_an_instant_has_that_of_the_last_try() -> None:
    """A job that is asked about before its end was folded has no other."""
    assert end_of(create(events.asked(JOB, AT, fire_at=AT + 7), 0)).at == AT + 7
