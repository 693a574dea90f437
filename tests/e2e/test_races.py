"""Races: cancels against firing, and one key against itself."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest

from tests.e2e.test_firing import nothing_more_comes
from tests.fakes.running.sink import Sink
from tests.fakes.running.topologies import Client, in_seconds, instant_ms

RACES = 100
EACH_WAY = 5  # of a race, before it is one
ROUNDS = 4  # a machine that stalls in the middle of one decides it by that
SEED = 20


@pytest.mark.everywhere
async def test_a_cancel_that_races_with_firing_is_decided(client: Client, sink: Sink) -> None:
    """Of a hundred cancels around the instant, each 204 means no call, ever, and each 409 exactly one."""
    draw = random.Random(SEED)
    least = 0
    for _ in range(ROUNDS):
        least = max(least, await _race(client, sink, draw))
        if least >= EACH_WAY:
            break
    assert least >= EACH_WAY, "the race was not exercised"


async def _race(client: Client, sink: Sink, draw: random.Random) -> int:
    """Race once, and judge it; returns how often it went the way that it went less often."""
    items = [
        {"url": f"{sink.url}/ok/{number}", "scheduled_at": in_seconds(1 + draw.random() * 0.6)}
        for number in range(RACES)
    ]
    _, made, _ = await client.call("POST", "/v1/jobs/batch", {"jobs": items})
    jobs = [result["job"] for result in made["results"] if "job" in result]  # the rest was asked for too late

    async def race(number: int, job: dict[str, Any]) -> tuple[str, int]:
        # The decision falls about 75 ms before the instant; every fourth comes well before, for a machine that is slow now.
        ahead_s = draw.uniform(0.1, 0.5) if number % 4 == 0 else draw.uniform(-0.01, 0.17)
        at_s = instant_ms(job["scheduled_at"]) / 1000 - ahead_s
        await asyncio.sleep(max(0.0, at_s - time.time()))
        status, _, _ = await client.call("DELETE", f"/v1/jobs/{job['id']}")
        return job["id"], status

    answers = dict(await asyncio.gather(*[race(number, job) for number, job in enumerate(jobs)]))
    for job_id in answers:
        await client.wait_status(job_id)
    await nothing_more_comes(client, sink)

    cancelled = [job_id for job_id, status in answers.items() if status == 204]
    refused = [job_id for job_id, status in answers.items() if status == 409]
    print(f"{len(cancelled)} cancelled, {len(refused)} refused")
    assert len(cancelled) + len(refused) == len(jobs)
    assert [job_id for job_id in cancelled if sink.of(job_id)] == []
    assert [len(sink.of(job_id)) for job_id in refused] == [1] * len(refused)
    assert {(await client.job(job_id))["status"] for job_id in cancelled} <= {"cancelled"}
    return min(len(cancelled), len(refused))


async def test_a_cancelled_job_can_be_cancelled_again(client: Client, sink: Sink) -> None:
    """Ten cancels of one job at once are all 204."""
    job = await client.create(f"{sink.url}/ok", 30)
    answers = await asyncio.gather(*[client.call("DELETE", f"/v1/jobs/{job['id']}") for _ in range(10)])

    assert {status for status, _, _ in answers} == {204}


@pytest.mark.everywhere
async def test_a_key_that_races_with_itself_makes_one_job(client: Client, sink: Sink) -> None:
    """Twenty posts of one key at once: twenty times the same 201, nineteen of them marked as repeats, one call."""
    for number in range(ROUNDS):
        # Nobody's posts are a race once their instant has passed.
        request = {"url": f"{sink.url}/ok", "scheduled_at": in_seconds(0.6), "idempotency_key": f"{sink.port}-{number}"}
        answers = await asyncio.gather(*[client.call("POST", "/v1/jobs", request) for _ in range(20)])
        if 400 not in {status for status, _, _ in answers}:
            break

    assert {status for status, _, _ in answers} == {201}
    assert len({body["id"] for _, body, _ in answers}) == 1
    assert len({str(body) for _, body, _ in answers}) == 1
    assert sum(headers.get("Idempotent-Replayed") == "true" for _, _, headers in answers) == 19
    await sink.wait_for(lambda: sink.of(answers[0][1]["id"]))
    await nothing_more_comes(client, sink)
    assert len(sink.of(answers[0][1]["id"])) == 1


async def test_two_requests_that_race_for_a_key_make_one_job(client: Client, sink: Sink) -> None:
    """Ten posts each of two requests with one key: one of the two wins, the other is 409."""

    async def post(number: int, at: str, key: str) -> tuple[int, str]:
        request = {"url": f"{sink.url}/ok/{number % 2}", "scheduled_at": at, "idempotency_key": key}
        status, body, _ = await client.call("POST", "/v1/jobs", request)
        return status, body["id"] if status == 201 else body["error"]["code"]

    for turn in range(ROUNDS):
        at, key = in_seconds(0.6), f"two-{sink.port}-{turn}"
        answers = await asyncio.gather(*[post(number, at, key) for number in range(20)])
        if 400 not in {status for status, _ in answers}:  # their instant had not passed
            break

    assert sorted(status for status, _ in answers) == [201] * 10 + [409] * 10
    assert len({answer for status, answer in answers if status == 201}) == 1
    assert {answer for status, answer in answers if status == 409} == {"idempotency_key_reused"}
    (made,) = {answer for status, answer in answers if status == 201}
    await sink.wait_for(lambda: sink.of(made))
    await nothing_more_comes(client, sink)
    assert len(sink.of(made)) == 1
