"""What was kept of the answer to an attempt, and the fields that say what is kept."""

from __future__ import annotations

from typing import Any

import pytest

from libs.domain.responses.captured import Captured, encode
from libs.events import Response
from services.api.service import ApiService
from tests.contract.harness import Harness
from tests.fakes.running.topologies import Client

URL = "https://example.com/x"
KEPT = Captured(
    headers={"server": "nginx"}, length=9_000, sha256="ab" * 32, head="<html>", tail="</html>", truncated=True
)


async def answered(api: Client, harness: Harness, captured: Captured | None = KEPT) -> str:
    """Return a job whose first attempt failed with what was kept of its answer."""
    job = await api.create(URL, 60, max_retries=1)
    await harness.fire(job["id"])
    response = None if captured is None else Response(data=encode(captured))
    await harness.finish(job["id"], ok=False, status_code=500, error="HTTP 500", response=response)
    return str(job["id"])


async def test_what_was_kept_is_shown(api: Client, harness: Harness) -> None:
    """All of it, with the status of the attempt."""
    job_id = await answered(api, harness)
    status, body, _ = await api.call("GET", f"/v1/jobs/{job_id}/executions/1/response")

    assert (status, body) == (
        200,
        {
            "status_code": 500,
            "headers": {"server": "nginx"},
            "length": 9_000,
            "sha256": "ab" * 32,
            "head": "<html>",
            "tail": "</html>",
            "truncated": True,
            "redacted": 0,
        },
    )


async def test_nothing_kept_is_404(api: Client, harness: Harness) -> None:
    """`no_response` for an attempt without one or that has not ended; `not_found` for what is no attempt."""
    job_id = await answered(api, harness, None)
    await harness.fire(job_id)
    codes = {}
    for number in ("1", "2", "3", "0", "01", "x", "99999"):
        status, body, _ = await api.call("GET", f"/v1/jobs/{job_id}/executions/{number}/response")
        codes[number] = (status, body["error"]["code"])

    missing = (404, "not_found")
    assert codes == {
        "1": (404, "no_response"),
        "2": (404, "no_response"),
        **dict.fromkeys(("3", "0", "01", "x", "99999"), missing),
    }


async def test_what_is_forgotten_is_410(api: Client, harness: Harness) -> None:
    """As soon as the owner decided that answers of that time are forgotten."""
    job_id = await answered(api, harness)
    harness.responses.forgotten_before = harness.clock.now() + 1_000

    status, body, _ = await api.call("GET", f"/v1/jobs/{job_id}/executions/1/response")

    assert (status, body["error"]["code"]) == (410, "response_forgotten")


async def test_an_answer_needs_the_scope_of_payloads(api: Client, harness: Harness, service: ApiService) -> None:
    """`read:jobs` alone shows no answer, and another account finds no job."""
    job_id = await answered(api, harness)
    path = f"/v1/jobs/{job_id}/executions/1/response"
    url = f"http://127.0.0.1:{service.port}"
    found = []
    for options in ({"scopes": ("read:jobs",)}, {"scopes": ("read:payloads",)}, {"account": "other"}):
        async with Client(url, harness.token(**options)) as client:  # type: ignore[arg-type]
            found.append((await client.call("GET", path))[0])

    assert found == [403, 200, 404]


async def test_the_timeline_shows_no_answer(api: Client, harness: Harness) -> None:
    """It needs `read:jobs` alone."""
    job_id = await answered(api, harness)
    _, body, _ = await api.call("GET", f"/v1/jobs/{job_id}/events")
    assert all("response" not in each for each in body["events"])


@pytest.mark.parametrize(
    "fields",
    [
        {"capture": "none"},
        {"capture": "always", "redact": ["password", "x" * 64]},
        {"redact": [f"name {number}" for number in range(20)]},
    ],
)
async def test_what_is_to_be_kept_is_shown(api: Client, fields: dict[str, Any]) -> None:
    """Jobs and schedules show it as it was given, and only then; a PATCH changes it, null takes it back."""
    job = await api.create(URL, 60, **fields)
    plain = await api.create(URL, 60, capture=None, redact=[])
    _, schedule, _ = await api.call("POST", "/v1/schedules", {"url": URL, "cron": "* * * * *", **fields})

    shown = await api.job(job["id"])
    of_schedule = (await api.call("GET", f"/v1/schedules/{schedule['id']}"))[1]
    assert {name: shown[name] for name in fields} == fields
    assert {name: of_schedule[name] for name in fields} == fields
    assert not {"capture", "redact"} & set(await api.job(plain["id"]))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"capture": "sometimes"}, "invalid_capture"),
        ({"capture": True}, "invalid_capture"),
        ({"capture": []}, "invalid_capture"),
        ({"redact": "password"}, "invalid_redact"),
        ({"redact": [""]}, "invalid_redact"),
        ({"redact": ["x" * 65]}, "invalid_redact"),
        ({"redact": ["a\nb"]}, "invalid_redact"),
        ({"redact": [1]}, "invalid_redact"),
        ({"redact": [str(number) for number in range(21)]}, "invalid_redact"),
    ],
)
async def test_wrong_fields_are_refused(api: Client, fields: dict[str, Any], code: str) -> None:
    """With the code of the field."""
    status, body, _ = await api.call("POST", "/v1/jobs", {"url": URL, "delay_seconds": 60, **fields})
    assert (status, body["error"]["code"]) == (400, code)


async def test_a_request_that_keeps_something_else_is_another(api: Client) -> None:
    """Under one idempotency key: `capture` is part of what was asked for."""
    request = {"url": URL, "delay_seconds": 60, "idempotency_key": "kept"}
    first = (await api.call("POST", "/v1/jobs", request))[0]
    other = (await api.call("POST", "/v1/jobs", {**request, "capture": "always"}))[0]
    assert (first, other) == (201, 409)
