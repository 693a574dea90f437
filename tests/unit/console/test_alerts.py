"""What the overview calls wrong."""

from __future__ import annotations

from typing import Any

import pytest

from libs.domain.endpoints import webhook_event
from services.api.contract.fields.event_filter import EVENT_TYPES
from services.console.pages.alerts import ROLES, alerts_of
from services.console.pages.events import EVENTS
from services.console.pages.webhooks.webhook_list import EVENTS as WEBHOOK_EVENTS

NOW = 1_796_000_000_000  # 2026-11-30T00:53:20Z
ACTIVITY: dict[str, Any] = {"due": 0, "oldest_due_at": None, "lateness": None}
LATENESS = {"calls": 9, "p50_ms": 1, "p99_ms": 4, "max_ms": 9_000}


def account(limit: int | None = None, used: int = 7) -> dict[str, Any]:
    return {"limits": {"executions_per_day": limit}, "use": {"executions_today": used}}


def system(*roles: str, node: str | None = "a", end: int | None = 3) -> dict[str, Any]:
    return {
        "members": [{"role": role, "live": True} for role in roles],
        "partitions": [{"end": end, "owners": [{"role": role, "node": node} for role in roles]}],
    }


def texts(**given: Any) -> list[str]:
    return [each.text for each in alerts_of(NOW, **{"account": account(), "activity": ACTIVITY, **given})]


def test_nothing_is_wrong_with_what_is_well() -> None:
    """Nor with what the token may not see, a job due this minute, one late call of many, an endpoint that people disabled."""
    off = {"id": "whe_1", "url": "u", "disabled": True, "disabled_reason": None}
    due = ACTIVITY | {"due": 3, "oldest_due_at": "2026-11-30T00:53:00Z", "lateness": LATENESS}

    assert texts(activity=None) == []
    assert texts(activity=due, endpoints=[off], system=system(*ROLES), account=account(limit=8)) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"activity": ACTIVITY | {"due": 1, "oldest_due_at": "2026-11-30T00:50:20Z"}}, ["1 job is overdue, the oldest by 3 min."]),
        ({"activity": ACTIVITY | {"due": 9, "oldest_due_at": "2026-11-30T00:50:20Z"}, "account": account(limit=7)},
         ["The 7 executions of this day (UTC) are used up: due jobs wait for the next day."]),
        ({"activity": ACTIVITY | {"lateness": LATENESS | {"p99_ms": 1_500}}},
         ["Calls leave late: of those of the last hour one in a hundred by more than 1.5 s."]),
        ({"endpoints": [{"id": "whe_1", "url": "u", "disabled": True, "disabled_reason": "gone"}]},
         ["Fliq disabled the webhook endpoint u: it answered 410."]),
        ({"system": system("dispatcher", "webhooks")}, ["No scheduler process is alive: nothing is decided, and no job fires."]),
        ({"system": system(*ROLES, end=None)}, ["The log does not answer: nothing can be created or cancelled."]),
        ({"system": system("scheduler", "dispatcher", "webhooks", node=None)},
         ["1 partition without a scheduler process: there nothing is decided, and no job fires.",
          "1 partition without a dispatcher process: there no call is made.",
          "1 partition without a webhooks process: there no webhook is sent."]),
    ],
)  # fmt: skip
def test_each_alert_says_what_it_means(given: dict[str, Any], said: list[str]) -> None:
    """By the thresholds of the alerts of Prometheus."""
    assert texts(**given) == said


def test_the_pages_know_every_event() -> None:
    """The console imports nothing of the API, so the names stand there a second time."""
    assert set(EVENTS) == set(EVENT_TYPES)
    assert set(WEBHOOK_EVENTS) == set(webhook_event.EVENTS)
