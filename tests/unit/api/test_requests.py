"""Every rule of the contract for jobs, schedules and tokens (tables H and B)."""

from __future__ import annotations

import gc
import time
import tracemalloc
from typing import Any

import msgspec
import pytest

from libs.egress.url_rules import EgressPolicy
from libs.events import ScheduleRule
from services.api.contract import requests
from services.api.contract.api_error import ApiError
from services.api.contract.error_codes import CODES
from services.api.contract.field import Rules
from services.api.contract.instants import parse_instant
from services.api.contract.json_body import Duplicated
from services.api.contract.request_fields import METHODS
from services.api.contract.schedules.requests import ScheduleRequest, schedule_request
from tests.property.calendar.made_zones import ZONES

CHECK = EgressPolicy.parse(None).check_url
JOB: dict[str, Any] = {"url": "https://example.com/x", "scheduled_at": "2030-01-01T00:00:00Z"}
NOW = parse_instant("2026-01-01T00:00:00Z") or 0


def job(key_header: str | None = None, **fields: Any) -> requests.JobRequest:
    return requests.job_request(JOB | fields, Rules(CHECK, key_header=key_header))


def refusal(**fields: Any) -> str:
    with pytest.raises(ApiError) as refused:
        job(**fields)
    assert refused.value.status == 400
    assert CODES[refused.value.code][0] == 400
    return refused.value.code


def test_defaults() -> None:
    """What is optional has the documented defaults."""
    request = job()

    assert request.spec.method == "POST"
    assert request.spec.timeout_ms == 30_000
    assert request.max_retries == 0
    assert request.idempotency_key is None
    assert (request.spec.headers, request.spec.body, request.spec.webhook_url) == (None, None, None)


@pytest.mark.parametrize("field", ["headers", "body", "idempotency_key", "webhook_url", "webhook_headers"])
def test_null_is_absent(field: str) -> None:
    """Where GET may show null, null means the same as leaving the field out."""
    assert job(**{field: None}) == job()


@pytest.mark.parametrize("field", ["url", "scheduled_at", "http_method", "max_retries", "timeout_seconds"])
def test_null_is_refused(field: str) -> None:
    """Elsewhere null is no value."""
    refusal(**{field: None})


@pytest.mark.parametrize("data", [[], "x", 1, None, True, [JOB]])
def test_not_an_object(data: Any) -> None:
    """A job request is an object."""
    with pytest.raises(ApiError, match="object") as refused:
        requests.job_request(data, Rules(CHECK))
    assert refused.value.code == "invalid_json"


def test_unknown_and_repeated_fields() -> None:
    """Unknown fields are refused by name, and so are repeated ones, also inside headers."""
    assert refusal(shceduled_at="x") == "unknown_field"
    assert refusal(cron="* * * * *") == "unknown_field"
    assert refusal(headers=Duplicated("A")) == "duplicate_field"
    with pytest.raises(ApiError, match="'url'"):
        requests.job_request(Duplicated("url"), Rules(CHECK))


@pytest.mark.parametrize("missing", ["url", "scheduled_at"])
def test_required(missing: str) -> None:
    """The two required fields are asked for by name."""
    with pytest.raises(ApiError, match=f"{missing} is required") as refused:
        requests.job_request({name: value for name, value in JOB.items() if name != missing}, Rules(CHECK))
    assert refused.value.code == f"invalid_{missing}"


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://127.0.0.1/", "url_not_allowed"),
        ("http://[::1]/", "url_not_allowed"),
        ("http://localhost/", "url_not_allowed"),
        ("http://2130706433/", None),
        ("file:///etc/passwd", "invalid_url"),
        ("//h.example/", "invalid_url"),
        ("http://h.example:25/", "url_not_allowed"),
        ("http://exa mple/", "invalid_url"),
        ("https://example.com/" + "x" * 3000, "invalid_url"),
        (7, "invalid_url"),
        ("", "invalid_url"),
    ],
)
@pytest.mark.parametrize("field", ["url", "webhook_url"])
def test_urls(field: str, url: Any, code: str | None) -> None:
    """The egress policy judges url and webhook_url alike, and its code is the answer's."""
    given = refusal(**{field: url})

    assert given in ("invalid_url", "url_not_allowed")
    assert code is None or given == code


@pytest.mark.parametrize("method", METHODS)
def test_methods(method: str) -> None:
    """The seven methods are taken in any letter case."""
    assert job(http_method=method).spec.method == method
    assert job(http_method=method.lower()).spec.method == method


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "GE T", "FOO", "", "G" * 10_000, 7, ["GET"], "\u0131", "GET\n"])
def test_other_methods(method: Any) -> None:
    """Anything else is refused (H16)."""
    assert refusal(http_method=method) == "invalid_http_method"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_no_body_with(method: str) -> None:
    """A GET or HEAD job with a body is refused, an empty one too (H17)."""
    assert refusal(http_method=method, body="x") == "invalid_body"
    assert refusal(http_method=method, body="") == "invalid_body"
    assert job(http_method=method).spec.body is None


def test_body() -> None:
    """A body is text of at most 256 KiB in UTF-8; NUL is text (H18)."""
    assert job(body="\x00").spec.body == "\x00"
    assert job(body="").spec.body == ""
    assert len(job(body="x" * 262_144).spec.body or "") == 262_144
    assert job(body="\U0001f600" * 65_536).spec.body
    assert refusal(body="x" * 262_145) == "invalid_body"
    assert refusal(body="\U0001f600" * 65_536 + "x") == "invalid_body"
    wrong: Any
    for wrong in (1, {}, [], True):
        assert refusal(body=wrong) == "invalid_body"


@pytest.mark.parametrize("field", ["headers", "webhook_headers"])
@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "a\r\nX-B: b"},  # H1
        {"X-A": "a\nb"},
        {"X-A": "a\x00"},
        {"X: A": "b"},  # H4
        {"X A": "b"},
        {"": "b"},
        {"X-A\r\n": "b"},
        {"host2": "1", "HOST2": "2"},  # H13
        {f"X-{n}": "1" for n in range(51)},
        {"X-A": "x" * 4097},
        {"X" * 129: "1"},
        {"X-A": 1},
        {"X-A": None},
        {"X-A": ["1"]},
        {"X-A": "日本"},  # H14
        {"X-A": "\xe9"},
        {"日": "1"},
        {f"X-{n}": "x" * 4000 for n in range(5)},  # 16 KiB in all
        [],
        "X-A: 1",
        [["X-A", "1"]],
    ],
)
def test_malformed_headers(field: str, headers: Any) -> None:
    """What cannot stand in an HTTP header, or not in bounds, is invalid_headers."""
    assert refusal(**{field: headers}) == "invalid_headers"


@pytest.mark.parametrize(
    "name",
    [
        *("Transfer-Encoding", "Content-Length", "Host", "Connection", "Upgrade", "Expect", "TE", "Trailer"),
        *("Keep-Alive", "Proxy-Authorization", "proxy-connection", "X-Fliq-Signature", "webhook-id"),
        *("X-FLIQ-Execution-Id", "x-fliq-anything", "Webhook-Signature"),
    ],
)
def test_reserved_headers(name: str) -> None:
    """What Fliq or the connection sets cannot be set by the caller (H7 to H12, H15)."""
    assert refusal(headers={name: "x"}) == "reserved_header"
    assert refusal(webhook_headers={name: "x"}) == "reserved_header"


def test_names_that_are_too_long_are_not_remembered() -> None:
    """Judged names stay in memory: those of a hostile caller may be as long as a request."""
    assert job(headers={"X-Ours": "1"}).spec.headers  # remembered by now
    tracemalloc.start()
    try:
        for number in range(50):
            assert refusal(headers={f"X-{number}-".ljust(200_000, "x"): "1"}) == "invalid_headers"
        gc.collect()  # what an error that was raised still holds
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()


def test_headers_at_their_limits() -> None:
    """50 headers, 128 characters of name, 4 KiB of value are taken; no headers at all are none."""
    assert len(job(headers={f"X-{n}": "1" for n in range(50)}).spec.headers or {}) == 50
    assert job(headers={"X" * 128: "x" * 4096}).spec.headers
    assert job(headers={"Idempotency-Key": "mine", "A": "tab\there"}).spec.headers
    assert job(headers={}).spec.headers is None


@pytest.mark.parametrize("retries", [True, "3", -1, 21, 10**9, None, [], 1.5, float(10**39)])
def test_max_retries(retries: Any) -> None:
    """max_retries is an integer from 0 to 20 and nothing that resembles one (B8)."""
    assert refusal(max_retries=retries) == "invalid_max_retries"
    assert job(max_retries=20).max_retries == 20


@pytest.mark.parametrize("timeout", [0, 3601, -1, True, 1.5, "30", None])
def test_timeout(timeout: Any) -> None:
    """timeout_seconds is an integer from 1 to 3600."""
    assert refusal(timeout_seconds=timeout) == "invalid_timeout_seconds"
    assert job(timeout_seconds=3600).spec.timeout_ms == 3_600_000


@pytest.mark.parametrize("key", ["", "x" * 256, "a\x00b", "a\nb", 1, True, [], "\u200b"])
def test_idempotency_key(key: Any) -> None:
    """A key is 1 to 255 printable characters (B9)."""
    assert refusal(idempotency_key=key) == "invalid_idempotency_key"
    assert job(idempotency_key="k" * 255).idempotency_key == "k" * 255
    assert job(idempotency_key="schlüssel 1").idempotency_key == "schlüssel 1"


def test_idempotency_header() -> None:
    """The header does as well as the field; both must agree."""
    assert job(key_header="k").idempotency_key == "k"
    assert job(key_header="k", idempotency_key="k").idempotency_key == "k"
    assert refusal(key_header="k", idempotency_key="other") == "invalid_idempotency_key"
    assert refusal(key_header="") == "invalid_idempotency_key"
    assert refusal(key_header="\udcff") == "invalid_idempotency_key"


@pytest.mark.parametrize("text", ["2030-01-01T00:00:00", "tomorrow", 1893456000, True, {}, "9" * 100_000])
def test_scheduled_at(text: Any) -> None:
    """What is not RFC 3339 text is invalid_scheduled_at."""
    assert refusal(scheduled_at=text) == "invalid_scheduled_at"


def test_schedulable() -> None:
    """scheduled_at is after now and at most the last instant of the year 9999 (B10, B12)."""
    limit = parse_instant("9999-12-31T23:59:59.999Z") or 0
    asked = job()
    requests.check_schedulable(msgspec.structs.replace(asked, fire_at=NOW + 1), NOW)
    requests.check_schedulable(msgspec.structs.replace(asked, fire_at=limit), NOW)

    for at in (
        NOW,
        NOW - 1,
        limit + 1,
        parse_instant("9999-12-31T23:59:59.9999Z"),
        parse_instant("9999-12-31T23:59:59-01:00"),
        parse_instant("0001-01-01T00:00:00+01:00"),
    ):
        with pytest.raises(ApiError) as refused:
            requests.check_schedulable(msgspec.structs.replace(asked, fire_at=at or 0), NOW)
        assert refused.value.code == "invalid_scheduled_at"


@pytest.mark.parametrize("retries", [1.0, 20.0, -0.0])
def test_case_16_a_whole_number_is_an_integer(retries: float) -> None:
    """JSON has one kind of number, and the published schema takes 1.0 for an integer."""
    request = job(max_retries=retries, timeout_seconds=30.0)

    assert (request.max_retries, type(request.max_retries)) == (int(retries), int)
    assert (request.spec.timeout_ms, type(request.spec.timeout_ms)) == (30_000, int)


def test_hash_is_of_the_meaning() -> None:
    """Requests that mean the same have one hash, others another."""
    plain = requests.request_hash(job(headers={"A": "1", "B": "2"}))

    assert plain == requests.request_hash(
        job(headers={"b": "2", "a": "1"}, http_method="post", max_retries=0, scheduled_at="2030-01-01T01:00:00+01:00")
    )
    assert plain == requests.request_hash(job(headers={"A": "1", "B": "2"}, idempotency_key="k"))
    for change in (
        {"url": "https://example.com/y"},
        {"http_method": "PUT"},
        {"scheduled_at": "2030-01-01T00:00:00.001Z"},
        {"headers": {"A": "1"}},
        {"body": ""},
        {"max_retries": 1},
        {"timeout_seconds": 31},
        {"webhook_url": "https://example.com/w"},
        {"webhook_headers": {"A": "1"}},
        {"retry": {}},
        {"success_on": ["404"]},
        {"expires_at": "2031-01-01T00:00:00Z"},
        {"expires_in_seconds": 60},
    ):
        assert requests.request_hash(job(**({"headers": {"A": "1", "B": "2"}} | change))) != plain


@pytest.mark.parametrize("jobs", [None, {}, "x", [], [{}] * 1001])
def test_batch(jobs: Any) -> None:
    """A batch is a list of 1 to 1,000 items."""
    with pytest.raises(ApiError) as refused:
        requests.batch_items({"jobs": jobs})
    assert refused.value.code == "invalid_jobs"
    assert len(requests.batch_items({"jobs": [{}] * 1000})) == 1000


def schedule(**fields: Any) -> ScheduleRequest:
    return schedule_request({"url": JOB["url"], "cron": "0 8 * * 1-5"} | fields, CHECK, NOW, ZONES)


def test_schedule() -> None:
    """A schedule of five fields in UTC is the one of the first contract."""
    request = schedule(max_retries=2)

    assert request.is_plain
    assert request.rule == ScheduleRule(cron="0 8 * * 1-5")
    assert request.max_retries == 2


@pytest.mark.parametrize(
    "cron",
    [
        *("* * * * * *", "* * * * * * 2099", "@every 5m", "@reboot", "R * * * *", "H * * * *", "L * * * *"),
        *("0 0 32W * *", "0 0 * * 5#6", "0\x000 * * *", "0 0 30 2 *", "5-1 * * * *", "60 * * * *"),
        *("", None, 5, "* * * *", "* * * * ?"),
    ],
)
def test_bad_cron(cron: Any) -> None:
    """Outside the grammar, or never firing within five years: invalid_cron (B14, B15)."""
    with pytest.raises(ApiError) as refused:
        schedule(cron=cron)
    assert refused.value.code == "invalid_cron"


def test_long_cron_is_refused_at_once() -> None:
    """A list of 200 kB costs less than 5 ms (B16)."""
    text = ",".join(["1"] * 100_000) + " * * * *"
    began_s = time.thread_time()  # of this thread alone: what else the machine does is not counted

    with pytest.raises(ApiError):
        schedule(cron=text)
    assert time.thread_time() - began_s < 0.005


def test_schedule_fields() -> None:
    """A schedule has neither scheduled_at nor an idempotency key."""
    for field in ("scheduled_at", "idempotency_key"):
        with pytest.raises(ApiError) as refused:
            schedule(**{field: "x"})
        assert refused.value.code == "unknown_field"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"name": ""}, "invalid_name"),
        ({"name": "x" * 101}, "invalid_name"),
        ({"name": "a\nb"}, "invalid_name"),
        ({"name": None}, "invalid_name"),
        ({"scopes": []}, "invalid_scopes"),
        ({"scopes": ["admin"]}, "invalid_scopes"),
        ({"scopes": "read"}, "invalid_scopes"),
        ({"scopes": [["read"]]}, "invalid_scopes"),
        ({"expires_at": "2025-01-01T00:00:00Z"}, "invalid_expires_at"),
        ({"expires_at": "9000-01-01T00:00:00Z"}, "invalid_expires_at"),
        ({"expires_at": 5}, "invalid_expires_at"),
        ({"account": "other"}, "unknown_field"),
    ],
)
def test_bad_tokens(fields: dict[str, Any], code: str) -> None:
    """A token has a printable name, known scopes, and ends in the future."""
    with pytest.raises(ApiError) as refused:
        requests.token_request(fields, NOW)
    assert refused.value.code == code


def test_token() -> None:
    """Scopes are kept once each."""
    request = requests.token_request({"scopes": ["write", "read", "read"]}, NOW)

    assert request.scopes == ("read", "write")
    assert request.expires_at is None
