"""
Tables C, A6 and T on real processes: two API processes on one database are one API, and races have one outcome.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from typing import Any

import pytest

from libs.events import ScheduleCreated, Spec, encode
from libs.events.ids import new_schedule_id, partition_of
from services.api.http.auth import CACHE_TTL_S
from tests.contract.raw import RawConnection
from tests.fakes.running.sink import Sink
from tests.fakes.running.stalls import Stalls
from tests.fakes.running.topologies import Client, RunningFliq, in_seconds, instant_ms

URL = "https://example.com/x"
Pair = tuple[Client, Client]
REFUSED_MAX = 20
FIRE_LEAD_MS = 75  # FLIQ_FIRE_LEAD_MS
CLOCK_MS = 10  # by which a process's clock may differ from this one's


def request(**fields: Any) -> dict[str, Any]:
    return {"url": URL, "scheduled_at": in_seconds(3600), **fields}


@pytest.mark.everywhere
async def test_one_key_on_two_processes(pair: Pair) -> None:
    """C1: 100 posts at once of one key over two processes make one job; one that differs is 409 on either."""
    body = request(idempotency_key="k")
    answers = await asyncio.gather(*[pair[n % 2].call("POST", "/v1/jobs", body) for n in range(100)])

    assert {status for status, _, _ in answers} == {201}
    assert len({job["id"] for _, job, _ in answers}) == 1
    assert sum("Idempotent-Replayed" not in headers for _, _, headers in answers) == 1
    for client in pair:
        status, refused, _ = await client.call("POST", "/v1/jobs", body | {"body": "other"})
        assert (status, refused["error"]["code"]) == (409, "idempotency_key_reused")
        _, listed, _ = await client.call("GET", "/v1/jobs")
        assert [job["id"] for job in listed["jobs"]] == [answers[0][1]["id"]]


@pytest.mark.everywhere("kafka")
async def test_many_keys_on_two_processes(pair: Pair) -> None:
    """C1: two different requests that race for each of 40 keys: one of the two wins everywhere, the other is 409."""
    bodies = [request(idempotency_key=f"k{n}", max_retries=way) for n in range(40) for way in (0, 1)] * 2
    random.Random(1).shuffle(bodies)
    answers = await asyncio.gather(*[pair[n % 2].call("POST", "/v1/jobs", body) for n, body in enumerate(bodies)])

    made: dict[str, set[tuple[str, int]]] = {}
    for body, (status, answer, _) in zip(bodies, answers, strict=True):
        if status == 201:
            made.setdefault(body["idempotency_key"], set()).add((answer["id"], body["max_retries"]))
        else:
            assert (status, answer["error"]["code"]) == (409, "idempotency_key_reused")
    assert Counter(status for status, _, _ in answers) == {201: 80, 409: 80}
    assert [len(jobs) for jobs in made.values()] == [1] * 40


@pytest.mark.everywhere
async def test_read_your_writes_on_the_other_process(pair: Pair) -> None:
    """C4: of 400 jobs made here and asked for there straight after the 201 none is missing, in any partition."""
    partitions = set()

    async def worker(number: int) -> None:
        writer, reader = pair[number % 2], pair[1 - number % 2]
        for turn in range(50):
            job = await writer.create(URL, 3600)
            partitions.add(partition_of(job["id"]))
            match turn % 5:
                case 0:
                    _, listed, _ = await reader.call("GET", "/v1/jobs?limit=100")
                    assert job["id"] in {item["id"] for item in listed["jobs"]}
                case 1:
                    assert (await reader.call("GET", f"/v1/jobs/{job['id']}/events"))[1]["events"] != []
                case 2:
                    assert (await reader.call("DELETE", f"/v1/jobs/{job['id']}"))[0] == 204
                    assert (await writer.job(job["id"]))["status"] == "cancelled"
                case _:
                    assert {name: (await reader.job(job["id"]))[name] for name in job} == job

    await asyncio.gather(*[worker(number) for number in range(8)])
    assert len(partitions) > 1


async def test_revocation_holds_everywhere_within_five_seconds(pair: Pair, stalls: Stalls) -> None:
    """A6: a revoked token is 401 on the process that revoked it at once, and on the other within 5 s, never 200 again."""
    one, two = pair
    _, made, _ = await one.call("POST", "/v1/tokens", {"scopes": ["read"]})
    async with Client(one.url, made["token"]) as here, Client(two.url, made["token"]) as there:
        assert (await here.call("GET", "/v1/jobs"))[0] == (await there.call("GET", "/v1/jobs"))[0] == 200
        revoked_at = time.monotonic()
        assert (await one.call("DELETE", f"/v1/tokens/{made['id']}"))[0] == 204
        assert (await here.call("GET", "/v1/jobs"))[0] == 401
        # Asked all the time, so that being asked does not keep the memory fresh.
        while (await there.call("GET", "/v1/tokens"))[0] == 200:
            assert time.monotonic() - revoked_at < 5 + 2 * stalls.longest_ms / 1000
        assert {(await there.call("GET", "/v1/jobs"))[0] for _ in range(20)} == {401}
    assert CACHE_TTL_S < 5


async def test_a_caller_that_hangs_up(pair: Pair) -> None:
    """C5: callers that hang up in the middle of a POST, and repeat it with its key on another process, have one job each."""
    one, two = pair
    port = int(one.url.rpartition(":")[2])
    bodies = [request(idempotency_key=f"gone{n}") for n in range(20)]

    async def leave(number: int) -> None:
        body = json.dumps(bodies[number]).encode()
        connection = await RawConnection.open(port)
        head = f"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {one.token}\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.send(head.encode() + body)
        await connection.writer.drain()
        for _ in range(number):
            await asyncio.sleep(0)
        connection.writer.transport.abort()

    await asyncio.gather(*[leave(number) for number in range(len(bodies))])
    answers = await asyncio.gather(*[two.call("POST", "/v1/jobs", body) for body in bodies])
    _, listed, _ = await two.call("GET", "/v1/jobs?limit=100")

    assert {status for status, _, _ in answers} == {201}
    assert {job["id"] for job in listed["jobs"]} == {job["id"] for _, job, _ in answers}
    assert len(listed["jobs"]) == len(bodies)


RACES = 1000
RACING_S = 3.5
EACH_WAY = 100  # of a race, before it is one
ROUNDS = 4  # each of them slower: a machine that stalls, or is slow, decides a race by that


@pytest.mark.everywhere("kafka")
async def test_a_thousand_cancels_race_with_firing(pair: Pair, sink: Sink) -> None:
    """C2: of 1,000 cancels around the instant, on either process, a 204 means no call, ever, a 409 exactly one."""
    draw = random.Random(2)
    least = 0
    for number in range(ROUNDS):
        least = max(least, await _race(pair, sink, draw, racing_s=RACING_S * (1 + number)))
        if least >= EACH_WAY:
            break
    assert least >= EACH_WAY, "the race was not exercised"


async def _race(pair: Pair, sink: Sink, draw: random.Random, *, racing_s: float) -> int:
    """Race once, and judge it; returns how often it went the way that it went less often."""
    first_s = time.time() + 1.5
    ats = [first_s + racing_s * number / RACES for number in range(RACES)]
    jobs: list[dict[str, Any]] = []
    for start in range(0, RACES, 250):
        items = [
            {"url": f"{sink.url}/ok/{start + n}", "scheduled_at": in_seconds(at - time.time())}
            for n, at in enumerate(ats[start : start + 250])
        ]
        _, answer, _ = await pair[0].call("POST", "/v1/jobs/batch", {"jobs": items})
        jobs += [result["job"] for result in answer["results"] if "job" in result]  # the rest was asked for too late

    async def race(number: int, job: dict[str, Any]) -> int:
        # The decision falls about 75 ms before the instant; every third comes well before, for a machine that is slow now.
        ahead_s = draw.uniform(0.1, 1.2) if number % 3 == 0 else draw.uniform(-0.02, 0.17)
        at_s = instant_ms(job["scheduled_at"]) / 1000 - ahead_s
        await asyncio.sleep(max(0.0, at_s - time.time()))
        for _ in range(REFUSED_MAX):
            status, _, _ = await pair[number % 2].call("DELETE", f"/v1/jobs/{job['id']}")
            if status != 503:  # a process that is behind takes no more; nothing was decided
                break
        return status

    answers = await asyncio.gather(*[race(number, job) for number, job in enumerate(jobs)])
    cancelled = {job["id"] for job, status in zip(jobs, answers, strict=True) if status == 204}
    refused = {job["id"] for job, status in zip(jobs, answers, strict=True) if status == 409}
    await sink.wait_for(lambda: refused <= set(sink.by_job()))
    # What was still to come would have come before this one.
    marker = await pair[0].create(f"{sink.url}/ok/marker", 0.3)
    await sink.wait_for(lambda: sink.of(marker["id"]))

    print(f"{len(cancelled)} cancelled, {len(refused)} refused")
    assert len(cancelled) + len(refused) == len(jobs)
    calls = Counter(arrival.job_id for arrival in sink.arrivals)
    assert not cancelled & set(calls)
    assert {calls[job_id] for job_id in refused} <= {1}
    return min(len(cancelled), len(refused))


SCHEDULES = 300
TICKS = 30  # each way, as with EACH_WAY


async def test_case_14_deletes_race_with_ticks(
    contract_fliq: tuple[RunningFliq, object], pair: Pair, sink: Sink
) -> None:
    """C3: of 300 schedules deleted just when their tick is decided each is gone at its 204; a tick came before it or never."""
    draw = random.Random(3)
    least = 0
    for number in range(ROUNDS):
        least = max(least, await _race_ticks(contract_fliq[0], pair, sink, draw, every_ms=4 * (1 + number)))
        if least >= TICKS:
            break
    assert least >= TICKS, "the race was not exercised"
    assert (await pair[1].call("GET", "/v1/schedules"))[1]["schedules"] == []


async def _race_ticks(fliq: RunningFliq, pair: Pair, sink: Sink, draw: random.Random, *, every_ms: int) -> int:
    """Race once, with a tick *every_ms*, and judge it; returns how often it went the way that it went less often."""
    account = f"contract{int((pair[0].token or '')[16:38])}"
    now = time.time_ns() // 1_000_000
    partitions = range(3)
    made = [
        ScheduleCreated(
            schedule_id=new_schedule_id(now, number % 3, draw.randbytes(8)),
            account=account,
            at=now,
            spec=Spec(url=f"{sink.url}/ok/{number}"),
            cron="0 0 1 1 *",  # no second tick, however near the next minute is
            # The API would let it begin at a full minute only.
            next_run_at=now + FIRE_LEAD_MS + 1_300 + number * every_ms,
        )
        for number in range(SCHEDULES)
    ]
    async with fliq.open_log() as log:
        for partition in partitions:
            await log.append(partition, [encode(each) for each in made if partition_of(each.schedule_id) == partition])

    async def race(number: int, schedule: ScheduleCreated) -> tuple[int, float]:
        # Every third well before the decision, for a machine that is slow now.
        ahead_s = draw.uniform(0.1, 1.2) if number % 3 == 0 else draw.uniform(-0.1, 0.1)
        at_s = (schedule.next_run_at - FIRE_LEAD_MS) / 1000 - ahead_s
        await asyncio.sleep(max(0.0, at_s - time.time()))
        status, _, _ = await pair[number % 2].call("DELETE", f"/v1/schedules/{schedule.schedule_id}")
        return status, time.time() * 1000

    answers = await asyncio.gather(*[race(number, schedule) for number, schedule in enumerate(made)])
    jobs: list[dict[str, Any]] = []
    cursor = ""
    while cursor is not None:
        _, page, _ = await pair[0].call("GET", f"/v1/jobs?limit=100{cursor and '&cursor='}{cursor}")
        jobs += page["jobs"]
        cursor = page["next_cursor"]
    ours = {schedule.schedule_id for schedule in made}
    jobs = [job for job in jobs if job["schedule_id"] in ours]
    spawned = Counter(job["schedule_id"] for job in jobs)
    await sink.wait_for(lambda: {job["id"] for job in jobs} <= set(sink.by_job()))
    marker = await pair[0].create(f"{sink.url}/ok/marker", 0.3)
    await sink.wait_for(lambda: sink.of(marker["id"]))

    print(f"{len(spawned)} ticked, {SCHEDULES - len(spawned)} did not")
    assert {status for status, _ in answers} == {204}
    in_time = {
        schedule.schedule_id
        for schedule, (_, answered_at) in zip(made, answers, strict=True)
        if answered_at < schedule.next_run_at - FIRE_LEAD_MS - CLOCK_MS
    }
    assert not in_time & set(spawned), "deleted before its tick was decided, and it called all the same"
    assert set(spawned.values()) <= {1}
    called = Counter(arrival.job_id for arrival in sink.arrivals if arrival.headers.get("X-Fliq-Schedule-Id") in ours)
    assert called == {job["id"]: 1 for job in jobs}
    return min(len(spawned), SCHEDULES - len(spawned))


async def test_two_accounts_share_nothing_but_the_house(pair: Pair, other_pair: Pair) -> None:
    """T1, T2, T3: ids, keys, cursors, timelines, spawned jobs, replays, tokens and secrets of one are nothing to the other."""
    ours, theirs = pair[0], other_pair[1]
    job = await ours.create("https://example.com/canary", 3600, idempotency_key="same", body="canary")
    _, schedule, _ = await ours.call(
        "POST", "/v1/schedules", {"url": "https://example.com/canary", "cron": "0 8 * * *"}
    )
    _, token, _ = await ours.call("POST", "/v1/tokens", {"name": "canary"})
    await ours.create(URL, 3600)
    _, page, _ = await ours.call("GET", "/v1/jobs?limit=1")
    # A cursor goes on wherever it is used in its own account.
    assert (await pair[1].call("GET", f"/v1/jobs?cursor={page['next_cursor']}"))[1]["jobs"][0]["id"] == job["id"]
    # The same key, for another request: a job of its own, and no sign that there is another.
    status, twin, headers = await theirs.call(
        "POST", "/v1/jobs", {"url": URL, "scheduled_at": job["scheduled_at"], "idempotency_key": "same"}
    )
    assert status == 201
    assert twin["id"] != job["id"]
    assert "Idempotent-Replayed" not in headers

    for method, path in (
        *[(method, f"/v1/jobs/{job['id']}") for method in ("GET", "DELETE")],
        *[("GET", f"/v1/jobs/{job['id']}/{part}") for part in ("executions", "events")],
        ("POST", f"/v1/jobs/{job['id']}/replay"),
        *[(method, f"/v1/schedules/{schedule['id']}") for method in ("GET", "DELETE")],
        *[("POST", f"/v1/schedules/{schedule['id']}/{action}") for action in ("pause", "resume")],
        ("GET", f"/v1/schedules/{schedule['id']}/jobs"),
        ("DELETE", f"/v1/tokens/{token['id']}"),
    ):
        status, answer, _ = await theirs.call(method, path)
        assert (status, answer["error"]["code"]) == (404, "not_found")
    neighbours = [_next_id(job["id"], step) for step in (-2, -1, 1, 2)]
    assert {(await theirs.call("GET", f"/v1/jobs/{neighbour}"))[0] for neighbour in neighbours} == {404}
    for query in (f"cursor={page['next_cursor']}", f"limit=1&cursor={page['next_cursor']}"):
        assert (await theirs.call("GET", f"/v1/jobs?{query}"))[1]["error"]["code"] == "invalid_cursor"
    seen = [str((await theirs.call("GET", path))[1]) for path in ("/v1/jobs", "/v1/schedules", "/v1/tokens")]
    assert "canary" not in "".join(seen)
    assert (await ours.call("GET", "/v1/signing-secret"))[1] != (await theirs.call("GET", "/v1/signing-secret"))[1]
    assert (await ours.job(job["id"]))["status"] == "scheduled"
    assert (await ours.call("GET", f"/v1/schedules/{schedule['id']}"))[1]["status"] == "active"


def _next_id(job_id: str, step: int) -> str:
    letters = "0123456789abcdefghjkmnpqrstvwxyz"
    return job_id[:-1] + letters[(letters.index(job_id[-1]) + step) % 32]


async def test_a_missing_id_takes_as_long_as_anothers(pair: Pair, other_pair: Pair) -> None:
    """T1: asking for another account's job takes as long as asking for none: the ranges of 150 looks each overlap by half."""
    job = await pair[0].create(URL, 3600)
    missing = _next_id(job["id"], 1)
    took: dict[str, list[float]] = {job["id"]: [], missing: []}
    for _ in range(150):
        for job_id, times in took.items():
            began_at = time.perf_counter()
            assert (await other_pair[0].call("GET", f"/v1/jobs/{job_id}"))[0] == 404
            times.append(time.perf_counter() - began_at)
    theirs, none = (sorted(times) for times in took.values())
    assert theirs[37] < none[112]
    assert none[37] < theirs[112]


STRINGS = [
    "'; DROP TABLE fliq.jobs; --",
    '" OR 1=1 --',
    "${jndi:ldap://127.0.0.1/a}",
    "{{7*7}} %s %n %(asctime)s {0.__class__}",
    '{"event":"forged","level":"error"}',
    "\x1b[31mred\x1b[0m",
    "\u2028line\u2029end\u202eright to left",
    "a\r\nSet-Cookie: x=1",
    "\U0001f600 é 日本 e\u0301",
]


async def test_strings_are_only_strings(running: Client) -> None:
    """T6: SQL, JSON, templates, escapes and line ends in a body, key, name, cron or id are stored as they are, or refused."""
    for text in STRINGS:
        job = await running.create(URL, 3600, body=text)
        assert (await running.job(job["id"]))["body"] == text
        status, keyed, _ = await running.call("POST", "/v1/jobs", request(idempotency_key=text))
        assert status == (201 if text.isprintable() else 400)
        if status == 201:
            assert (await running.job(keyed["id"]))["idempotency_key"] == text
        status, token, _ = await running.call("POST", "/v1/tokens", {"name": text})
        assert status == (201 if text.isprintable() else 400)
        assert status == 400 or token["name"] == text
        assert (await running.call("POST", "/v1/schedules", {"url": URL, "cron": text}))[0] == 400
    _, listed, _ = await running.call("GET", "/v1/jobs?limit=100")
    assert len(listed["jobs"]) == len(STRINGS) + sum(text.isprintable() for text in STRINGS)
