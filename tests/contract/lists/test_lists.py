"""Lists: newest first, filtered, in stable pages."""

from __future__ import annotations

from typing import Any

import pytest

from libs.events.ids import partition_of
from services.api.contract.routes import ROUTES, Route
from tests.contract.harness import Harness
from tests.fakes.running.topologies import Client

URL = "https://example.com/x"


async def pages(api: Client, path: str, limit: int) -> list[list[dict[str, Any]]]:
    found = []
    cursor = ""
    while True:
        status, page, _ = await api.call("GET", f"{path}{'&' if '?' in path else '?'}limit={limit}{cursor}")
        assert status == 200
        assert set(page) == {"jobs", "next_cursor"}
        found.append(page["jobs"])
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


async def test_pages(api: Client) -> None:
    """Pages hold `limit` jobs, newest first, the last one the rest; together every job once."""
    made = [(await api.create(URL, 60))["id"] for _ in range(7)]

    listed = await pages(api, "/v1/jobs", 3)

    assert [len(page) for page in listed] == [3, 3, 1]
    assert [job["id"] for page in listed for job in page] == sorted(made, reverse=True)
    assert len(await pages(api, "/v1/jobs", 7)) == 1


async def test_default_limit(api: Client) -> None:
    """Without a limit a page holds 20."""
    await api.call("POST", "/v1/jobs/batch", {"jobs": [{"url": URL, "scheduled_at": "2032-01-01T00:00:00Z"}] * 21})

    _, page, _ = await api.call("GET", "/v1/jobs")
    assert len(page["jobs"]) == 20
    assert page["next_cursor"]


async def test_stable_while_jobs_arrive(api: Client) -> None:
    """Jobs that arrive while pages are turned neither repeat nor hide one that was there before."""
    before = {(await api.create(URL, 60))["id"] for _ in range(10)}
    seen: list[str] = []
    cursor = ""
    while True:
        _, page, _ = await api.call("GET", f"/v1/jobs?limit=2{cursor}")
        seen += [job["id"] for job in page["jobs"]]
        await api.create(URL, 60)
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"

    assert len(seen) == len(set(seen))
    assert before <= set(seen)


async def test_status_filter(api: Client, harness: Harness) -> None:
    """Each of the five statuses lists exactly its jobs; the filter goes with the pages."""
    ids = {
        name: [(await api.create(URL, 60))["id"] for _ in range(2)]
        for name in ("scheduled", "running", "success", "failed", "cancelled")
    }
    for name in ("running", "success", "failed"):
        for job_id in ids[name]:
            await harness.fire(job_id)
            if name != "running":
                await harness.finish(job_id, ok=name == "success", status_code=200 if name == "success" else 500)
    for job_id in ids["cancelled"]:
        await api.call("DELETE", f"/v1/jobs/{job_id}")

    for name, expected in ids.items():
        listed = [job for page in await pages(api, f"/v1/jobs?status={name}", 1) for job in page]
        assert [job["id"] for job in listed] == sorted(expected, reverse=True)
        assert {job["status"] for job in listed} == {name}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        *[
            (f"limit={limit}", "invalid_limit")
            for limit in ("0", "-1", "101", "abc", "", "1.5", "1e1", "%31%00", "٣", "+1")
        ],
        *[(f"status={status}", "invalid_status") for status in ("completed", "", "Scheduled", "%00", "done")],
        *[(f"cursor={cursor}", "invalid_cursor") for cursor in ("", "x", "x" * 43, "%00", "a" * 7000)],
        ("limit=1&limit=2", "invalid_parameter"),
        ("stauts=failed", "invalid_parameter"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/schedules"])
async def test_bad_parameters(api: Client, path: str, query: str, code: str) -> None:
    """A bad limit, status or cursor, and a parameter that does not exist, are 400 (P9)."""
    status, body, _ = await api.call("GET", f"{path}?{query}")

    assert (status, body["error"]["code"]) == (400, code)


# An operator's route is refused to this token before it is looked at; numbers/test_activity.py asks with an operator's.
@pytest.mark.parametrize("route", [each for each in ROUTES if each.scope != "operator"], ids=lambda route: route.name)
async def test_case_15_no_route_ignores_a_parameter(api: Client, route: Route) -> None:
    """A parameter that the route does not know is 400 on every route: `?dry_run=true` must not make a job."""
    path = route.path.replace("{job_id}", "job_0").replace("{schedule_id}", "sched_0").replace("{token_id}", "tok_0")
    unknown = "dry" if "dry_run" in route.parameters else "dry_run"
    status, body, _ = await api.call(route.method, f"{path}?{unknown}=true", {} if route.request else None)

    assert (status, body["error"]["code"]) == (400, "invalid_parameter")
    assert unknown in body["error"]["message"]


async def test_a_cursor_belongs_to_its_list(api: Client) -> None:
    """A cursor under another filter, or with a bit flipped, is 400."""
    for _ in range(3):
        await api.create(URL, 60)
    _, page, _ = await api.call("GET", "/v1/jobs?limit=1")
    cursor = page["next_cursor"]
    flipped = cursor[:-2] + ("A" if cursor[-2] != "A" else "B") + cursor[-1]

    for query in (f"cursor={cursor}&status=failed", f"cursor={flipped}"):
        status, body, _ = await api.call("GET", f"/v1/jobs?{query}")
        assert (status, body["error"]["code"]) == (400, "invalid_cursor")
    assert (await api.call("GET", f"/v1/jobs?cursor={cursor}&limit=100"))[0] == 200


async def test_read_your_writes_on_every_replica(api: Client, harness: Harness) -> None:
    """GET, list and DELETE on another replica straight after a 201 see the job, in every partition (C4)."""
    replica = await harness.replica()
    partitions = set()
    async with Client(f"http://127.0.0.1:{replica.port}", api.token) as second:
        for number in range(60):
            created = await api.create(URL, 60)
            partitions.add(partition_of(created["id"]))
            match number % 3:
                case 0:
                    assert (await second.job(created["id"]))["id"] == created["id"]
                case 1:
                    _, page, _ = await second.call("GET", "/v1/jobs?limit=2")
                    assert created["id"] in [job["id"] for job in page["jobs"]]
                case _:
                    assert (await second.call("DELETE", f"/v1/jobs/{created['id']}"))[0] == 204
                    assert (await api.job(created["id"]))["status"] == "cancelled"
    assert len(partitions) > 1
