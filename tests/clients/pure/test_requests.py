"""What the client sends for each of its methods. No I/O."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from fliq_client import AsyncFliq, Fliq, job_request
from fliq_client.api import Jobs, Schedules
from fliq_client.call import Call, Request
from fliq_client.groups.account import Tokens

AT = datetime(2026, 4, 1, 9, 0, 0, 250, tzinfo=UTC)
URL = "https://example.com/charge"


class Noting:
    """An edge that notes the requests and answers nothing."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def run(self, call: Call[Any]) -> None:
        self.requests.append(call.request)


def sent(group: Any, method: str, *args: Any, **kwargs: Any) -> Request:
    """Return the request that the method sends."""
    edge, numbers = Noting(), itertools.count(1)
    getattr(group(edge, lambda: f"key {next(numbers)}"), method)(*args, **kwargs)
    (request,) = edge.requests
    return request


def body(request: Request) -> Any:
    return json.loads(request.content or b"null")


def test_a_job_is_asked_for_by_the_names_of_the_api() -> None:
    """`at` and `key` have their long names in the request; other fields go as they are."""
    request = sent(Jobs, "create", URL, at=AT, key="order 4711", max_retries=3, webhook_url=None)
    assert (request.method, request.path) == ("POST", "/v1/jobs")
    assert body(request) == {
        "url": URL,
        "scheduled_at": "2026-04-01T09:00:00.000250Z",
        "idempotency_key": "order 4711",
        "max_retries": 3,
        "webhook_url": None,
    }


def test_every_create_has_a_key() -> None:
    """Where the caller gives none, the client takes a new one."""
    assert body(sent(Jobs, "create", URL, at=AT))["idempotency_key"] == "key 1"
    assert sent(Schedules, "create", URL, cron="* * * * *").headers == (("Idempotency-Key", b"key 1"),)
    assert sent(Jobs, "replay", "job_1").headers == (("Idempotency-Key", b"key 1"),)
    batch = [job_request(URL, at=AT), job_request(URL, at=AT, key="mine"), job_request(URL, at=AT)]
    assert [job["idempotency_key"] for job in body(sent(Jobs, "create_many", batch))["jobs"]] == [
        "key 1",
        "mine",
        "key 2",
    ]


def test_a_key_may_be_in_any_language() -> None:
    """A header is sent in UTF-8."""
    request = sent(Schedules, "create", URL, cron="* * * * *", key="Auftrag ü")
    assert request.headers == (("Idempotency-Key", "Auftrag ü".encode()),)


@pytest.mark.parametrize("key", ["two\nlines", " x", "x ", "\x00"])
def test_a_header_cannot_carry_every_key(key: str) -> None:
    """Such a key is refused before anything is sent; nobody else's header can be smuggled in."""
    with pytest.raises(ValueError, match="is no key"):
        sent(Schedules, "create", URL, cron="* * * * *", key=key)


def test_keys_of_clients_differ() -> None:
    """No two calls share a key that they did not ask for."""
    with Fliq("http://127.0.0.1", "token") as one, Fliq("http://127.0.0.1", "token") as two:
        keys = [client.jobs._new_key() for client in (one, two) for _ in range(100)]
    assert len(set(keys)) == 200


@pytest.mark.parametrize("headers", [None, {"X-A": "1"}, {"content-type": "application/cloudevents+json"}])
def test_json_becomes_the_body(headers: dict[str, str] | None) -> None:
    """With a Content-Type, unless the caller says one."""
    asked = body(sent(Jobs, "create", URL, at=AT, json={"at": AT, "n": None}, headers=headers))
    assert json.loads(asked["body"]) == {"at": "2026-04-01T09:00:00.000250Z", "n": None}
    own = headers or {}
    assert asked["headers"] == (own if "content-type" in own else own | {"Content-Type": "application/json"})


def test_json_may_be_null() -> None:
    """None is a document; not given is no body."""
    assert body(sent(Jobs, "create", URL, at=AT, json=None))["body"] == "null"
    assert "body" not in body(sent(Jobs, "create", URL, at=AT))


def test_one_body_is_enough() -> None:
    """`json` and `body` exclude each other."""
    with pytest.raises(ValueError, match="json and body"):
        sent(Jobs, "create", URL, at=AT, json={}, body="x")


@pytest.mark.parametrize("naive", [datetime(2026, 4, 1), datetime.now()])
def test_an_instant_needs_a_time_zone(naive: datetime) -> None:
    """Which one was meant is not guessed; nothing is sent."""
    with pytest.raises(ValueError, match="scheduled_at has no time zone"):
        sent(Jobs, "create", URL, at=naive)
    with pytest.raises(ValueError, match="scheduled_at has no time zone"):
        sent(Jobs, "create_many", [job_request(URL, at=naive)])
    with pytest.raises(ValueError, match="expires_at has no time zone"):
        sent(Tokens, "create", expires_at=naive)


def test_an_offset_is_kept() -> None:
    """Any time zone will do."""
    berlin = timezone(timedelta(hours=2))
    asked = body(sent(Jobs, "create", URL, at=datetime(2026, 4, 1, 11, tzinfo=berlin)))
    assert datetime.fromisoformat(asked["scheduled_at"]) == datetime(2026, 4, 1, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "path"), [("a/b", "a%2Fb"), ("a?b#c", "a%3Fb%23c"), ("ü", "%C3%BC"), ("a b", "a%20b")]
)
def test_an_id_is_one_part_of_the_path(given: str, path: str) -> None:
    """Whatever stands in it cannot reach another route."""
    assert sent(Jobs, "get", given).path == f"/v1/jobs/{path}"


@pytest.mark.parametrize("given", ["", ".", ".."])
def test_an_id_does_not_climb(given: str) -> None:
    """An empty id would list jobs, and two dots would delete what is above."""
    with pytest.raises(ValueError, match="is no id"):
        sent(Jobs, "cancel", given)


def test_a_page_asks_for_what_is_given() -> None:
    """Parameters that are not given are not sent."""
    assert sent(Jobs, "page").query == ()
    assert sent(Jobs, "page", status="failed", limit=3).query == (("status", "failed"), ("limit", "3"))
    assert sent(Schedules, "jobs_page", "sched_1", cursor="a&b").query == (("cursor", "a&b"),)


@pytest.mark.parametrize("kind", [Fliq, AsyncFliq])
@pytest.mark.parametrize(
    ("url", "token", "reason"),
    [
        ("", "fliq_sk_x", "set FLIQ_URL"),
        ("ftp://example.com", "fliq_sk_x", "https://fliq.example.com"),
        ("fliq.example.com", "fliq_sk_x", "https://fliq.example.com"),
        ("http://", "fliq_sk_x", "not a URL"),
        ("http://[::1", "fliq_sk_x", "not a URL"),
        ("http://user:secret@example.com", "fliq_sk_x", "not a URL"),
        ("https://example.com/?a=1", "fliq_sk_x", "not a URL"),
        ("https://example.com", "", "set FLIQ_TOKEN"),
        ("https://example.com", "two\nlines", "token"),
        ("https://example.com", "fliq_sk_ü", "token"),
    ],
)
def test_a_client_without_url_or_token_says_so(kind: Any, url: str, token: str, reason: str) -> None:
    """It cannot be made, and names the setting."""
    with pytest.raises(ValueError, match=reason):
        kind(url, token)


def test_url_and_token_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`/v1` and a slash at the end of the URL do no harm."""
    monkeypatch.setenv("FLIQ_URL", "https://fliq.example.com/v1/")
    monkeypatch.setenv("FLIQ_TOKEN", "fliq_sk_x")
    with Fliq() as fliq:
        settings = fliq._edge._settings
    assert settings.url == "https://fliq.example.com"
    assert settings.headers["Authorization"] == "Bearer fliq_sk_x"


def test_the_methods_document_themselves() -> None:
    """`help(fliq.jobs.create)` shows the docstring and the parameters."""
    with Fliq("http://127.0.0.1", "token") as fliq:
        assert "idempotency key" in (fliq.jobs.create.__doc__ or "")
        assert "idempotency key" in (Jobs.create.__doc__ or "")
        assert fliq.jobs.create.__name__ == "create"
