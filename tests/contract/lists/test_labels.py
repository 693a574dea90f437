"""Labels and searches: what a caller may give, what lists find by it, and what is refused."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from libs.domain.instants import rfc3339
from libs.events.ids import execution_id
from tests.contract.harness import Harness
from tests.fakes.running.topologies import Client

URL = "https://example.com/x"
FAR = "2032-01-01T00:00:00Z"
DAY_MS = 86_400_000


async def post(api: Client, **fields: Any) -> tuple[int, Any, Any]:
    return await api.call("POST", "/v1/jobs", {"url": URL, "scheduled_at": FAR, **fields})


async def made(api: Client, **fields: Any) -> str:
    status, body, _ = await post(api, **fields)
    assert status == 201, body
    job_id: str = body["id"]
    return job_id


async def ids(api: Client, query: str, path: str = "/v1/jobs") -> list[str]:
    status, body, _ = await api.call("GET", f"{path}?{query}")
    assert status == 200, body
    assert "partial" not in body
    return [each["id"] for each in body["jobs" if "jobs" in body else "schedules"]]


LABELS = {f"n{number}": "x" * 128 for number in range(15)} | {"a0/b.c_d-e" + "f" * 53: "ü 😀:="}


async def test_labels_at_their_limits_are_kept(api: Client) -> None:
    """16 of them, a name of 63 characters, values of 1 and 128; GET and lists show them; a job without labels shows none."""
    job_id = await made(api, labels=LABELS | {"n0": "x"})
    plain = [await made(api), await made(api, labels=None), await made(api, labels={})]

    _, job, _ = await api.call("GET", f"/v1/jobs/{job_id}")
    _, listed, _ = await api.call("GET", "/v1/jobs")
    assert job["labels"] == listed["jobs"][3]["labels"] == LABELS | {"n0": "x"}
    assert [each["id"] for each in listed["jobs"]] == sorted([*plain, job_id], reverse=True)
    assert all("labels" not in each for each in listed["jobs"][:3])


@pytest.mark.parametrize(
    "labels",
    [
        *(1, "tenant:acme", [], [["a", "b"]], True),
        {f"n{number}": "x" for number in range(17)},
        *(
            {"": "x"},
            {"a" * 64: "x"},
            {"A": "x"},
            {"-a": "x"},
            {".a": "x"},
            {"a b": "x"},
            {"a:b": "x"},
            {"ä": "x"},
            {"a\n": "x"},
        ),
        *(
            {"a": ""},
            {"a": "x" * 129},
            {"a": 1},
            {"a": None},
            {"a": "\n"},
            {"a": "\x00"},
            {"a": {"b": "c"}},
            {"a": ["b"]},
        ),
        {"fliq.flow": "x"},
    ],
)
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/schedules"])
async def test_other_labels_are_refused(api: Client, path: str, labels: Any) -> None:
    """400 `invalid_labels`, for jobs and schedules; nothing is made."""
    when = {"scheduled_at": FAR} if path == "/v1/jobs" else {"cron": "0 0 1 1 *"}
    status, body, _ = await api.call("POST", path, {"url": URL, "labels": labels} | when)
    assert (status, body["error"]["code"]) == (400, "invalid_labels")
    assert await ids(api, "", path) == []


async def test_labels_find_jobs(api: Client) -> None:
    """One label, several of them together, and with a status; a value may hold a colon."""
    first = await made(api, labels={"tenant": "acme", "kind": "invoice"})
    second = await made(api, labels={"tenant": "acme", "kind": "a:b c"})
    await made(api, labels={"tenant": "other"})
    await api.call("DELETE", f"/v1/jobs/{first}")

    assert await ids(api, "label=tenant:acme") == [second, first]
    assert await ids(api, "label=tenant:acme&label=kind:invoice") == [first]
    assert await ids(api, f"label={quote('kind:a:b c')}") == [second]
    assert await ids(api, "label=tenant:acme&status=cancelled") == [first]
    assert await ids(api, "label=tenant:acme&status=running") == []
    assert await ids(api, "label=tenant:acme&label=tenant:other") == []
    assert await ids(api, "label=fliq.flow:x") == []


async def test_pages_of_a_search(api: Client) -> None:
    """The cursor goes on in the same search, and is refused in another one."""
    found = [await made(api, labels={"t": "a"}) for _ in range(3)]
    _, page, _ = await api.call("GET", "/v1/jobs?label=t:a&limit=2")
    cursor = page["next_cursor"]

    assert [each["id"] for each in page["jobs"]] == found[:0:-1]
    assert await ids(api, f"limit=2&label=t:a&cursor={cursor}") == found[:1]
    for other in ("label=t:b", "label=t:a&label=x:y", "", f"label=t:a&created_after={FAR}"):
        status, body, _ = await api.call("GET", f"/v1/jobs?limit=2&cursor={cursor}&{other}")
        assert (status, body["error"]["code"]) == (400, "invalid_cursor")


async def test_a_page_that_ends_early_says_so(api: Client, harness: Harness, monkeypatch: Any) -> None:
    """`partial` is true and the cursor leads on, even if the page is empty; the next page is as every other."""
    jobs = [await made(api, labels={"t": "a"}) for _ in range(3)]
    search_jobs = harness.tables.search_jobs

    async def cut(*args: Any, **options: Any) -> Any:
        found = await search_jobs(*args, **options)
        return found if options["before"] is not None else type(found)([], jobs[1])

    monkeypatch.setattr(harness.tables, "search_jobs", cut)
    _, page, _ = await api.call("GET", "/v1/jobs?label=t:a")

    assert (page["jobs"], page["partial"]) == ([], True)
    assert await ids(api, f"label=t:a&cursor={page['next_cursor']}") == jobs[:1]


async def test_times_bound_a_list(api: Client, harness: Harness) -> None:
    """The instant after is included, the one before is not; created and scheduled alike."""
    jobs = []
    for number in range(3):
        jobs.append(await made(api, scheduled_at=f"2032-01-0{number + 1}T00:00:00Z"))
        harness.clock.ahead_ms += 1_000
    _, body, _ = await api.call("GET", f"/v1/jobs/{jobs[1]}")
    at = body["created_at"]

    assert await ids(api, f"created_after={at}") == [jobs[2], jobs[1]]
    assert await ids(api, f"created_before={at}") == [jobs[0]]
    assert await ids(api, "scheduled_after=2032-01-02T00:00:00Z") == [jobs[2], jobs[1]]
    assert await ids(api, "scheduled_before=2032-01-02T00:00:00Z") == [jobs[0]]
    assert await ids(api, "scheduled_after=2032-01-02T00:00:00Z&scheduled_before=2032-01-02T00:00:00.001Z") == [jobs[1]]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        *((f"label={text}", "invalid_labels") for text in ("", "tenant", ":x", "a:", "A:x", "a:%00", "a:" + "x" * 129)),
        ("&".join(["label=a:b"] * 17), "invalid_labels"),
        *((f"{name}=yesterday", "invalid_parameter") for name in ("created_after", "created_before")),
        ("created_after=2032-01-01", "invalid_parameter"),
        *((f"q={text}", "invalid_parameter") for text in ("", "%00", "x" * 256)),
        ("q=a&q=b", "invalid_parameter"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/schedules"])
async def test_bad_filters_are_refused(api: Client, path: str, query: str, code: str) -> None:
    """What is no label, no instant and no key is 400, with the name of the parameter."""
    status, body, _ = await api.call("GET", f"{path}?{query}")
    assert (status, body["error"]["code"]) == (400, code)


async def test_q_finds_a_job_by_all_its_names(api: Client, harness: Harness) -> None:
    """Its id, an execution's, its idempotency key, the id and the key of its schedule; what stands for nothing finds nothing."""
    _, schedule, _ = await api.call("POST", "/v1/schedules", {"url": URL, "cron": "0 0 1 1 *", "key": "digest"})
    _, run, _ = await api.call("POST", f"/v1/schedules/{schedule['id']}/run")
    job_id = await made(api, idempotency_key="order 7", labels={"t": "a"})
    await harness.fire(job_id)

    for text in (job_id, execution_id(job_id, 1), "order 7"):
        assert await ids(api, f"q={quote(text)}") == [job_id]
        assert await ids(api, f"q={quote(text)}&label=t:b") == []
    for text in (schedule["id"], "digest"):
        assert await ids(api, f"q={text}") == [run["id"]]
        assert await ids(api, f"q={text}", "/v1/schedules") == [schedule["id"]]
        assert await ids(api, f"q={text}", f"/v1/schedules/{schedule['id']}/jobs") == [run["id"]]
    for text in ("order", execution_id(job_id, 2), schedule["id"][:-1] + "0", "nothing"):
        assert await ids(api, f"q={quote(text)}") == []
        assert await ids(api, f"q={quote(text)}", "/v1/schedules") == []
    assert await ids(api, f"q={job_id}", f"/v1/schedules/{schedule['id']}/jobs") == []


async def test_what_is_spawned_has_the_labels_of_its_schedule(api: Client, harness: Harness) -> None:
    """A run, a back-fill and a tick; a change of the labels is for later runs, and null takes a label away."""
    made = {"url": URL, "cron": "0 0 1 * *", "labels": {"tenant": "acme", "kind": "digest"}}
    _, schedule, _ = await api.call("POST", "/v1/schedules", made)
    path = f"/v1/schedules/{schedule['id']}"
    _, first, _ = await api.call("POST", f"{path}/run")
    span = {"since": rfc3339(harness.clock.now() - 40 * DAY_MS), "before": rfc3339(harness.clock.now())}
    _, backfill, _ = await api.call("POST", f"{path}/backfill", span)

    assert await ids(api, "label=tenant:acme", "/v1/schedules") == [schedule["id"]]
    assert len(await ids(api, "label=tenant:acme&label=kind:digest")) == 1 + backfill["jobs"]
    _, changed, _ = await api.call("PATCH", path, {"labels": {"tenant": "other", "kind": None}})
    assert changed["labels"] == {"tenant": "other"}
    _, second, _ = await api.call("POST", f"{path}/run")
    assert await ids(api, "label=tenant:other") == [second["id"]]
    assert first["id"] in await ids(api, "label=tenant:acme")
    assert await ids(api, "label=tenant:acme", "/v1/schedules") == []
    _, cleared, _ = await api.call("PATCH", path, {"labels": None})
    assert "labels" not in cleared


async def test_a_copy_has_the_labels_of_the_first_job(api: Client, harness: Harness) -> None:
    """Whoever looks for a tenant's jobs finds replays, too."""
    job_id = await made(api, labels={"tenant": "acme"})
    await harness.fire(job_id)
    await harness.finish(job_id, ok=False, status_code=500)
    status, copy, _ = await api.call("POST", f"/v1/jobs/{job_id}/replay")

    assert status == 201, copy
    assert await ids(api, "label=tenant:acme") == [copy["id"], job_id]


async def test_labels_are_part_of_the_request(api: Client) -> None:
    """A key that is repeated with other labels stands for another request; in another order they are the same."""
    first = await post(api, idempotency_key="k", labels={"a": "1", "b": "2"})
    again = await post(api, idempotency_key="k", labels={"b": "2", "a": "1"})
    other = await post(api, idempotency_key="k", labels={"a": "1"})

    assert (first[0], again[0], again[1]) == (201, 201, first[1])
    assert (other[0], other[1]["error"]["code"]) == (409, "idempotency_key_reused")


async def test_labels_of_a_job_do_not_change(api: Client) -> None:
    """A change that names them is refused; a request that is merged into a waiting job leaves them."""
    job_id = await made(api, labels={"a": "1"}, waiting_key="w")
    status, body, _ = await api.call("PATCH", f"/v1/jobs/{job_id}", {"labels": {"a": "2"}})
    merged = await post(api, labels={"a": "3"}, waiting_key="w", on_waiting="replace")

    assert (status, body["error"]["code"]) == (400, "unknown_field")
    assert merged[0] == 200
    assert await ids(api, "label=a:1") == [job_id]
