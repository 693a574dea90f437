"""Due events are gathered: timers ring on a grid, and the lead pays for it."""

from __future__ import annotations

import pytest

from libs.domain.state_kind import AT_ONCE
from tests.unit.scheduler.harness import LEAD_MS, NOW, Harness, asked, cancel, job


def test_jobs_of_neighbouring_instants_are_decided_together() -> None:
    """Owed 1, 9 and 16 ms from now, on a grid of 16: one decision for all three, at most a grid late and well before their time."""
    harness = Harness(gather_ms=16)
    for number, in_ms in enumerate((1, 9, 16)):
        harness.read(asked(job(number), in_ms=LEAD_MS + in_ms))

    assert harness.decider.next_decision_at() == NOW + 16
    assert harness.kinds(NOW + 15) == []
    assert harness.kinds(NOW + 16) == ["attempt.due"] * 3


def test_what_is_owed_already_waits_for_no_grid() -> None:
    """A job due at once, and a cancel, are decided as soon as they are read."""
    harness = Harness(gather_ms=16)
    harness.read(asked(job(1), in_ms=0))
    harness.read(asked(job(2), in_ms=60_000), cancel(job(2)))

    assert harness.decider.next_decision_at() == AT_ONCE
    assert sorted(harness.kinds(NOW + 7)) == ["attempt.due", "job.cancelled"]


@pytest.mark.parametrize("in_ms", range(1, 40))
def test_a_job_is_due_at_most_a_grid_later_and_never_before(in_ms: int) -> None:
    """Wherever its instant lies on the grid."""
    harness = Harness(gather_ms=16)
    harness.read(asked(in_ms=LEAD_MS + in_ms))
    at = harness.decider.next_decision_at()

    assert at is not None
    assert NOW + in_ms <= at < NOW + in_ms + 16
    assert harness.kinds(at) == ["attempt.due"]


@pytest.mark.parametrize(("lead_ms", "grid_ms"), [(75, 32), (64, 32), (20, 10), (1, 1)])
def test_half_of_the_lead_is_left_for_reading_and_loading(lead_ms: int, grid_ms: int) -> None:
    """However short the lead is that an operator sets."""
    harness = Harness(gather_ms=32, lead_ms=lead_ms)
    harness.read(asked(in_ms=lead_ms + 1))

    at = harness.decider.next_decision_at()
    assert at is not None
    assert at == NOW + 1 + -(NOW + 1) % grid_ms


def test_a_late_call_finds_all_that_is_owed_on_the_grid() -> None:
    """Between two points of the grid nothing of the later one is taken."""
    harness = Harness(gather_ms=16)
    harness.read(asked(job(1), in_ms=LEAD_MS + 10), asked(job(2), in_ms=LEAD_MS + 20))

    assert harness.kinds(NOW + 31) == ["attempt.due"]
    assert harness.decider.next_decision_at() == NOW + 32
