"""Which earlier deliveries about its job a delivery waits for, and for how long."""

from __future__ import annotations

import pytest

from libs.domain.endpoints.delivery import EVENT_HEADER, ORDER_HEADER, SUBJECT_HEADER
from libs.domain.endpoints.fan_out import JobFacts, told_of
from libs.domain.endpoints.order import (
    LOOK_MS,
    UNDER_WAY_MS,
    WAIT_MAX_MS,
    WAITS_MAX,
    Pending,
    Wait,
    ordered_subject,
    wait_of,
)
from libs.domain.endpoints.webhook_event import of_disabling, of_end
from libs.events import AttemptDue
from libs.events.ids import new_job_id
from tests.fakes import events
from tests.unit.domain.endpoints.test_delivery import ENDPOINT_ID, delivery
from tests.unit.domain.endpoints.test_fan_out import FAILED, endpoint
from tests.unit.domain.endpoints.test_webhook_events import AT, JOB, URL, ended

OWN, OTHER = new_job_id(AT, 3, b"11111111"), new_job_id(AT, 3, b"22222222")
NOW = AT + 60_000


def due(attempt: int = 1, *, at: int = AT, not_before: int = NOW, too_late_at: int | None = None) -> AttemptDue:
    """Return the decision that a delivery about an event of *at* is due."""
    return events.due(OWN, at, attempt, account=ENDPOINT_ID, not_before=not_before, too_late_at=too_late_at)


def waits(
    pending: Pending, name: str = "job.failed", attempt: int = 1, now: int = NOW, **of_due: int | None
) -> Wait | None:
    """Return for how long a delivery of the event *name* waits for *pending*."""
    headers = {EVENT_HEADER: name, SUBJECT_HEADER: JOB, ORDER_HEADER: "job"}
    own = Pending(OWN, AT, NOW)
    return wait_of(due(attempt, **of_due), headers, [own, pending], now)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("at", "name", "does_wait"),
    [
        (AT - 1, "job.failed", True),
        (AT - 1, "attempt.failed", True),
        (AT, "job.failed", True),
        (AT, "attempt.failed", False),
        (AT + 1, "job.failed", False),
        (AT + 1, "attempt.failed", False),
    ],
)
def test_a_delivery_waits_for_events_before_its_own(at: int, name: str, does_wait: bool) -> None:
    """An attempt and the end of its job happen at one instant: the end is the later one. So no two wait for each other."""
    assert (waits(Pending(OTHER, at, NOW), name) is not None) is does_wait


def test_a_delivery_waits_for_nothing_if_nothing_else_is_pending() -> None:
    """What has ended is not pending, however it ended."""
    assert wait_of(due(), {EVENT_HEADER: "job.failed"}, [Pending(OWN, AT, NOW)], NOW) is None
    assert wait_of(due(), None, [], NOW) is None


def test_while_an_earlier_try_is_under_way_the_call_is_kept() -> None:
    """It looks again less and less often; what is under way for longer than a call takes waits for room, and nobody holds it."""
    under_way = Pending(OTHER, AT - 1, NOW)

    assert waits(under_way) == Wait(LOOK_MS, is_kept=True)
    assert waits(under_way, now=NOW + 3_000) == Wait(3_000, is_kept=True)
    assert waits(under_way, now=NOW + UNDER_WAY_MS) == Wait(60_000 + UNDER_WAY_MS, is_kept=False)
    first_try = Pending(OTHER, AT - 1, AT)
    assert waits(first_try, not_before=AT, now=AT + UNDER_WAY_MS) == Wait(UNDER_WAY_MS, is_kept=False)
    assert waits(under_way, now=NOW + 7_200_000) == Wait(WAIT_MAX_MS, is_kept=False)


def test_while_an_earlier_one_waits_for_its_next_try_so_does_a_later_one() -> None:
    """Its own next try is due a moment after that one."""
    assert waits(Pending(OTHER, AT - 1, NOW + 300_000)) == Wait(300_000 + LOOK_MS, is_kept=False)


def test_a_wait_ends() -> None:
    """After a hundred tries, and before the delivery's own policy would end it unsent."""
    earlier = Pending(OTHER, AT - 1, NOW + 300_000)

    assert waits(earlier, attempt=WAITS_MAX) is not None
    assert waits(earlier, attempt=WAITS_MAX + 1) is None
    assert waits(earlier, too_late_at=NOW + 300_000 + LOOK_MS + 1) is not None
    assert waits(earlier, too_late_at=NOW + 300_000 + LOOK_MS) is None


def test_what_is_told_in_order_says_of_which_job() -> None:
    """If its endpoint asks for it, and the event is about a job."""
    end = of_end(ended("failed"), schedule_id=None, host=None)

    assert ordered_subject(delivery(end, "job.failed", ordering="job").spec.headers) == JOB
    assert ordered_subject(delivery(end, "job.failed").spec.headers) is None
    disabling = of_disabling(ENDPOINT_ID, URL, "gone", AT)
    assert ordered_subject(delivery(disabling, "endpoint.disabled", ordering="job").spec.headers) is None
    assert ordered_subject(None) is None


def test_the_end_of_a_job_has_a_name_of_its_own() -> None:
    """By it the end is told from the attempt of the same instant."""
    told = told_of(ended("failed"), JobFacts("acme", attempt=FAILED), [endpoint("all", "*")])

    assert [each.name.startswith("job.") for each in told] == [False, True]
