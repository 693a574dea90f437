"""Jobs with a waiting key or a singleton key, as requests: every limit at its edge, with its code and what to do."""

from __future__ import annotations

from typing import Any

import pytest

from services.api.contract import requests
from services.api.contract.api_error import ApiError
from services.api.contract.field import Rules
from services.api.contract.fields.key_fields import JobKey
from services.api.contract.request_fields import JOB
from tests.unit.api.test_requests import CHECK

LONG = "k" * 255


def asked(**fields: Any) -> requests.JobRequest:
    return requests.job_request({"url": "https://example.com/", "delay_seconds": 5} | fields, Rules(CHECK))


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"waiting_key": "k"}, JobKey(kind="waiting", name="k", on_waiting="keep")),
        ({"waiting_key": LONG, "on_waiting": "keep"}, JobKey(kind="waiting", name=LONG, on_waiting="keep")),
        ({"waiting_key": "ü 1", "on_waiting": "replace"}, JobKey(kind="waiting", name="ü 1", on_waiting="replace")),
        ({"waiting_key": "k", "on_waiting": "extend"}, JobKey(kind="waiting", name="k", on_waiting="extend")),
        (
            {"waiting_key": "k", "on_waiting": "extend", "max_wait_seconds": 1},
            JobKey(kind="waiting", name="k", on_waiting="extend", max_wait_ms=1_000),
        ),
        (
            {"waiting_key": "k", "on_waiting": "extend", "max_wait_seconds": 31_536_000},
            JobKey(kind="waiting", name="k", on_waiting="extend", max_wait_ms=31_536_000_000),
        ),
        ({"singleton_key": LONG}, JobKey(kind="singleton", name=LONG)),
        ({"singleton_key": None, "waiting_key": None}, None),
        ({}, None),
    ],
)
def test_a_key_is_read(fields: dict[str, Any], key: JobKey | None) -> None:
    """With `keep` if on_waiting is left out; null is no key."""
    assert asked(**fields).key == key


WAITING, SINGLETON = "invalid_waiting_key", "invalid_singleton_key"


@pytest.mark.parametrize(
    ("fields", "code", "says"),
    [
        ({"waiting_key": ""}, WAITING, "waiting_key must be 1 to 255"),
        ({"waiting_key": LONG + "k"}, WAITING, "waiting_key must be 1 to 255"),
        ({"waiting_key": "a\nb"}, WAITING, "waiting_key must be 1 to 255 printable"),
        ({"waiting_key": 7}, WAITING, "waiting_key must be 1 to 255"),
        ({"singleton_key": ""}, SINGLETON, "singleton_key must be 1 to 255"),
        ({"singleton_key": LONG + "k"}, SINGLETON, "singleton_key must be 1 to 255"),
        ({"singleton_key": ["k"]}, SINGLETON, "singleton_key must be 1 to 255"),
        ({"waiting_key": "k", "on_waiting": "merge"}, WAITING, "on_waiting must be one of keep, replace, extend"),
        ({"waiting_key": "k", "on_waiting": None}, WAITING, "on_waiting must be one of"),
        ({"waiting_key": "k", "on_waiting": "extend", "max_wait_seconds": 0.999}, WAITING, "from 1 to 31,536,000"),
        ({"waiting_key": "k", "on_waiting": "extend", "max_wait_seconds": 31_536_001}, WAITING, "from 1 to 31,536,000"),
        ({"waiting_key": "k", "on_waiting": "extend", "max_wait_seconds": "60"}, WAITING, "from 1 to 31,536,000"),
        ({"waiting_key": "k", "max_wait_seconds": 60}, WAITING, "needs on_waiting to be extend"),
        ({"waiting_key": "k", "on_waiting": "replace", "max_wait_seconds": 60}, WAITING, "needs on_waiting"),
        ({"on_waiting": "replace"}, WAITING, "on_waiting says .* give waiting_key, too"),
        ({"max_wait_seconds": 60}, WAITING, "max_wait_seconds says .* give waiting_key, too"),
        ({"singleton_key": "k", "on_waiting": "keep"}, WAITING, "give waiting_key, too"),
        ({"waiting_key": "k", "singleton_key": "k"}, SINGLETON, "not both: leave one of them out"),
        ({"waiting_key": "k", "idempotency_key": "i"}, WAITING, "has no idempotency key: leave that out"),
        ({"singleton_key": "k", "idempotency_key": "i"}, SINGLETON, "has no idempotency key: leave that out"),
    ],
)
def test_what_is_no_key_is_refused(fields: dict[str, Any], code: str, says: str) -> None:
    """The message names the field and the remedy."""
    with pytest.raises(ApiError, match=says) as refused:
        asked(**fields)
    assert (refused.value.status, refused.value.code) == (400, code)


def test_a_header_is_an_idempotency_key_too() -> None:
    """It may not stand beside a key either."""
    with pytest.raises(ApiError, match="leave that out"):
        requests.job_request(
            {"url": "https://example.com/", "delay_seconds": 5, "waiting_key": "k"}, Rules(CHECK, key_header="i")
        )


def test_every_field_has_its_code() -> None:
    """The code of a row is that of its refusals."""
    codes = {row.name: row.code for row in JOB.rows}
    assert [codes[name] for name in ("waiting_key", "on_waiting", "max_wait_seconds", "singleton_key")] == [
        *[WAITING] * 3,
        SINGLETON,
    ]
