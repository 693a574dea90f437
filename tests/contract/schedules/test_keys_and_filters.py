"""The key of a schedule when it is created, If-None-Match, and the filters of the list."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from libs.domain.instants import rfc3339
from tests.contract.harness import Harness
from tests.contract.schedules.test_changes import put
from tests.fakes.running.topologies import Client

URL = "https://example.com/digest"
DAY_MS = 86_400_000


async def post(api: Client, fields: dict[str, Any], **headers: str) -> tuple[int, Any, Any]:
    return await api.call("POST", "/v1/schedules", {"url": URL, "cron": "0 8 * * *", **fields}, headers=headers)


async def ids(api: Client, query: str) -> list[str]:
    status, body, _ = await api.call("GET", f"/v1/schedules?{query}")
    assert status == 200, body
    return [each["id"] for each in body["schedules"]]


async def test_a_schedule_is_created_under_a_key(api: Client) -> None:
    """The answer has the six fields of the contract; the key finds the schedule, also for a later PUT."""
    status, made, _ = await post(api, {"key": "report"})

    assert (status, set(made)) == (201, {"id", "url", "cron", "status", "created_at", "next_run_at"})
    _, found, _ = await api.call("GET", "/v1/schedules/by-key/report")
    assert (found["id"], found["key"], found["version"]) == (made["id"], "report", 1)
    assert (await put(api, "report", {}))[2]["Fliq-Change"] == "unchanged"


async def test_a_key_is_of_one_schedule_at_a_time(api: Client) -> None:
    """Another create is 409 key_taken, whatever it asks for; once the schedule is deleted the key is free."""
    _, made, _ = await post(api, {"key": "report"})

    for fields in ({}, {"body": "other"}):
        status, refused, _ = await post(api, {"key": "report", **fields})
        assert (status, refused["error"]["code"]) == (409, "key_taken")
        assert made["id"] in refused["error"]["message"]
    await api.call("DELETE", f"/v1/schedules/{made['id']}")
    status, again, _ = await post(api, {"key": "report"})
    assert status == 201
    assert again["id"] != made["id"]


async def test_a_repeat_with_an_idempotency_key_is_the_same_schedule(api: Client) -> None:
    """It is not refused because of the key that it took itself."""
    answers = [await post(api, {"key": "report"}, **{"Idempotency-Key": "one"}) for _ in range(2)]
    other = await post(api, {"key": "other"}, **{"Idempotency-Key": "one"})

    assert [status for status, _, _ in answers] == [201, 201]
    assert answers[0][1] == answers[1][1]
    assert answers[1][2]["Idempotent-Replayed"] == "true"
    assert (other[0], other[1]["error"]["code"]) == (409, "idempotency_key_reused")


async def test_concurrent_creates_under_a_key_make_one_schedule(api: Client, harness: Harness) -> None:
    """Of twenty that differ, on two replicas, one is answered 201, and it is the one that there is."""
    second = Client(f"http://127.0.0.1:{(await harness.replica()).port}", api.token)
    async with second:
        answers = await asyncio.gather(
            *[post((api, second)[n % 2], {"key": "report", "body": str(n)}) for n in range(20)]
        )

    assert sorted(status for status, _, _ in answers) == [201] + [409] * 19
    assert await ids(api, "") == [made["id"] for status, made, _ in answers if status == 201]


@pytest.mark.parametrize("key", ["", "a" * 129, "a b", "\u00e4", "a/b", 7, ["a"]])
async def test_what_is_no_key(api: Client, key: Any) -> None:
    """1 to 128 letters, digits, dots, underscores, tildes and dashes."""
    status, body, _ = await post(api, {"key": key})

    assert (status, body["error"]["code"]) == (400, "invalid_key")
    assert (await post(api, {"key": "A" * 128}))[0] == 201


async def test_the_key_in_the_body_of_a_put_is_that_of_the_path(api: Client) -> None:
    """Another one is refused; and a patch cannot change it."""
    assert (await put(api, "report", {"key": "report"}))[0] == 201
    status, body, _ = await put(api, "report", {"key": "other"})
    _, found, _ = await api.call("GET", "/v1/schedules/by-key/report")
    changed = await api.call("PATCH", f"/v1/schedules/{found['id']}", {"key": "other"})

    assert (status, body["error"]["code"]) == (400, "invalid_key")
    assert (changed[0], changed[1]["error"]["code"]) == (400, "unknown_field")


async def test_if_none_match_makes_something_new_or_nothing(api: Client) -> None:
    """The second is 412 and changes nothing; only * is understood, and not beside If-Match."""
    first = await put(api, "report", {}, **{"If-None-Match": "*"})
    second = await put(api, "report", {"body": "other"}, **{"If-None-Match": "*"})
    _, found, _ = await api.call("GET", "/v1/schedules/by-key/report")

    assert first[0] == 201
    assert (second[0], second[1]["error"]["code"]) == (412, "version_conflict")
    assert (found["version"], found["body"]) == (1, None)
    for headers in ({"If-None-Match": '"v1"'}, {"If-None-Match": "*", "If-Match": "*"}):
        status, body, _ = await put(api, "report", {}, **headers)
        assert (status, body["error"]["code"]) == (400, "invalid_if_match")


async def test_the_list_is_filtered_by_status(api: Client, harness: Harness) -> None:
    """Each schedule has one status, which GET shows; a pause with an end ends by itself."""
    _, active, _ = await post(api, {})
    _, paused, _ = await post(api, {})
    _, away, _ = await post(api, {"timezone": "Asia/Tokyo"})
    _, done, _ = await post(api, {"cron": None, "every": {"seconds": 60}, "max_runs": 1})
    await api.call("POST", f"/v1/schedules/{paused['id']}/pause")
    until = rfc3339(harness.clock.now() + DAY_MS)
    await api.call("POST", f"/v1/schedules/{away['id']}/pause", {"until": until})
    await harness.tick(done["id"])

    assert await ids(api, "status=active") == [active["id"]]
    assert await ids(api, "status=paused") == [away["id"], paused["id"]]
    assert await ids(api, "status=finished") == [done["id"]]
    assert await ids(api, "status=paused&limit=1") == [away["id"]]
    harness.clock.ahead_ms = DAY_MS + 60_000
    assert away["id"] in await ids(api, "status=active")


async def test_the_list_is_filtered_by_key(api: Client) -> None:
    """One schedule or none; a deleted one is none, and a status counts as well."""
    await post(api, {})
    _, made, _ = await post(api, {"key": "report"})

    assert await ids(api, "key=report") == [made["id"]]
    assert await ids(api, "key=report&status=paused") == []
    assert await ids(api, "key=other") == []
    await api.call("DELETE", f"/v1/schedules/{made['id']}")
    assert await ids(api, "key=report") == []


@pytest.mark.parametrize(
    ("query", "code"),
    [("status=scheduled", "invalid_status"), ("key=a%20b", "invalid_key"), ("owner=x", "invalid_parameter")],
)
async def test_what_the_list_refuses(api: Client, query: str, code: str) -> None:
    """A status that schedules do not have, what is no key, an unknown parameter."""
    status, body, _ = await api.call("GET", f"/v1/schedules?{query}")

    assert (status, body["error"]["code"]) == (400, code)


async def test_a_cursor_belongs_to_its_filter(api: Client) -> None:
    """A page of another status does not take it."""
    for _ in range(2):
        await post(api, {})
    _, first, _ = await api.call("GET", "/v1/schedules?status=active&limit=1")

    assert len(await ids(api, f"status=active&limit=1&cursor={first['next_cursor']}")) == 1
    status, body, _ = await api.call("GET", f"/v1/schedules?status=paused&cursor={first['next_cursor']}")
    assert (status, body["error"]["code"]) == (400, "invalid_cursor")


async def test_a_dry_run_says_what_would_happen(api: Client) -> None:
    """Nothing is made or changed; what a `PUT` refuses is refused, and the schedule is shown as it is."""
    dry = "/v1/schedules/by-key/foretold?dry_run=true"
    report = {"url": URL, "cron": "0 2 * * *"}
    assert (await api.call("PUT", dry, report))[0] == 404
    assert (await api.call("GET", "/v1/schedules/by-key/foretold"))[0] == 404
    _, made, _ = await api.call("PUT", "/v1/schedules/by-key/foretold", report)

    status, shown, headers = await api.call("PUT", dry, report)
    assert (status, shown["id"], headers["Fliq-Change"]) == (200, made["id"], "unchanged")
    status, shown, headers = await api.call("PUT", dry, report | {"cron": "0 3 * * *"})
    assert (status, shown["cron"], shown["version"], headers["Fliq-Change"]) == (200, "0 2 * * *", 1, "updated")

    assert (await api.call("PUT", dry, report, headers={"If-Match": '"v9"'}))[0] == 412
    assert (await api.call("PUT", dry, report, headers={"If-None-Match": "*"}))[0] == 412
    assert (await api.call("PUT", dry, report | {"cron": "soon"}))[0] == 400
    status, body, _ = await api.call("PUT", "/v1/schedules/by-key/foretold?dry_run=perhaps", report)
    assert (status, body["error"]["code"]) == (400, "invalid_parameter")
    assert (await api.call("GET", "/v1/schedules/by-key/foretold"))[1]["version"] == 1
