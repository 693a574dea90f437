"""Whether the last runs of a schedule took longer than the time between them."""

from __future__ import annotations

import msgspec

from libs.domain import job as job_fold
from libs.domain.calendar.rule import Interval, Rule
from libs.domain.jobs.state import JobState
from libs.events.ids import new_job_id, new_schedule_id, tick_job_id
from services.api.contract.schedules.run_times import SLOWER, warning_about
from tests.fakes import events

NOW = 1_800_000_000_000
MINUTE = 60_000
SCHEDULE = new_schedule_id(NOW, 0, bytes(8))
EVERY_MINUTE = Rule(when=Interval(every_s=60, anchor_at=0))


def run(minutes_ago: int, took_ms: int | None, *, is_tick: bool = True) -> JobState:
    """Return the job of a tick; *took_ms* is None while it is under way."""
    at = NOW - minutes_ago * MINUTE
    job_id = tick_job_id(SCHEDULE, at) if is_tick else new_job_id(at, 0, bytes(8))
    return msgspec.structs.replace(
        job_fold.create(events.asked(job_id, at), 0),
        scheduled_at=at,
        started_at=at,
        completed_at=None if took_ms is None else at + took_ms,
    )


def found(*jobs: JobState) -> str | None:
    return warning_about(EVERY_MINUTE, SCHEDULE, jobs, NOW)


def test_three_slow_runs_in_a_row_are_told() -> None:
    """One that took exactly as long as its interval is not slow; one that is under way counts for as long as it has run."""
    assert found(run(3, MINUTE + 1), run(4, MINUTE + 1), run(5, MINUTE + 1), run(6, 1)) == SLOWER
    assert found(run(3, MINUTE), run(4, MINUTE + 1), run(5, MINUTE + 1)) is None
    assert found(run(2, None), run(3, None), run(4, None)) == SLOWER
    assert found(run(1, None), run(3, None), run(4, None)) is None


def test_fewer_than_three_say_nothing_and_runs_that_were_asked_for_are_passed_over() -> None:
    """A run that somebody asked for has no interval."""
    slow = [run(3, MINUTE + 1), run(4, MINUTE + 1)]

    assert found(*slow) is None
    assert found(slow[0], run(3, 1, is_tick=False), slow[1], run(9, MINUTE + 1)) == SLOWER


def test_the_last_tick_of_a_schedule_is_not_too_slow() -> None:
    """Nothing follows it."""
    last = Rule(when=Interval(every_s=60, anchor_at=0), ends_at=NOW - 3 * MINUTE)

    assert warning_about(last, SCHEDULE, [run(minutes, 9 * MINUTE) for minutes in (3, 4, 5)], NOW) is None
