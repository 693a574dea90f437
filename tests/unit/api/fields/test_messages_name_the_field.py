"""Refusals: whatever is wrong with a field, the caller is told which field it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from libs.egress.url_rules import EgressPolicy
from services.api.contract import request_fields, requests
from services.api.contract.api_error import ApiError
from services.api.contract.endpoints import endpoint_requests, recovery
from services.api.contract.endpoints.fields import ENDPOINT, ROTATION
from services.api.contract.field import Fields, Rules
from services.api.contract.schedules import backfill
from services.api.contract.schedules import fields as schedule_fields
from services.api.contract.schedules import requests as schedule_requests
from tests.property.calendar.made_zones import ZONES

CHECK = EgressPolicy.parse(None).check_url
NOW = 1_767_225_600_000  # 2026-01-01
URL = {"url": "https://example.com/x"}
SINCE = {"since": "2025-12-01T00:00:00Z"}
Read = Callable[[dict[str, Any]], object]
# Each kind of request: its table, a request that is taken, and how it is read.
REQUESTS: dict[str, tuple[Fields, dict[str, Any], Read]] = {
    "job": (
        request_fields.JOB,
        URL | {"scheduled_at": "2030-01-01T00:00:00Z"},
        lambda data: requests.job_request(data, Rules(CHECK)),
    ),
    "schedule": (
        schedule_fields.SCHEDULE,
        URL | {"cron": "0 8 * * *"},
        lambda data: schedule_requests.schedule_request(data, CHECK, NOW, ZONES),
    ),
    "preview": (
        schedule_fields.PREVIEW,
        {"cron": "0 8 * * *"},
        lambda data: schedule_requests.preview_request(data, NOW, ZONES),
    ),
    "pause": (schedule_fields.PAUSE, {}, lambda data: schedule_requests.pause_request(data, NOW)),
    "resume": (schedule_fields.RESUME, {}, schedule_requests.wants_catch_up),
    "backfill": (
        backfill.BACKFILL,
        SINCE | {"before": "2025-12-02T00:00:00Z"},
        lambda data: backfill.backfill_request(data, NOW),
    ),
    "token": (request_fields.TOKEN, {}, lambda data: requests.token_request(data, NOW)),
    "endpoint": (ENDPOINT, URL, lambda data: endpoint_requests.endpoint_request(data, CHECK)),
    "rotation": (ROTATION, {}, endpoint_requests.rotation_request),
    "recovery": (recovery.RECOVERY, SINCE, lambda data: recovery.recovery_request(data, NOW)),
}
NONSENSE: tuple[Any, ...] = (
    [[]], {"": []}, {"\x00": 1}, -1, 10**30, 1.5, "", "\x00", "x" * 20_000, True, [None], {"seconds": -1}, [1] * 2_000
)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, row.name) for kind, (table, _, _) in REQUESTS.items() for row in table.rows]
)
def test_a_refusal_names_the_field(kind: str, name: str) -> None:
    """Every field of every request refuses nonsense, and its name is in what is said."""
    _, taken, read = REQUESTS[kind]
    read(taken)  # is taken without the nonsense
    said = []
    for value in NONSENSE:
        try:
            read(taken | {name: value})
        except ApiError as error:
            said.append(error.message)

    assert said
    assert [message for message in said if name not in message] == []


@pytest.mark.parametrize(
    ("kind", "name", "meant"),
    [
        ("job", "delay_second", "delay_seconds"),
        ("job", "retries", "max_retries"),
        ("job", "Timeout", "timeout_seconds"),
        ("job", "method", "http_method"),
        ("schedule", "tz", None),
        ("schedule", "x" * 10_000, None),
    ],
)
def test_an_unknown_field_is_told_which_one_is_like_it(kind: str, name: str, meant: str | None) -> None:
    """The remedy stands in the line: the field that was meant, or the page that lists them all."""
    _, taken, read = REQUESTS[kind]
    with pytest.raises(ApiError) as refused:
        read(taken | {name: 5})
    assert refused.value.code == "unknown_field"
    assert len(refused.value.message) < 120
    assert refused.value.message.endswith(f"did you mean {meant!r}?" if meant else "docs/api.md lists the fields")


def test_a_url_that_is_refused_is_named_once() -> None:
    """By the name of its field, which is the subject of the sentence."""
    with pytest.raises(ApiError, match=r"^webhook_url must be absolute"):
        REQUESTS["job"][2](REQUESTS["job"][1] | {"webhook_url": "example.com"})
