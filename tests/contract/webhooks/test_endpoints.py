"""Webhook endpoints, sentence by sentence of the contract."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.contract.harness import Harness
from tests.fakes.running.client import instant_ms
from tests.fakes.running.topologies import Client

pytestmark = pytest.mark.everywhere("kafka")

ALL = "/v1/webhooks/endpoints"
URL = "https://example.com/hook"
UNKNOWN = "whe_01m8mfsb6j000hnbjj6f4rh1ft"
LISTED = [
    *("id", "url", "events", "filter", "format", "description", "include_response"),
    *("ordering", "disabled", "retry", "disabled_reason"),
    *("created_at", "changed_at", "version"),
]


async def create(api: Client, **fields: Any) -> dict[str, Any]:
    """Return a new endpoint."""
    status, endpoint, headers = await api.call("POST", ALL, {"url": URL, **fields})
    assert status == 201, endpoint
    assert headers["Etag"] == '"v1"'
    return dict(endpoint)


async def refused(api: Client, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, str]:
    """Return status and code of a request that is refused."""
    status, answer, _ = await api.call(method, path, body, **options)
    return status, answer["error"]["code"]


async def test_created_with_defaults(api: Client) -> None:
    """POST needs a URL alone: failed jobs are told in the standard format, in order."""
    endpoint = await create(api)

    assert list(endpoint) == [*LISTED, "headers"]
    assert endpoint["id"].startswith("whe_")
    assert endpoint["url"] == URL
    assert (endpoint["events"], endpoint["filter"], endpoint["headers"]) == (["job.failed"], None, None)
    assert (endpoint["format"], endpoint["description"], endpoint["include_response"]) == ("standard", "", False)
    assert (endpoint["ordering"], endpoint["disabled"], endpoint["disabled_reason"]) == ("none", False, None)
    assert endpoint["version"] == 1
    assert endpoint["created_at"] == endpoint["changed_at"]
    assert (endpoint["retry"]["max_retries"], endpoint["retry"]["delays_seconds"]) == (
        7,
        [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000],
    )


async def test_shown_as_asked_for(api: Client, other: Client) -> None:
    """GET shows every field; a list has no headers; another account sees nothing."""
    schedule = "sched_01m8mfsb6j000hnbjj6f4rh1ft"
    asked = {
        "url": "https://example.com/hook?a=1",
        "events": ["*", "job.failed", "endpoint.disabled"],
        "filter": {"schedule_ids": [schedule, schedule], "hosts": ["A.example", "[::1]"], "status_codes": [503, 429.0]},
        "format": "cloudevents",
        "headers": {"Authorization": "Bearer x"},
        "description": "für die Wache",
        "include_response": True,
        "ordering": "job",
        "disabled": True,
    }
    endpoint = await create(api, **asked)

    assert endpoint["events"] == ["job.failed", "endpoint.disabled", "*"]
    assert endpoint["filter"] == {
        "schedule_ids": [schedule],
        "hosts": ["a.example", "[::1]"],
        "status_codes": [503, 429],
    }
    assert (endpoint["disabled"], endpoint["disabled_reason"]) == (True, "requested")
    same = ("url", "format", "headers", "description", "include_response", "ordering")
    assert {name: endpoint[name] for name in same} == {name: asked[name] for name in same}
    status, shown, headers = await api.call("GET", f"{ALL}/{endpoint['id']}")
    assert (status, shown, headers["Etag"]) == (200, endpoint, '"v1"')
    second = await create(api)
    _, listed, _ = await api.call("GET", ALL)
    newest_first = sorted((second, endpoint), key=lambda each: each["id"], reverse=True)
    assert listed == {"endpoints": [{name: each[name] for name in LISTED} for each in newest_first]}
    assert (await other.call("GET", ALL))[1] == {"endpoints": []}
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/secret"), ("POST", "/secret/rotate")):
        assert await refused(other, method, f"{ALL}/{endpoint['id']}{path}") == (404, "not_found")
    assert await refused(other, "PATCH", f"{ALL}/{endpoint['id']}", {}) == (404, "not_found")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"url": None}, "invalid_url"),
        ({"url": "ftp://example.com"}, "invalid_url"),
        ({"url": "http://10.0.0.1/"}, "url_not_allowed"),
        ({"events": []}, "invalid_events"),
        ({"events": "job.failed"}, "invalid_events"),
        ({"events": ["job.failed", "job.made"]}, "invalid_events"),
        ({"events": [["job.failed"]]}, "invalid_events"),
        ({"events": None}, "invalid_events"),
        ({"filter": []}, "invalid_filter"),
        ({"filter": {"flow": ["a*"]}}, "invalid_filter"),
        ({"filter": {"labels": ["a"]}}, "invalid_filter"),
        ({"filter": {"labels": ["a:"]}}, "invalid_filter"),
        ({"filter": {"labels": ["A:b"]}}, "invalid_filter"),
        ({"filter": {"labels": [{"a": "b"}]}}, "invalid_filter"),
        ({"filter": {"labels": ["a:" + "b" * 129]}}, "invalid_filter"),
        ({"filter": {"labels": [f"a:{number}" for number in range(21)]}}, "invalid_filter"),
        ({"filter": {"hosts": []}}, "invalid_filter"),
        ({"filter": {"hosts": [f"h{number}" for number in range(21)]}}, "invalid_filter"),
        ({"filter": {"hosts": ["a.example:80"]}}, "invalid_filter"),
        ({"filter": {"hosts": ["h" * 256]}}, "invalid_filter"),
        ({"filter": {"hosts": ["http://a.example"]}}, "invalid_filter"),
        ({"filter": {"schedule_ids": ["job_01m8mfsb6j000hnbjj6f4rh1ft"]}}, "invalid_filter"),
        ({"filter": {"status_codes": [99]}}, "invalid_filter"),
        ({"filter": {"status_codes": [600]}}, "invalid_filter"),
        ({"filter": {"status_codes": [True]}}, "invalid_filter"),
        ({"filter": {"status_codes": ["503"]}}, "invalid_filter"),
        ({"format": "xml"}, "invalid_format"),
        ({"headers": {"webhook-id": "1"}}, "reserved_header"),
        ({"order": "job"}, "unknown_field"),
        ({"retry": {"max_retries": 21}}, "invalid_retry"),
        ({"retry": {"max_elapsed_seconds": 604_801}}, "invalid_retry"),
        ({"description": "d" * 201}, "invalid_description"),
        ({"description": "two\nlines"}, "invalid_description"),
        ({"disabled": "no"}, "invalid_disabled"),
        ({"include_response": 1}, "invalid_include_response"),
        ({"ordering": "account"}, "invalid_ordering"),
        ({"ordering": True}, "invalid_ordering"),
        ({"secret": "whsec_"}, "unknown_field"),
    ],
)
async def test_refused(api: Client, fields: dict[str, Any], code: str) -> None:
    """A rule that is broken has its code, when an endpoint is made and when one is changed."""
    endpoint = await create(api)

    assert await refused(api, "POST", ALL, {"url": URL, **fields}) == (400, code)
    if None not in fields.values() or "url" in fields:  # null sets the default
        assert await refused(api, "PATCH", f"{ALL}/{endpoint['id']}", fields) == (400, code)


async def test_at_the_limits(api: Client) -> None:
    """Twenty values in each list of a filter and 200 characters of description are taken."""
    wanted = {
        "hosts": [f"h{number:02}" for number in range(20)],
        "status_codes": [100, 599, *range(200, 218)],
        "schedule_ids": [f"sched_{number:026}" for number in range(20)],
        "labels": ["a" * 63 + ":" + "ü" * 128, *(f"a:{number}" for number in range(19))],
    }
    endpoint = await create(api, filter=wanted, description="d" * 200)

    assert endpoint["filter"] == wanted
    retry = (await create(api, retry={"max_retries": 20, "max_elapsed_seconds": 604_800}))["retry"]
    assert (retry["max_retries"], retry["max_elapsed_seconds"], retry["backoff"]) == (20, 604_800, "exponential")
    assert (await create(api, filter={}))["filter"] is None


async def test_changed(api: Client) -> None:
    """PATCH changes what it names; null sets the default; what changes nothing makes no version."""
    endpoint = await create(
        api, headers={"A": "1"}, filter={"hosts": ["a.example"], "status_codes": [500]}, description="d"
    )
    path = f"{ALL}/{endpoint['id']}"

    status, changed, headers = await api.call(
        "PATCH", path, {"events": ["*"], "description": None, "headers": {"B": "2"}, "filter": {"hosts": None}}
    )

    assert status == 200, changed
    assert (headers["Etag"], changed["version"]) == ('"v2"', 2)
    assert (changed["events"], changed["description"]) == (["*"], "")
    assert (changed["headers"], changed["filter"]) == ({"A": "1", "B": "2"}, {"status_codes": [500]})
    assert changed["created_at"] == endpoint["created_at"]
    assert instant_ms(changed["changed_at"]) >= instant_ms(changed["created_at"])
    assert (await api.call("GET", path))[1] == changed
    for nothing in ({}, {"events": ["*"]}, {"disabled": False}):
        assert (await api.call("PATCH", path, nothing))[1] == changed
    _, disabled, _ = await api.call("PATCH", path, {"disabled": True})
    assert (disabled["disabled"], disabled["disabled_reason"], disabled["version"]) == (True, "requested", 3)
    _, enabled, _ = await api.call("PATCH", path, {"disabled": None})
    assert (enabled["disabled"], enabled["disabled_reason"], enabled["version"]) == (False, None, 4)
    assert await refused(api, "PATCH", path, []) == (400, "invalid_json")
    _, patient, _ = await api.call("PATCH", path, {"retry": {"max_retries": 3, "backoff": "fixed"}})
    _, more, _ = await api.call("PATCH", path, {"retry": {"max_retries": 4}})
    assert more["retry"] == patient["retry"] | {"max_retries": 4}
    assert (await api.call("PATCH", path, {"retry": None}))[1]["retry"] == endpoint["retry"]


async def test_changed_in_the_version_that_was_read(api: Client) -> None:
    """With If-Match only that version is changed; else the answer is 412."""
    path = f"{ALL}/{(await create(api))['id']}"
    first = {"headers": {"If-Match": '"v1"'}}

    assert (await api.call("PATCH", path, {"description": "mine"}, **first))[0] == 200
    assert await refused(api, "PATCH", path, {"description": "late"}, **first) == (412, "version_conflict")
    for tags, status in (('W/"v2"', 400), ("v2", 400), ('"v2"', 200), ("*", 200)):
        headers = {"If-Match": tags}
        assert (await api.call("PATCH", path, {}, headers=headers))[0] == status, tags
    assert (await api.call("GET", path))[1]["description"] == "mine"


async def test_a_change_that_is_overtaken(api: Client, harness: Harness) -> None:
    """Without If-Match a change is made again on top of the one that came first, three times; then the answer is 412."""
    path = f"{ALL}/{(await create(api))['id']}"
    stored, change = harness.endpoints, harness.endpoints.change
    left = 2

    async def overtaken(endpoint: Any) -> bool:
        nonlocal left
        if left:
            left -= 1
            before = stored.table.by_id[endpoint.endpoint_id]
            config = before.config
            newer = type(config)(url=config.url, events=("job.completed",), description=f"left {left}")
            assert await change(type(before)(**{**_fields(before), "config": newer, "version": before.version + 1}))
        return await change(endpoint)

    stored.change = overtaken
    status, changed, _ = await api.call("PATCH", path, {"format": "flat"})
    assert (status, changed["version"], changed["format"]) == (200, 4, "flat")
    assert (changed["events"], changed["description"]) == (["job.completed"], "left 0")
    left = 3
    assert await refused(api, "PATCH", path, {"format": "cloudevents"}) == (412, "version_conflict")


def _fields(endpoint: Any) -> dict[str, Any]:
    return {name: getattr(endpoint, name) for name in endpoint.__struct_fields__}


async def test_deleted(api: Client) -> None:
    """A deleted endpoint is gone, with its secret; what is no endpoint is 404."""
    path = f"{ALL}/{(await create(api))['id']}"
    status, body, _ = await api.call("DELETE", path)
    assert (status, body) == (204, None)
    for gone in (path, f"{ALL}/{UNKNOWN}", f"{ALL}/x", f"{ALL}/job_01m8mfsb6j000hnbjj6f4rh1ft"):
        for method, below in (("GET", ""), ("DELETE", ""), ("GET", "/secret"), ("POST", "/secret/rotate")):
            assert await refused(api, method, gone + below) == (404, "not_found"), (method, gone + below)
    assert (await api.call("GET", ALL))[1] == {"endpoints": []}


async def test_tested(api: Client) -> None:
    """A test is accepted with the id of its delivery, for an endpoint that is not disabled."""
    path = f"{ALL}/{(await create(api))['id']}"
    status, sent, _ = await api.call("POST", f"{path}/test")
    assert (status, list(sent)) == (202, ["delivery_id"])
    assert sent["delivery_id"].startswith("whd_")
    assert (await api.call("GET", "/v1/jobs"))[1]["jobs"] == []
    assert await refused(api, "POST", f"{path}/test", {"a": 1}) == (400, "unknown_field")
    await api.call("PATCH", path, {"disabled": True})
    assert await refused(api, "POST", f"{path}/test") == (409, "endpoint_disabled")
    assert await refused(api, "POST", f"{ALL}/{UNKNOWN}/test") == (404, "not_found")


async def test_deliveries(api: Client, other: Client) -> None:
    """What an endpoint is told is listed newest first, page by page, for its account alone; not among the jobs."""
    path = f"{ALL}/{(await create(api, url='https://example.com/x', retry={'max_retries': 0}))['id']}"
    sent: set[str] = set()
    while len(sent) < 3:  # tests of one millisecond are one delivery
        sent.add((await api.call("POST", f"{path}/test"))[1]["delivery_id"])

    status, first, _ = await api.call("GET", f"{path}/deliveries?limit=2")
    assert status == 200
    _, rest, _ = await api.call("GET", f"{path}/deliveries?limit=2&cursor={first['next_cursor']}")
    listed = [*first["deliveries"], *rest["deliveries"]]
    assert rest["next_cursor"] is None
    assert [each["id"] for each in listed] == sorted(sent, reverse=True)
    assert {(each["event"], each["job_id"], each["url"]) for each in listed} == {
        ("endpoint.test", None, "https://example.com/x")
    }
    assert {each["status"] for each in listed} <= {"pending", "delivered", "exhausted"}
    assert list(listed[0])[-6:] == [
        *("attempt_count", "last_status_code", "last_error", "created_at", "next_attempt_at", "ended_at"),
    ]
    other_path = f"{ALL}/{(await create(api))['id']}/deliveries"
    assert (await api.call("GET", other_path))[1] == {"deliveries": [], "next_cursor": None}
    assert await refused(api, "GET", f"{other_path}?cursor={first['next_cursor']}") == (400, "invalid_cursor")
    assert await refused(other, "GET", f"{path}/deliveries") == (404, "not_found")


async def test_secrets(api: Client) -> None:
    """Each endpoint has a secret of its own; rotated, the one before signs for the overlap that was asked for."""
    path = f"{ALL}/{(await create(api))['id']}/secret"
    status, first, headers = await api.call("GET", path)
    assert (status, first["previous_secrets"], headers["Cache-Control"]) == (200, [], "no-store")
    other = f"{ALL}/{(await create(api))['id']}/secret"
    account = (await api.call("GET", "/v1/signing-secret"))[1]
    assert len({each["secret"] for each in (first, (await api.call("GET", other))[1], account)}) == 3

    _, second, _ = await api.call("POST", f"{path}/rotate")
    assert second["previous_secrets"] == [first["secret"]]
    assert (await api.call("GET", path))[1] == second
    _, third, _ = await api.call("POST", f"{path}/rotate", {"overlap_seconds": 0})
    assert second["secret"] not in third["previous_secrets"]
    for wrong in (-1, 604_801, "1", None):
        assert await refused(api, "POST", f"{path}/rotate", {"overlap_seconds": wrong}) == (
            400,
            "invalid_overlap_seconds",
        )
    answers = [await api.call("POST", f"{path}/rotate", {"overlap_seconds": 604_800}) for _ in range(9)]
    assert [status for status, _, _ in answers] == [200] * 8 + [409]
    assert answers[-1][1]["error"]["code"] == "too_many_signing_secrets"


async def test_what_cannot_be_opened_any_more(api: Client, harness: Harness) -> None:
    """If its key is gone, it is shown without its secrets and can be deleted, not changed or tested; its secret can be replaced."""
    endpoint = await create(api, headers={"A": "1"}, url=f"{URL}?token=1")
    path, table = f"{ALL}/{endpoint['id']}", harness.endpoints.table
    kept = table.by_id[endpoint["id"]]
    lost = msgspec.structs.replace(kept.config, url=URL, headers={"A": ""})
    table.by_id[endpoint["id"]] = msgspec.structs.replace(kept, config=lost, is_shredded=True)
    table.secrets_of[endpoint["id"]] = []

    shown = (await api.call("GET", path))[1]
    assert (shown["url"], shown["headers"]) == (URL, {"A": ""})
    assert len((await api.call("GET", ALL))[1]["endpoints"]) == 1
    assert await refused(api, "PATCH", path, {"description": "x"}) == (409, "spec_shredded")
    assert await refused(api, "POST", f"{path}/test") == (409, "spec_shredded")
    assert await refused(api, "GET", f"{path}/secret") == (409, "spec_shredded")
    assert (await api.call("POST", f"{path}/secret/rotate"))[0] == 200
    assert (await api.call("GET", f"{path}/secret"))[0] == 200
    assert (await api.call("DELETE", path))[0] == 204


async def test_as_many_as_can_be(api: Client) -> None:
    """An account has at most 100 endpoints; a deleted one makes room."""
    made = [await create(api) for _ in range(100)]
    assert await refused(api, "POST", ALL, {"url": URL}) == (409, "too_many_endpoints")
    assert (await api.call("DELETE", f"{ALL}/{made[0]['id']}"))[0] == 204
    await create(api)


async def test_scopes(api: Client) -> None:
    """`webhooks` makes and shows endpoints, `payloads` shows headers, `secrets` the secrets; making one needs `read:jobs`.

    One that shows what targets answer, or did so before, needs `read:payloads`, also to change it: a change may send that
    elsewhere, and what was sent before can be sent again.
    """
    endpoint = await create(api, headers={"A": "1"})
    path = f"{ALL}/{endpoint['id']}"

    async def asking(*scopes: str) -> Client:
        _, token, _ = await api.call("POST", "/v1/tokens", {"scopes": list(scopes)})
        return Client(api.url, token["token"])

    async with await asking("read:webhooks", "write:webhooks") as webhooks:
        assert "headers" not in (await webhooks.call("GET", path))[1]
        assert (await webhooks.call("DELETE", f"{ALL}/{UNKNOWN}"))[0] == 404
        assert await refused(webhooks, "POST", ALL, {"url": URL}) == (403, "forbidden")
        assert await refused(webhooks, "PATCH", path, {}) == (403, "forbidden")
        assert await refused(webhooks, "GET", f"{path}/secret") == (403, "forbidden")
        assert await refused(webhooks, "POST", f"{path}/secret/rotate") == (403, "forbidden")
    async with await asking("write:webhooks", "read:jobs") as maker:
        assert "headers" not in (await create(maker, headers={"A": "1"}))
        assert (await maker.call("PATCH", path, {"description": "x"}))[0] == 200
        assert await refused(maker, "GET", path) == (403, "forbidden")
        shown = await create(api, include_response=True)
        for asked in ({"include_response": True}, {}):
            assert await refused(maker, "PATCH", f"{ALL}/{shown['id'] if not asked else endpoint['id']}", asked) == (
                403,
                "forbidden",
            )
        assert await refused(maker, "POST", ALL, {"url": URL, "include_response": True}) == (403, "forbidden")
        shown_before = f"{ALL}/{shown['id']}"
        assert (await api.call("PATCH", shown_before, {"include_response": False}))[0] == 200
        assert await refused(maker, "PATCH", shown_before, {"url": f"{URL}/elsewhere"}) == (403, "forbidden")
        assert (await api.call("PATCH", shown_before, {"description": "x"}))[0] == 200
        assert await refused(maker, "PATCH", shown_before, {"url": f"{URL}/elsewhere"}) == (403, "forbidden")
    async with await asking("write:webhooks", "read:jobs", "read:payloads") as maker:
        await create(maker, include_response=True)
    async with await asking("read:webhooks", "read:payloads", "read:secrets", "write:secrets") as reader:
        assert (await reader.call("GET", path))[1]["headers"] == {"A": "1"}
        assert (await reader.call("GET", f"{path}/secret"))[0] == 200
        assert (await reader.call("POST", f"{path}/secret/rotate"))[0] == 200
        assert await refused(reader, "DELETE", path) == (403, "forbidden")
    async with await asking("read:jobs", "write:jobs") as jobs:
        assert await refused(jobs, "GET", ALL) == (403, "forbidden")
        assert await refused(jobs, "POST", ALL, {"url": URL}) == (403, "forbidden")
