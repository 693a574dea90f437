"""The admin port over real HTTP: alive, ready or not and why, and the metrics."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from libs.runtime.admin_port import checks as checks_module
from libs.runtime.admin_port import probes as probes_module
from libs.runtime.admin_port.checks import Checks
from libs.runtime.admin_port.probes import Probes, ProbesError
from libs.runtime.telemetry.metrics import Metrics
from tests.fakes.startstop import stress


def made(*, port: int = 0, checks: Checks | None = None) -> Probes:
    return Probes(host="127.0.0.1", port=port, metrics=Metrics(version="t"), checks=checks or Checks())


@pytest.fixture
def checks() -> Checks:
    """What `/readyz` of the server asks."""
    return Checks()


@pytest.fixture
async def probes(checks: Checks) -> AsyncIterator[Probes]:
    """A started server on a free port."""
    server = made(checks=checks)
    await server.start()
    yield server
    await server.stop()


async def get(probes: Probes, path: str) -> tuple[int, Any, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{probes.port}{path}") as answer:
        is_json = answer.content_type == "application/json"
        return answer.status, await answer.json() if is_json else await answer.text(), answer.headers["Content-Type"]


async def test_healthz_says_that_the_process_turns(probes: Probes, checks: Checks) -> None:
    """200 without asking any check."""
    checks.add("never", lambda: "broken")
    assert (await get(probes, "/healthz"))[:2] == (200, {"status": "ok"})


async def test_readyz_tells_which_check_fails_and_why(probes: Probes, checks: Checks) -> None:
    """200 while every check is well; 503 with the reason of each that is not, also when it raises."""

    async def well() -> str | None:
        return None

    def raises() -> str | None:
        raise OSError("gone")

    assert (await get(probes, "/readyz"))[:2] == (200, {"status": "ok", "checks": {}})
    checks.add("log", well)
    assert (await get(probes, "/readyz"))[:2] == (200, {"status": "ok", "checks": {"log": "ok"}})
    checks.add("tables", lambda: "behind")
    checks.add("scheduler", raises)
    expected = {"log": "ok", "tables": "behind", "scheduler": "OSError: gone"}
    assert (await get(probes, "/readyz"))[:2] == (503, {"status": "unavailable", "checks": expected})


async def test_a_check_that_hangs_is_a_check_that_fails(
    probes: Probes, checks: Checks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe is answered in bounded time."""
    monkeypatch.setattr(checks_module, "TIMEOUT_S", 0.01)

    async def hangs() -> str | None:
        await asyncio.Event().wait()
        return None

    checks.add("hangs", hangs)
    status, body, _ = await get(probes, "/readyz")
    assert (status, body["checks"]) == (503, {"hangs": "no answer within 0.01 s"})


async def test_metrics_are_served_as_prometheus_reads_them(probes: Probes) -> None:
    """Text format 0.0.4 with our metrics."""
    status, text, content_type = await get(probes, "/metrics")
    assert (status, content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert "# TYPE fliq_attempts_total counter" in text


async def test_half_requests_hold_neither_the_port_nor_files(probes: Probes) -> None:
    """However many connections send half a request, few are open, and a probe is answered; in time the rest are closed."""
    crowd = []
    for _ in range(5 * probes_module.CONNECTIONS_MAX):
        reader, writer = await asyncio.open_connection("127.0.0.1", probes.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n")
        crowd.append((reader, writer))
    assert (await get(probes, "/healthz"))[0] == 200
    for reader, _ in crowd[: 4 * probes_module.CONNECTIONS_MAX - 1]:
        async with asyncio.timeout(10):
            assert await reader.read() == b""
    for _, writer in crowd:
        writer.close()


async def test_connections_that_come_at_once_are_limited_as_well(probes: Probes) -> None:
    """Those that are taken within one turn of the loop hold no more files than those that come one by one."""
    before = len(os.listdir("/proc/self/fd"))
    crowd = [socket.socket() for _ in range(10 * probes_module.CONNECTIONS_MAX)]
    for each in crowd:
        each.setblocking(False)
        each.connect_ex(("127.0.0.1", probes.port))
    assert (await get(probes, "/healthz"))[0] == 200  # it comes after them
    held = len(os.listdir("/proc/self/fd")) - before - len(crowd)
    for each in crowd:
        each.close()
    assert held <= probes_module.CONNECTIONS_MAX + probes_module.BACKLOG


async def test_silence_ends_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a request that goes no further is closed, as an idle connection is."""
    monkeypatch.setattr(probes_module, "IDLE_S", 0.2)
    server = made()
    await server.start()
    for beginning in (b"", b"GET /healthz HTTP/1.1\r\nHost: a\r\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(beginning)
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()
    await server.stop()


async def test_a_port_that_is_taken_is_one_line(probes: Probes) -> None:
    """The message names the variable and the address."""
    second = made(port=probes.port)
    expected = rf"^FLIQ_ADMIN_PORT: 127\.0\.0\.1:{probes.port} is taken by another process; set it to another one$"
    with pytest.raises(ProbesError, match=expected):
        await second.start()
    await second.stop()


async def test_stress() -> None:
    """The server keeps the contract of start and stop."""
    await stress(made(), tasks=4, rounds=5)
