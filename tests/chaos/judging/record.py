"""Record: what the sink saw and what the API says at the end, as a history for the checker."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeVar

import aiohttp

from tests.chaos.judging.history import Call, Execution, Fault, History, Hook, JobRead
from tests.chaos.load import Load, now_ms
from tests.fakes.running.sink import Arrival, Sink
from tests.fakes.running.topologies import Client, instant_ms

READS_AT_ONCE: Final = 16
TRIES: Final = 10  # a 503 says: try again
PAGES_MAX = 10_000  # a million jobs: more than any campaign makes


async def history(load: Load, sink: Sink, client: Client, faults: list[Fault], *, retry_base_ms: float) -> History:
    """Read everything back and return the run as a history."""
    ended_at = now_ms()
    listed = await list_all(client, "jobs")
    slots = asyncio.Semaphore(READS_AT_ONCE)

    async def one(job_id: str) -> JobRead:
        async with slots:
            return await patiently(lambda: read_job(client, job_id))

    jobs = await asyncio.gather(*[one(job_id) for job_id in dict.fromkeys(listed)])
    return history_of(load, sink, jobs, listed, faults, ended_at=ended_at, retry_base_ms=retry_base_ms)


def history_of(
    load: Load, sink: Any, jobs: Iterable[JobRead], listed: list[str], faults: list[Fault], **more: Any
) -> History:
    """Return the run as a history; *more* is what else it has."""
    calls, hooks = arrivals(sink)
    return History(
        plans=load.plans,
        schedules=load.schedules,
        shown=load.shown,
        operations=tuple(load.operations),
        calls=tuple(calls),
        hooks=tuple(hooks),
        jobs={job.id: job for job in jobs},
        listed=tuple(listed),
        faults=tuple(faults),
        **more,
    )


T = TypeVar("T")


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again while the answer is not there yet."""
    for _ in range(TRIES - 1):
        try:
            return await ask()
        except (AssertionError, aiohttp.ClientError, TimeoutError):
            await asyncio.sleep(1)
    return await ask()


async def list_all(client: Client, kind: str, query: str = "limit=100") -> list[str]:
    """Walk a cursor to its end; returns the ids in the order of the pages."""
    ids: list[str] = []
    cursor = ""
    for _ in range(PAGES_MAX):
        status, page, _ = await client.call("GET", f"/v1/{kind}?{query}{cursor}")
        assert status == 200, (status, page)
        ids += [each["id"] for each in page[kind]]
        if page["next_cursor"] is None:
            return ids
        cursor = f"&cursor={page['next_cursor']}"
    raise AssertionError("the cursor never ended")


async def read_job(client: Client, job_id: str) -> JobRead:
    """Read a job, its executions and its timeline."""
    job = await client.job(job_id)
    executed = await _get(client, f"/v1/jobs/{job_id}/executions")
    timeline = await _get(client, f"/v1/jobs/{job_id}/events")
    return JobRead(
        id=job_id,
        name=name_of(job["body"]),
        status=job["status"],
        execution_count=job["execution_count"],
        executions=tuple(_execution(row) for row in executed["executions"]),
        timeline=tuple(each["type"] for each in timeline["events"]),
        schedule_id=job["schedule_id"],
        ended_by=job.get("ended_by"),
    )


async def _get(client: Client, path: str) -> dict[str, Any]:
    status, body, _ = await client.call("GET", path)
    assert status == 200, (path, status, body)
    return body  # type: ignore[no-any-return]


def _execution(row: dict[str, Any]) -> Execution:
    return Execution(
        id=row["id"],
        attempt=row["attempt_num"],
        status=row["status"],
        status_code=row["status_code"],
        executed_at=round(instant_ms(row["executed_at"])),
    )


def name_of(body: str) -> str:
    """Return what a body names; behind it there may be the number of a revision."""
    return body.partition("#")[0]


def hooked(sink: Any) -> set[str]:
    """Return the names of the jobs whose webhook has come."""
    return {each.path.rpartition("/")[2] for each in sink.arrivals if each.path.startswith("/hook")}


def told(sink: Any) -> dict[str, tuple[str, ...]]:
    """Return of which jobs the endpoint was told, and the ids of what told it, without those that it refused."""
    found: dict[str, dict[str, None]] = {}
    for number, arrival in enumerate(each for each in sink.arrivals if each.path == "/told"):
        if number % 5:  # tests/fakes/running/sink.py fails the others
            found.setdefault(json.loads(arrival.body)["data"]["job_id"], {})[arrival.headers["webhook-id"]] = None
    return {job_id: tuple(ids) for job_id, ids in found.items()}


def arrivals(sink: Sink) -> tuple[list[Call], list[Hook]]:
    """Return the sink's arrivals as calls and hooks."""
    calls, hooks = [], []
    seen: Counter[str] = Counter()
    for arrival in sink.arrivals:
        seen[arrival.path] += 1
        if arrival.path.startswith("/hook"):
            said = json.loads(arrival.body)
            names = ("job_id", "status", "attempt_num", "status_code")
            hooks.append(Hook(at=arrival.at, **{name: said[name] for name in names}))
        elif arrival.path != "/told":
            calls.append(_call(arrival, seen[arrival.path]))
    return calls, hooks


def _call(arrival: Arrival, nth: int) -> Call:
    headers, (name, _, revision) = arrival.headers, arrival.body.decode().partition("#")
    return Call(
        at=arrival.at,
        name=name,
        job_id=headers["X-Fliq-Job-Id"],
        execution_id=headers["X-Fliq-Execution-Id"],
        attempt=int(headers["X-Fliq-Attempt"]),
        scheduled_at=instant_ms(headers["X-Fliq-Scheduled-At"]),
        answer=_answer(arrival.path, nth),
        schedule_id=headers.get("X-Fliq-Schedule-Id"),
        revision=int(revision or 0),
        trigger=headers.get("X-Fliq-Trigger"),
    )


def _answer(path: str, nth: int) -> int:
    """What the sink answered the *nth* call of *path* (tests/fakes/running/sink.py)."""
    match path.strip("/").split("/"):
        case ["status", status, *_]:
            return int(status)
        case ["flaky", failures, *_]:
            return 500 if nth <= int(failures) else 200
        case ["retry-after", *_]:
            return 429 if nth == 1 else 200
        case ["enough", *_]:
            return 500
        case _:
            return 200
