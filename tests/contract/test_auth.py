"""Authentication, scopes and tenancy (tables A and T), tokens and signing secrets."""

from __future__ import annotations

import base64
import json

import pytest

from libs.domain.instants import rfc3339
from services.api.contract.token_text import SCOPES, new_token
from services.api.http import auth
from services.api.service import ApiService
from tests.contract.harness import Harness
from tests.contract.raw import exchange
from tests.fakes.running.topologies import Client

URL = "https://example.com/x"


@pytest.mark.parametrize(
    "header",
    [
        *("", "Basic Zm9vOmJhcg==", "Bearer", "Bearer ", "Bearer fliq_sk_junk", "Bearer " + "fliq_sk_" + "0" * 36),
        *("Bearer {token} x", "Bearer\t{token}", "Bearer {token}x", "Token {token}", "{token}"),
    ],
)
async def test_malformed(harness: Harness, service: ApiService, header: str) -> None:
    """A header that holds no well-formed token is 401 without a look at the tables (A1 to A3, A9)."""
    line = f"Authorization: {header.format(token=harness.token())}\r\n" if header else ""
    answer = await exchange(service.port, f"GET /v1/jobs HTTP/1.1\r\nHost: a\r\n{line}\r\n".encode())

    assert (answer.status, answer.code) == (401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert harness.tables.token_reads == 0


@pytest.mark.parametrize("scheme", ["bearer ", "BEARER ", "Bearer  ", "bEaReR    "])
async def test_case_4_the_scheme_is_case_insensitive(harness: Harness, service: ApiService, scheme: str) -> None:
    """RFC 9110 §11.1: in any case, with one or more spaces behind it."""
    line = f"Authorization: {scheme}{harness.token()}"
    answer = await exchange(service.port, f"GET /v1/jobs HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n".encode())

    assert answer.status == 200


async def test_two_headers_and_query(harness: Harness, service: ApiService) -> None:
    """Two Authorization headers are 401, and so is a token in the query string (A8, A9)."""
    token = harness.token()
    line = f"Authorization: Bearer {token}\r\n"
    for request in (
        f"GET /v1/jobs HTTP/1.1\r\nHost: a\r\n{line}{line}\r\n",
        f"GET /v1/jobs?token={token} HTTP/1.1\r\nHost: a\r\n\r\n",
        f"GET /v1/jobs?access_token={token} HTTP/1.1\r\nHost: a\r\n\r\n",
    ):
        assert (await exchange(service.port, request.encode())).status == 401


async def test_unknown_and_expired(harness: Harness, service: ApiService) -> None:
    """A token of the right shape that is unknown or expired is 401 (A4, A5)."""
    stranger = new_token(harness.entropy.entropy)
    expired = harness.token(expires_at=harness.clock.now() - 1)
    for token in (stranger, expired):
        async with Client(f"http://127.0.0.1:{service.port}", token) as client:
            status, body, _ = await client.call("GET", "/v1/jobs")
            assert (status, body["error"]["code"]) == (401, "unauthorized")


async def test_expiry_holds_while_remembered(harness: Harness, service: ApiService) -> None:
    """A token that expires while it is remembered is refused from that instant."""
    token = harness.token(expires_at=harness.clock.now() + 60_000)
    async with Client(f"http://127.0.0.1:{service.port}", token) as client:
        assert (await client.call("GET", "/v1/jobs"))[0] == 200
        harness.clock.ahead_ms = 61_000
        assert (await client.call("GET", "/v1/jobs"))[0] == 401


async def test_scopes(harness: Harness, service: ApiService) -> None:
    """A read token cannot change anything, a write token cannot read: 403 (A7)."""
    url = f"http://127.0.0.1:{service.port}"
    async with (
        Client(url, harness.token(scopes=("read",))) as reader,
        Client(url, harness.token(scopes=("write",))) as writer,
    ):
        created = await writer.create(URL, 60)
        assert (await reader.call("GET", f"/v1/jobs/{created['id']}"))[0] == 200
        for client, method, path in (
            (reader, "POST", "/v1/jobs"),
            (reader, "DELETE", f"/v1/jobs/{created['id']}"),
            (reader, "POST", "/v1/tokens"),
            (reader, "POST", "/v1/signing-secret/rotate"),
            (writer, "GET", "/v1/jobs"),
            (writer, "GET", f"/v1/jobs/{created['id']}"),
            (writer, "GET", "/v1/signing-secret"),
        ):
            status, body, _ = await client.call(method, path)
            assert (status, body["error"]["code"]) == (403, "forbidden")


NARROW = [
    ("read:jobs", "GET", "/v1/jobs"),
    ("read:jobs", "GET", "/v1/schedules"),
    ("read:secrets", "GET", "/v1/signing-secret"),
    ("read:tokens", "GET", "/v1/tokens"),
    ("write:jobs", "POST", "/v1/jobs"),
    ("write:jobs", "POST", "/v1/schedules"),
    ("write:secrets", "POST", "/v1/signing-secret/rotate"),
    ("write:tokens", "POST", "/v1/tokens"),
    ("read:webhooks", "GET", "/v1/webhooks/endpoints"),
    ("write:webhooks", "DELETE", "/v1/webhooks/endpoints/none"),
]


@pytest.mark.parametrize("scope", [each for each in SCOPES if ":" in each])
async def test_a_narrow_scope_opens_its_own_routes_only(harness: Harness, service: ApiService, scope: str) -> None:
    """`read:jobs` does not see secrets or tokens, and so on; the refusal names the scope that is missing."""
    async with Client(f"http://127.0.0.1:{service.port}", harness.token(scopes=(scope,))) as client:
        for needed, method, path in NARROW:
            status, body, _ = await client.call(method, path, {"scopes": [scope]} if path == "/v1/tokens" else {})
            if needed == scope:
                assert status in (200, 201, 400, 404), (needed, path, body)
            else:
                assert (status, body["error"]["code"]) == (403, "forbidden"), (needed, path)
                assert f"`{needed}`" in body["error"]["message"]


@pytest.mark.parametrize(
    ("scopes", "method", "shows"),
    [
        (("read",), "GET", True),
        (("read:jobs", "read:payloads"), "GET", True),
        (("read:jobs",), "GET", False),
        (("write",), "POST", True),
        (("write:jobs", "write:payloads"), "POST", True),
        (("write:jobs", "read:payloads"), "POST", False),
    ],
)
async def test_payloads_are_shown_by_their_scope(
    harness: Harness, api: Client, service: ApiService, scopes: tuple[str, ...], method: str, shows: bool
) -> None:
    """Without `payloads` a job or schedule is shown as in lists: no headers, no body, no webhook_headers."""
    wanted = {"url": URL, "headers": {"X-Key": "hush"}, "body": "hush", "webhook_headers": {"X-Key": "hush"}}
    job = await api.create(URL, 60, **{name: value for name, value in wanted.items() if name != "url"})
    _, schedule, _ = await api.call("POST", "/v1/schedules", wanted | {"cron": "0 8 * * *"})
    paths = [f"/v1/schedules/{schedule['id']}"]
    paths = [f"/v1/jobs/{job['id']}", *paths] if method == "GET" else [f"{paths[0]}/pause", f"{paths[0]}/resume"]
    async with Client(f"http://127.0.0.1:{service.port}", harness.token(scopes=scopes)) as client:
        for path in paths:
            status, body, _ = await client.call(method, path)
            assert status == 200, body
            assert ({"headers", "body", "webhook_headers"} <= body.keys()) is shows
            assert ("hush" in json.dumps(body)) is shows


async def test_another_accounts_ids(api: Client, other: Client) -> None:
    """Another account's job, schedule or token is like a missing one: same status, same bytes (T1)."""
    job = await api.create(URL, 60)
    _, schedule, _ = await api.call("POST", "/v1/schedules", {"url": URL, "cron": "0 8 * * *"})
    _, token, _ = await api.call("POST", "/v1/tokens", {})
    missing_job, missing_schedule = "job_" + "0" * 26, "sched_" + "0" * 26
    for method, path, theirs, missing in (
        ("GET", "/v1/jobs/{}", job["id"], missing_job),
        ("DELETE", "/v1/jobs/{}", job["id"], missing_job),
        ("GET", "/v1/jobs/{}/executions", job["id"], missing_job),
        ("GET", "/v1/jobs/{}/events", job["id"], missing_job),
        ("POST", "/v1/jobs/{}/replay", job["id"], missing_job),
        ("GET", "/v1/schedules/{}", schedule["id"], missing_schedule),
        ("DELETE", "/v1/schedules/{}", schedule["id"], missing_schedule),
        ("POST", "/v1/schedules/{}/pause", schedule["id"], missing_schedule),
        ("GET", "/v1/schedules/{}/jobs", schedule["id"], missing_schedule),
        ("DELETE", "/v1/tokens/{}", token["id"], "tok_" + "0" * 20),
    ):
        seen = await other.call(method, path.format(theirs))
        assert seen[0] == 404
        assert seen[:2] == (await other.call(method, path.format(missing)))[:2]
    assert (await api.job(job["id"]))["status"] == "scheduled"


async def test_lists_are_an_accounts_own(api: Client, other: Client) -> None:
    """Lists and cursors show nothing of another account (T3, P9)."""
    for _ in range(3):
        await api.create(URL + "/canary", 60)
    await api.call("POST", "/v1/schedules", {"url": URL + "/canary", "cron": "0 8 * * *"})
    _, page, _ = await api.call("GET", "/v1/jobs?limit=1")

    for path in ("/v1/jobs", "/v1/schedules", "/v1/tokens"):
        status, listed, _ = await other.call("GET", path)
        assert status == 200
        assert "canary" not in json.dumps(listed)
    status, body, _ = await other.call("GET", f"/v1/jobs?limit=1&cursor={page['next_cursor']}")
    assert (status, body["error"]["code"]) == (400, "invalid_cursor")


async def test_token_life(harness: Harness, api: Client, service: ApiService) -> None:
    """A token's secret is shown once, it works at once, and revoking it ends it here at once."""
    status, made, headers = await api.call("POST", "/v1/tokens", {"name": "ci", "scopes": ["read"]})
    assert status == 201
    assert set(made) == {"id", "name", "scopes", "last_four", "created_at", "expires_at", "parent", "token"}
    assert made["scopes"] == ["read"]
    assert made["token"].endswith(made["last_four"])
    assert headers["Cache-Control"] == "no-store"

    async with Client(f"http://127.0.0.1:{service.port}", made["token"]) as client:
        assert (await client.call("GET", "/v1/jobs"))[0] == 200
        _, listed, _ = await api.call("GET", "/v1/tokens")
        assert made["token"] not in json.dumps(listed)
        assert {name: value for name, value in made.items() if name != "token"} in listed["tokens"]
        assert (await api.call("DELETE", f"/v1/tokens/{made['id']}"))[0] == 204
        assert (await client.call("GET", "/v1/jobs"))[0] == 401
    assert (await api.call("DELETE", f"/v1/tokens/{made['id']}"))[0] == 404


async def test_revocation_reaches_other_replicas(
    harness: Harness, api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica that did not see the revocation refuses the token once its memory of it is too old."""
    assert auth.CACHE_TTL_S < 5
    monkeypatch.setattr(auth, "CACHE_TTL_S", 0.2)
    replica = await harness.replica()
    _, made, _ = await api.call("POST", "/v1/tokens", {})
    async with Client(f"http://127.0.0.1:{replica.port}", made["token"]) as client:
        assert (await client.call("GET", "/v1/jobs"))[0] == 200
        await api.call("DELETE", f"/v1/tokens/{made['id']}")
        while (await client.call("GET", "/v1/jobs"))[0] == 200:
            pass
        assert (await client.call("GET", "/v1/jobs"))[0] == 401


async def test_an_account_has_no_more_tokens_than_a_list_can_show(
    harness: Harness, service: ApiService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One too many is refused, until another is revoked."""
    monkeypatch.setattr("tests.contract.harness.TOKENS_MAX", 2)
    async with Client(f"http://127.0.0.1:{service.port}", harness.token("crowded")) as client:
        _, second, _ = await client.call("POST", "/v1/tokens", {})
        status, body, _ = await client.call("POST", "/v1/tokens", {})
        assert (status, body["error"]["code"]) == (409, "too_many_tokens")
        await client.call("DELETE", f"/v1/tokens/{second['id']}")
        assert (await client.call("POST", "/v1/tokens", {}))[0] == 201


async def test_a_token_cannot_outgrow_itself(harness: Harness, service: ApiService) -> None:
    """A token without `read` cannot make one that has it."""
    async with Client(f"http://127.0.0.1:{service.port}", harness.token(scopes=("write",))) as writer:
        assert (await writer.call("POST", "/v1/tokens", {"scopes": ["write"]}))[0] == 201
        status, body, _ = await writer.call("POST", "/v1/tokens", {})
        assert (status, body["error"]["code"]) == (403, "forbidden")


async def test_a_token_cannot_widen_a_scope(harness: Harness, service: ApiService) -> None:
    """One part of `write` does not make a token with another part, or with all of it."""
    async with Client(f"http://127.0.0.1:{service.port}", harness.token(scopes=("write:tokens",))) as client:
        assert (await client.call("POST", "/v1/tokens", {"scopes": ["write:tokens"]}))[0] == 201
        for scopes in (["write"], ["write:tokens", "write:jobs"], ["read:tokens"]):
            status, body, _ = await client.call("POST", "/v1/tokens", {"scopes": scopes})
            assert (status, body["error"]["code"]) == (403, "forbidden")
    async with Client(f"http://127.0.0.1:{service.port}", harness.token(scopes=("write",))) as client:
        assert (await client.call("POST", "/v1/tokens", {"scopes": ["write:jobs", "write:payloads"]}))[0] == 201


async def test_a_token_lives_no_longer_than_the_one_that_made_it(harness: Harness, service: ApiService) -> None:
    """Without an end of its own it gets its parent's; a later one is refused."""
    ends_at = harness.clock.now() + 3_600_000
    async with Client(f"http://127.0.0.1:{service.port}", harness.token(expires_at=ends_at)) as client:
        _, made, _ = await client.call("POST", "/v1/tokens", {})
        assert made["expires_at"] == rfc3339(ends_at)
        _, early, _ = await client.call("POST", "/v1/tokens", {"expires_at": rfc3339(ends_at - 60_000)})
        assert early["expires_at"] == rfc3339(ends_at - 60_000)
        status, body, _ = await client.call("POST", "/v1/tokens", {"expires_at": rfc3339(ends_at + 1)})
        assert (status, body["error"]["code"]) == (400, "invalid_expires_at")
        assert rfc3339(ends_at) in body["error"]["message"]


async def test_a_token_dies_with_the_one_that_made_it(harness: Harness, api: Client, service: ApiService) -> None:
    """And so do those that it made itself, at once on the replica that answers."""
    url = f"http://127.0.0.1:{service.port}"
    _, child, _ = await api.call("POST", "/v1/tokens", {"name": "child"})
    async with Client(url, child["token"]) as by_child:
        _, grandchild, _ = await by_child.call("POST", "/v1/tokens", {"name": "grandchild"})
        assert grandchild["parent"] == child["id"]
        async with Client(url, grandchild["token"]) as by_grandchild:
            assert (await by_grandchild.call("GET", "/v1/jobs"))[0] == 200
            assert (await api.call("DELETE", f"/v1/tokens/{child['id']}"))[0] == 204
            assert (await by_child.call("GET", "/v1/jobs"))[0] == 401
            assert (await by_grandchild.call("GET", "/v1/jobs"))[0] == 401


async def test_a_token_that_was_revoked_elsewhere_makes_none(harness: Harness, api: Client) -> None:
    """A replica that still remembers it as valid answers 401 instead of making a token that would outlive it."""
    replica = await harness.replica()
    _, made, _ = await api.call("POST", "/v1/tokens", {})
    async with Client(f"http://127.0.0.1:{replica.port}", made["token"]) as client:
        assert (await client.call("GET", "/v1/jobs"))[0] == 200
        await api.call("DELETE", f"/v1/tokens/{made['id']}")
        status, body, _ = await client.call("POST", "/v1/tokens", {})
        assert (status, body["error"]["code"]) == (401, "unauthorized")


async def test_the_last_token_that_manages_tokens_stays(harness: Harness, service: ApiService) -> None:
    """It cannot revoke itself, nor the parent that it would die with; with another one beside it, it can."""
    async with Client(f"http://127.0.0.1:{service.port}", harness.token("lone")) as client:
        [own] = (await client.call("GET", "/v1/tokens"))[1]["tokens"]
        await client.call("POST", "/v1/tokens", {"scopes": ["read", "write:jobs"]})
        _, child, _ = await client.call("POST", "/v1/tokens", {})
        async with Client(f"http://127.0.0.1:{service.port}", child["token"]) as by_child:
            for asking in (client, by_child):
                status, body, _ = await asking.call("DELETE", f"/v1/tokens/{own['id']}")
                assert (status, body["error"]["code"]) == (409, "last_token")
                assert "fliq tokens" in body["error"]["message"]
        harness.token("lone", scopes=("write:tokens",), expires_at=harness.clock.now() - 1)
        assert (await client.call("DELETE", f"/v1/tokens/{own['id']}"))[0] == 409
        harness.token("lone", scopes=("write:tokens",))
        assert (await client.call("DELETE", f"/v1/tokens/{own['id']}"))[0] == 204
        assert (await client.call("GET", "/v1/jobs"))[0] == 401


async def test_tokens_are_remembered(api: Client, harness: Harness) -> None:
    """Requests in a row cost one look at the tables."""
    for _ in range(20):
        await api.call("GET", "/v1/jobs")

    assert harness.tables.token_reads == 1


async def test_signing_secret(api: Client, other: Client) -> None:
    """An account has a `whsec_` secret of its own; rotated, the one before still signs."""
    status, first, _ = await api.call("GET", "/v1/signing-secret")
    assert status == 200
    assert len(base64.b64decode(first["secret"].removeprefix("whsec_"))) >= 24
    assert first["previous_secrets"] == []
    assert (await api.call("GET", "/v1/signing-secret"))[1] == first
    assert (await other.call("GET", "/v1/signing-secret"))[1] != first

    status, second, _ = await api.call("POST", "/v1/signing-secret/rotate")
    assert status == 200
    assert second["secret"] != first["secret"]
    assert second["previous_secrets"] == [first["secret"]]
    assert (await api.call("GET", "/v1/signing-secret"))[1] == second

    answers = [await api.call("POST", "/v1/signing-secret/rotate") for _ in range(9)]
    assert [status for status, _, _ in answers] == [200] * 8 + [409]
    assert answers[-1][1]["error"]["code"] == "too_many_signing_secrets"
    assert (await api.call("GET", "/v1/signing-secret"))[1] == answers[-2][1]


async def test_openapi_needs_no_token(service: ApiService) -> None:
    """The OpenAPI document is for everybody."""
    async with Client(f"http://127.0.0.1:{service.port}", None) as client:
        status, document, _ = await client.call("GET", "/v1/openapi.json")
    assert (status, document["openapi"]) == (200, "3.1.0")
