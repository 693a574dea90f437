"""
Tables U, H and B of the attack cases, over HTTP: what a running Fliq refuses, with which code, on every way in.

A case goes in as a job, as an item of a batch and, where it applies, as a schedule and as the webhook of one (R8).
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.contract.raw import exchange
from tests.fakes.running.stalls import Stalls
from tests.fakes.running.topologies import Client
from tests.unit.egress.test_url_table import MORE_REFUSED, TABLE_U

URL = "https://example.com/x"
AT = "2032-01-01T00:00:00Z"
JOB = {"url": URL, "scheduled_at": AT}
SCHEDULE = {"url": URL, "cron": "0 8 * * *"}


async def codes(client: Client, fields: dict[str, Any], *, also_schedule: bool = True) -> set[str]:
    """Send *fields* on every way in; return the codes of the refusals, `accepted` where there was none."""
    found = set()
    for path, body in (("/v1/jobs", JOB | fields), ("/v1/schedules", SCHEDULE | fields)):
        if path == "/v1/jobs" or also_schedule:
            status, answer, _ = await client.call("POST", path, body)
            assert status in (201, 400), answer
            found.add("accepted" if status == 201 else answer["error"]["code"])
    status, answer, _ = await client.call("POST", "/v1/jobs/batch", {"jobs": [JOB | fields]})
    (result,) = answer["results"] if status == 200 else [answer]
    found.add("accepted" if "job" in result else result["error"]["code"])
    return found


async def code_of_raw(client: Client, body: bytes) -> str:
    """POST *body* as it is to /v1/jobs; return the refusal's code."""
    status, answer, _ = await client.call("POST", "/v1/jobs", data=body, headers={"Content-Type": "application/json"})
    assert status == 400, answer
    return str(answer["error"]["code"])


def _is_text(url: str) -> bool:
    """Say whether JSON can carry *url*: a lone surrogate is refused before anybody asks what it points to."""
    return not any("\ud800" <= letter <= "\udfff" for letter in url)


# U, R8: addresses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "code"), [pytest.param(*row[1:], id=row[0]) for row in [*TABLE_U, *MORE_REFUSED] if _is_text(row[1])]
)
async def test_targets(strict: Client, url: str, code: str) -> None:
    """U1 to U44, and R8: an address where Fliq does not go is 400 as url and as webhook_url, of jobs and schedules."""
    assert await codes(strict, {"url": url}) == {code}
    assert await codes(strict, {"webhook_url": url}) == {code}


async def test_encoded_line_ends_stay_encoded(strict: Client) -> None:
    """U45: `%0d%0a` in a path is 201, and kept as it was written."""
    url = "https://h.example/a%0d%0aX:%20y"
    job = await strict.create(url, AT, webhook_url=url)
    shown = await strict.job(job["id"])

    assert (job["url"], shown["url"], shown["webhook_url"]) == (url, url, url)


async def test_refusals_tell_nothing_of_the_inside(strict: Client) -> None:
    """U, R9, case 1: a refusal names what the caller wrote and the rule it met, and nothing that Fliq would have to look up."""
    for url, cause in (
        ("http://127.0.0.1/", "127.0.0.1 is not a public address"),
        ("http://10.1.2.3:6379/", "10.1.2.3 is not a public address"),
        ("http://kafka/", "kafka is a name of an inside network"),
        ("http://no-such-service/", "no-such-service is a name of an inside network"),
        ("http://[::1]/", "::1 is not a public address"),
        ("http://h.example:22/", "port 22 is a port of another protocol than HTTP"),
    ):
        _, answer, _ = await strict.call("POST", "/v1/jobs", JOB | {"url": url})
        message = answer["error"]["message"]
        assert message.startswith(f"url must point to a public host and port: {cause}; an operator allows ")
        assert "FLIQ_EGRESS_ALLOW" in message


# H: method, headers, body ----------------------------------------------------------------------------------------------

HEADERS = [
    ("H1", {"X-A": "a\r\nX-B: b"}, "invalid_headers"),
    ("H2", {"X-A": "a\nb"}, "invalid_headers"),
    ("H3", {"X-A": "a\x00b"}, "invalid_headers"),
    ("H4", {"X: A": "b"}, "invalid_headers"),
    ("H5", {"X A": "b"}, "invalid_headers"),
    ("H6", {"": "b"}, "invalid_headers"),
    ("H7", {"Transfer-Encoding": "chunked"}, "reserved_header"),
    ("H8", {"Content-Length": "300"}, "reserved_header"),
    ("H9", {"Host": "internal"}, "reserved_header"),
    ("H10", {"Connection": "Upgrade", "Upgrade": "h2c"}, "reserved_header"),
    ("H11", {"Expect": "100-continue"}, "reserved_header"),
    *[
        ("H12 " + name, {name: "x"}, "reserved_header")
        for name in ("TE", "Trailer", "Keep-Alive", "Proxy-Authorization")
    ],
    ("H13 two spellings", {"X-Host": "a", "X-HOST": "b"}, "invalid_headers"),
    ("H13 51 headers", {f"X-{n}": "1" for n in range(51)}, "invalid_headers"),
    ("H13 5 kB", {"X-A": "x" * 5000}, "invalid_headers"),
    *[(f"H13 {value!r}", {"X-A": value}, "invalid_headers") for value in (1, None, ["a"], {"a": 1}, True)],
    ("H14", {"X-A": "日本"}, "invalid_headers"),
    ("H14 latin", {"X-A": "é"}, "invalid_headers"),
    *[
        ("H15 " + name, {name: "x"}, "reserved_header")
        for name in ("X-Fliq-Signature", "webhook-id", "X-FLIQ-Execution-Id", "Webhook-Timestamp")
    ],
    # A gateway's environment has one name for both spellings: HTTP_X_FLIQ_JOB_ID, HTTP_TRANSFER_ENCODING (RFC 3875 §4.1.18).
    *[
        ("H15 " + name, {name: "x"}, "reserved_header")
        for name in (
            "X_Fliq_Job_Id",
            "x-fliq_signature",
            "webhook_id",
            "Transfer_Encoding",
            "Content_Length",
            "Proxy_X",
        )
    ],
]


@pytest.mark.parametrize(("headers", "code"), [pytest.param(*row[1:], id=row[0]) for row in HEADERS])
@pytest.mark.parametrize("field", ["headers", "webhook_headers"])
async def test_headers(strict: Client, field: str, headers: dict[str, Any], code: str) -> None:
    """H1 to H15: a header that would split, smuggle, frame or impersonate is 400, for the call and for the webhook."""
    assert await codes(strict, {field: headers}) == {code}


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "GE T", "FOO", "G" * 10_000, "", "GET\r\n", None, 1])
async def test_methods(strict: Client, method: Any) -> None:
    """H16: a method that is none of the seven is 400; `get` is GET."""
    assert await codes(strict, {"http_method": method}) == {"invalid_http_method"}
    assert (await strict.create(URL, AT, http_method="get"))["http_method"] == "GET"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_body_of_a_bodiless_method(strict: Client, method: str) -> None:
    """H17: a GET or HEAD job with a body is 400; that is the one choice."""
    assert await codes(strict, {"http_method": method, "body": "x"}) == {"invalid_body"}


async def test_bodies(strict: Client) -> None:
    """H18: NUL is text and comes back; a lone surrogate, a byte beyond 256 KiB and what is no text are 400."""
    job = await strict.create(URL, AT, body="a\x00b")
    assert (await strict.job(job["id"]))["body"] == "a\x00b"
    assert await codes(strict, {"body": "é" * 131_072 + "x"}) == {"invalid_body"}
    for wrong in (1, [], {}, True):
        assert await codes(strict, {"body": wrong}) == {"invalid_body"}
    assert await code_of_raw(
        strict, b'{"url":"https://e.example","scheduled_at":"%s","body":"\\ud800"}' % AT.encode()
    ) == ("invalid_json")


# B: JSON, types, time, cron --------------------------------------------------------------------------------------------

DUPLICATE = json.dumps(JOB)[:-1].encode()
RAW = [
    ("B1", DUPLICATE + b',"url":"https://other.example"}', "duplicate_field"),
    ("B1 escaped", DUPLICATE + b',"\\u0075rl":"https://other.example"}', "duplicate_field"),
    ("B1 in headers", DUPLICATE + b',"headers":{"A":"1","A":"2"}}', "duplicate_field"),
    ("B2", b"\xef\xbb\xbf" + DUPLICATE + b"}", "invalid_json"),
    ("B3", DUPLICATE + b"} x", "invalid_json"),
    ("B4", b'{"a":' * 2000 + b"1" + b"}" * 2000, "invalid_json"),
    ("B4 lists", b"[" * 100_000, "invalid_json"),
    ("B5 NaN", DUPLICATE + b',"max_retries":NaN}', "invalid_json"),
    ("B5 1e400", DUPLICATE + b',"max_retries":1e400}', "invalid_json"),
    ("B6", DUPLICATE + b',"idempotency_key":"\\ud800"}', "invalid_json"),
    ("B7", DUPLICATE + b',"max_retries":' + b"1" * 40 + b"}", "invalid_max_retries"),
    ("B7 5,000 digits", DUPLICATE + b',"max_retries": ' + b"1" * 5000 + b"}", None),
    ("B18 empty", b"", "invalid_json"),
    ("B18 array", b"[]", "invalid_json"),
    ("B18 UTF-16", json.dumps(JOB).encode("utf-16"), "invalid_json"),
    ("B18 not UTF-8", DUPLICATE + b',"body":"\xff"}', "invalid_json"),
]


@pytest.mark.parametrize(("body", "code"), [pytest.param(*row[1:], id=row[0]) for row in RAW])
async def test_json(strict: Client, body: bytes, code: str | None) -> None:
    """B1 to B7, B18: what is not one strict JSON object is 400, never 500 and never half understood."""
    found = await code_of_raw(strict, body)
    assert found == code or (code is None and found in ("invalid_json", "invalid_max_retries"))


@pytest.mark.parametrize("value", [True, 3.5, "3", -1, 10**9, None, [], 21])
async def test_max_retries(strict: Client, value: Any) -> None:
    """B8: max_retries is an integer from 0 to 20 and nothing like one."""
    assert await codes(strict, {"max_retries": value}) == {"invalid_max_retries"}


@pytest.mark.parametrize("nul", ["\x00", "%00"])
async def test_nul(strict: Client, nul: str) -> None:
    """B9: NUL in a key, a URL, a header, a cron, a name, an id or a cursor is 400 or 404, never 500."""
    assert await codes(strict, {"idempotency_key": "a\x00"}, also_schedule=False) == {"invalid_idempotency_key"}
    assert await codes(strict, {"url": URL + "\x00"}) == {"invalid_url"}
    assert (await strict.call("POST", "/v1/tokens", {"name": "\x00"}))[0] == 400
    assert (await strict.call("POST", "/v1/schedules", SCHEDULE | {"cron": "0 8 * * *\x00"}))[0] == 400
    port = int(strict.url.rpartition(":")[2])
    for target in (
        f"/v1/jobs/{nul}",
        f"/v1/schedules/job_{nul}/jobs",
        f"/v1/jobs?cursor={nul}",
        f"/v1/tokens/tok_{nul}",
    ):
        method = "DELETE" if "tokens" in target else "GET"
        line = f"{method} {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {strict.token}\r\n\r\n"
        assert (await exchange(port, line.encode())).status in (400, 404)


INSTANTS = [
    *[("B10 " + text, text) for text in ("2020-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "0001-01-01T00:00:00Z")],
    *[
        ("B11 " + text, text)
        for text in (
            *("2032-04-01T09:00:00", "2032-04-01", "2032-W14-3", "20320401T090000Z", "2032-04-01x09:00:00Z"),
            *("2032-04-01T09Z", "2032-04-01T09:00:00,5Z", "2032-04-01 09:00:00Z", "2032-04-01T09:00Z"),
        )
    ],
    *[
        ("B12 " + text, text)
        for text in ("9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59.9999Z")
    ],
    *[
        (f"B13 {text}", text)
        for text in (
            *("2032-04-01T23:59:60Z", "2032-04-01T24:00:00Z", "2032-02-30T00:00:00Z", "2031-02-29T00:00:00Z"),
            *("2032-04-01T00:00:00+23:59:59.999999", "２０32-04-01T09:00:00Z", "2032-04-01T09:00:00+24:00", ""),
            *(
                1964422800,
                1964422800.0,
                True,
                [],
                "2032-04-01T09:00:00Z\n",
                "2032-04-01T09:00:00.Z",
                "-2032-04-01T09:00:00Z",
            ),
        )
    ],
]


@pytest.mark.parametrize("text", [pytest.param(row[1], id=row[0]) for row in INSTANTS])
async def test_instants(strict: Client, text: Any) -> None:
    """B10 to B13: past, naive, impossible and overflowing instants are 400 invalid_scheduled_at."""
    assert await codes(strict, {"scheduled_at": text}, also_schedule=False) == {"invalid_scheduled_at"}


CRONS = [
    *[
        ("B14 " + cron, cron)
        for cron in (
            *(
                "0 * * * * *",
                "* * * * * * *",
                "@reboot",
                "R * * * *",
                "H * * * *",
            ),
            *("*\x00* * * *", "", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *"),
        )
    ],
    ("B15 30 February", "0 0 30 2 *"),
    ("B15 a year", "* * * * * 0 2099"),
    ("B16", ",".join(["1"] * 100_000) + " * * * *"),
    ("B17 5-1", "5-1 * * * *"),
    ("B17 */0", "*/0 * * * *"),
]


@pytest.mark.parametrize("cron", [pytest.param(row[1], id=row[0]) for row in CRONS])
async def test_crons(strict: Client, stalls: Stalls, cron: str) -> None:
    """B14 to B17: what is no five-field rule, or never fires, is 400 invalid_cron, at once."""
    began_at = time.monotonic()
    status, answer, _ = await strict.call("POST", "/v1/schedules", SCHEDULE | {"cron": cron})

    assert (status, answer["error"]["code"]) == (400, "invalid_cron")
    assert time.monotonic() - began_at < 1 + 2 * stalls.longest_ms / 1000
