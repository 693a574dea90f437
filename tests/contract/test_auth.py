"""Authentication, scopes and tenancy (tables A and T), tokens and signing secrets."""

from __future__ import annotations

import base64
import json

import pytest

from services.api.contract.token_text import new_token
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
    assert set(made) == {"id", "name", "scopes", "last_four", "created_at", "expires_at", "token"}
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
