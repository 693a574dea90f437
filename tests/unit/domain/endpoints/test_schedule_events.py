"""What endpoints are told of schedules: ticks that were missed or left out, and schedules that paused themselves."""

from __future__ import annotations

import json

import pytest

from libs.domain.endpoints.endpoint import EndpointConfig, Filter, is_understood, name_for
from libs.domain.endpoints.fan_out import asks_for_schedules, of_schedule, told_of_schedule
from libs.domain.instants import rfc3339
from libs.events import ScheduleAutopaused, ScheduleTicked
from tests.fakes import events
from tests.unit.domain.endpoints.test_delivery import ENDPOINT_ID, delivery
from tests.unit.domain.endpoints.test_fan_out import endpoint
from tests.unit.domain.endpoints.test_webhook_events import AT, URL, A, B

MINUTE_MS = 60_000
PLAIN = events.ticked(A, AT)
MISSED = events.ticked(A, AT, at=AT + 5, missed_count=2, missed=(AT - 2 * MINUTE_MS, AT - MINUTE_MS))
SKIPPED = events.ticked(A, AT, action="skipped", reason="overlap", skipped=(AT,))
AUTOPAUSED = ScheduleAutopaused(schedule_id=A, account="acme", at=AT, failures=3, version=1)


@pytest.mark.parametrize(
    ("decision", "said"),
    [
        (PLAIN, []),
        (events.ticked(A, AT, action="buffered", reason="overlap"), []),
        (
            MISSED,
            [
                {
                    "schedule_id": A,
                    "missed_count": 2,
                    "missed": [rfc3339(AT - 2 * MINUTE_MS), rfc3339(AT - MINUTE_MS)],
                    "decided_at": rfc3339(AT + 5),
                }
            ],
        ),
        (SKIPPED, [{"schedule_id": A, "reason": "overlap", "skipped": [rfc3339(AT)], "decided_at": rfc3339(AT)}]),
        (AUTOPAUSED, [{"schedule_id": A, "failures": 3, "paused_at": rfc3339(AT)}]),
    ],
)
def test_what_is_said_of_a_decision_about_a_schedule(
    decision: ScheduleTicked | ScheduleAutopaused, said: list[dict[str, object]]
) -> None:
    """Of a tick like any other nothing is said."""
    assert [dict(event.data) for event in of_schedule(decision)] == said


def test_a_tick_may_have_missed_some_and_left_one_out() -> None:
    """These are two events, each for who asks for it."""
    both = events.ticked(A, AT, missed_count=1, missed=(AT - 1,), action="skipped", reason="overlap", skipped=(AT,))
    endpoints = [endpoint("m", "schedule.missed"), endpoint("s", "schedule.skipped"), endpoint("j", "job.failed")]

    told = [(each.endpoint.endpoint_id, each.name) for each in told_of_schedule(both, endpoints)]

    assert told == [("m", "schedule.missed"), ("s", "schedule.skipped")]
    assert [asks_for_schedules(each) for each in endpoints] == [True, True, False]
    assert asks_for_schedules(endpoint("all", "*"))


@pytest.mark.parametrize(
    ("wanted", "is_told"),
    [
        (Filter(schedule_ids=(A,)), True),
        (Filter(schedule_ids=(B,)), False),
        (Filter(labels=("tenant:acme",)), True),
        (Filter(labels=("tenant:zeta",)), False),
        (Filter(labels=("tenant:acme", "env:prod")), False),
        (Filter(hosts=("a.example",), status_codes=(500,)), True),
    ],
)
def test_a_filter_judges_it_by_the_schedule_and_its_labels(wanted: Filter, is_told: bool) -> None:
    """A schedule has neither host nor status."""
    config = EndpointConfig(url=URL, events=("schedule.autopaused",), filter=wanted)

    (event,) = of_schedule(AUTOPAUSED, {"tenant": "acme"})

    assert (name_for(config, event) is not None) is is_told


def test_each_has_a_delivery_of_its_own() -> None:
    """Of one instant: each kind, each schedule and each tick is another one; made twice it is the same."""
    others = [
        events.ticked(B, AT, at=AT + 5, missed_count=1),
        events.ticked(A, AT + 1, at=AT + 5, missed_count=1),
        events.ticked(A, AT, at=AT + 5, action="skipped", skipped=(AT,)),
    ]
    made = [delivery(event, event.names[0]) for decision in (MISSED, *others) for event in of_schedule(decision)]
    (again,) = [delivery(event, event.names[0]) for event in of_schedule(MISSED)]

    assert len({each.job_id for each in made}) == 4
    assert made[0] == again
    assert (made[0].account, made[0].idempotency_key) == (ENDPOINT_ID, None)


def test_a_cloud_event_is_about_the_schedule() -> None:
    """Its subject is the schedule's id."""
    (event,) = of_schedule(SKIPPED)

    assert json.loads(delivery(event, event.names[0], format="cloudevents").spec.body or "")["subject"] == A


def test_an_endpoint_of_a_newer_build_is_known_as_such() -> None:
    """It asks for an event that this build does not know; `*` asks for what there is."""
    assert not is_understood(EndpointConfig(url=URL, events=("job.failed", "flow.held")))
    assert is_understood(EndpointConfig(url=URL, events=("job.failed", "*")))
