"""Limits of one account, set by an operator while everything runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.fakes.running.client import Client
from tests.fakes.running.operating import command
from tests.fakes.running.processes import RunningFliq
from tests.fakes.running.sink import Sink
from tests.fakes.until import until

EFFECTIVE_S = 15.0  # five seconds, on a machine that others use


@pytest.fixture
async def limited(fliq: RunningFliq, request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, Client]]:
    """An account of the test's own, with a token."""
    name = request.node.originalname.removeprefix("test_")[:40]
    await command(fliq, "accounts", "create", name)
    made = (await command(fliq, "tokens", "create", "--account", name, "--json")).json
    async with Client(fliq.url, made["token"]) as client:
        yield name, client


async def limit(fliq: RunningFliq, account: str, **limits: object) -> None:
    """Set limits of *account* as an operator does."""
    words = [word for name, value in limits.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    answer = await command(fliq, "accounts", "limits", account, *words)
    assert answer.code == 0, answer.err


async def test_over_its_day_an_account_waits(
    fliq: RunningFliq, limited: tuple[str, Client], client: Client, sink: Sink
) -> None:
    """Accepted jobs beyond the limit are not called and say why; another account does not notice; a raised limit frees them."""
    account, own = limited
    await limit(fliq, account, executions_per_day=2)
    jobs = [await own.create(f"{sink.url}/ok/{account}", 8 + 0.1 * n) for n in range(4)]
    neighbour = await client.create(f"{sink.url}/ok/neighbour", 8.2)

    async def blocked() -> list[bool]:
        return ["waiting_for" in await own.job(job["id"]) for job in jobs]

    async def is_blocked() -> bool:
        return sum(await blocked()) == 2

    await until(is_blocked, within_s=EFFECTIVE_S + 8)
    assert (await client.wait_status(neighbour["id"]))["status"] == "success"
    assert len(sink.at(f"/ok/{account}")) == 2
    shown = [await own.job(job["id"]) for job in jobs]
    assert {(job["status"], job["waiting_for"]["blocked_on"]) for job in shown if "waiting_for" in job} == {
        ("scheduled", "daily_limit")
    }
    assert (await own.call("POST", "/v1/jobs", {"url": sink.url, "scheduled_at": "2099-01-01T00:00:00Z"}))[0] == 429

    await limit(fliq, account, executions_per_day=3)
    await until(lambda: len(sink.at(f"/ok/{account}")) == 3, within_s=EFFECTIVE_S)
    await limit(fliq, account, executions_per_day="off")
    for job in jobs:
        assert (await own.wait_status(job["id"]))["status"] == "success"
    assert len(sink.at(f"/ok/{account}")) == 4


async def test_calls_to_one_address_are_spaced(fliq: RunningFliq, limited: tuple[str, Client], sink: Sink) -> None:
    """Two a second: whatever names they are called by, and none fails; what waits for that is not late in the metrics."""
    account, own = limited
    await limit(fliq, account, calls_per_second=2)
    await asyncio.sleep(5)
    names = (sink.url, sink.url.replace("127.0.0.1", "localhost"))
    jobs = [await own.create(f"{names[n % 2]}/ok/{account}", 2) for n in range(8)]
    for job in jobs:
        assert (await own.wait_status(job["id"], timeout_s=60))["status"] == "success"

    left = sorted(call.at for call in sink.at(f"/ok/{account}"))
    assert len(left) == 8
    assert left[-1] - left[0] >= 2_500
    for first, third in zip(left, left[3:], strict=False):
        assert (
            third - first >= 400
        )  # two at once, then one each half second; a dispatcher of several has its part of that


async def test_an_account_sees_its_limits(fliq: RunningFliq, limited: tuple[str, Client]) -> None:
    """Those that were set for it, within seconds and without a restart, and every answer says what is left."""
    account, own = limited
    await limit(fliq, account, requests_per_second=50, waiting_jobs=10)

    async def shown() -> dict[str, int | None]:
        limits: dict[str, int | None] = (await own.call("GET", "/v1/account"))[1]["limits"]
        return limits

    async def is_there() -> bool:
        return (await shown())["waiting_jobs"] == 10

    await until(is_there, within_s=EFFECTIVE_S)
    assert (await own.call("GET", "/v1/jobs"))[2]["RateLimit-Policy"] == '"requests";q=50;w=1'
