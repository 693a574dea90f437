"""When an endpoint is disabled, and when it is not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from libs.domain.endpoints.health import Health, after_failure, disabling_reason

HOUR = 3_600_000
DAY = 24 * HOUR


def failing(hours: Sequence[float]) -> tuple[Health, str | None]:
    """Return the run after failures at *hours*, and why the endpoint is disabled then."""
    health = None
    for hour in hours:
        health = after_failure(health, round(hour * HOUR))
    assert health is not None
    return health, disabling_reason(health, 503)


def test_the_first_failure_begins_a_run() -> None:
    """A run has one instant at first, and disables nothing."""
    assert failing([7]) == (Health(7 * HOUR, 7 * HOUR), None)


@pytest.mark.parametrize(
    ("hours", "reason"),
    [
        ([*range(120)], None),  # one hour less than five days
        ([*range(121)], "failing"),
        ([0, 12, 120], "failing"),  # twelve hours count, however long it is quiet within five days
        ([0, 11, 120], None),  # a shorter run is forgotten after a day
        ([0, 24, 48, 72, 96, 120], "failing"),  # a failure a day
        ([0, 25, 50, 75, 100, 125], None),  # each is a run of its own
        (
            [0, 28, 28 + 121],
            None,
        ),  # one delivery was given up, and the next event failed once, more than five days later
    ],
)
def test_five_days_of_failures_disable(hours: list[float], reason: str | None) -> None:
    """An endpoint is disabled when nothing but failures came for five days; rare ones disable nothing."""
    assert failing(hours)[1] == reason


def test_something_delivered_ends_a_run() -> None:
    """After a delivery the next failure begins a run of its own."""
    health, _ = failing([*range(119)])
    assert disabling_reason(health, 500) is None

    assert disabling_reason(after_failure(None, 121 * HOUR), 500) is None


def test_410_disables_at_once() -> None:
    """A receiver that answers 410 wants no more."""
    assert disabling_reason(after_failure(None, 0), 410) == "gone"


def test_a_failure_that_is_counted_late_shortens_no_run() -> None:
    """Of two failures that are counted in the wrong order the later one is the last."""
    assert after_failure(Health(0, 5 * HOUR), 3 * HOUR) == Health(0, 5 * HOUR)
