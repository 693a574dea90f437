"""
Kills at random moments: twenty of Fliq itself, one of its database server, and restarts that must not be noticed at all.

The embedded cases run with fsync, on a server and a data directory of their own, as `fliq all` does without any setting.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from pathlib import Path

import asyncpg
import pytest

from tests.chaos.harness import PER_S, Harness
from tests.chaos.judging.checker import check
from tests.chaos.judging.history import Fault, History
from tests.chaos.load import now_ms
from tests.chaos.proving.planted import PLANTED
from tests.fakes.running.operating import command
from tests.fakes.until import until

pytestmark = pytest.mark.timeout(300)  # it takes one; a machine that is busy may need more

KILLS = 20
BACK_MS = 1_500.0  # until connections and owners are back, when Fliq may not have noticed yet that they were gone
# What only some runs have: a tick (the minute must turn, away from a kill), a call in flight at a kill.
NEEDS_LUCK = {
    "two owners tick",
    "a tick is skipped",
    "a deleted schedule ticks",
    "a repeated attempt gets a new execution id",
}
CUT = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
SEED = int(os.environ.get("FLIQ_TEST_SEED", "1"))


def repeated(history: History) -> list[str]:
    """The executions that called more than once."""
    counts = Counter(call.execution_id for call in history.calls)
    return [each for each, count in counts.items() if count > 1]


async def test_twenty_kills_at_random_moments_lose_nothing(pg_dsn: str) -> None:
    """0 lost, 0 early, 0 after an acknowledged cancel; what is repeated was in flight at a kill, under the same id."""
    draw = random.Random(SEED)
    async with Harness(pg_dsn, SEED) as harness:

        async def hurt() -> None:
            for _ in range(KILLS):
                # Sometimes before it is ready: a start is a moment like any other.
                harness.spawn()
                await harness.wait_ready(at_most_s=draw.choice((0.2, 0.4, 0.6, 30, 30, 30)))
                await asyncio.sleep(draw.uniform(0, 0.8))
                await harness.kill()
            await harness.start()
            # Calls that no kill is near: what is planted in them has no excuse.
            await harness.calls(40)

        await harness.start()
        await harness.load.every_minute("every-minute")
        await harness.load.storm(per_s=PER_S, seconds=0.5)
        await harness.kill()
        await harness.storm_while(hurt())
        history = await harness.verdict()

    blind = [bug for bug in PLANTED if bug not in NEEDS_LUCK and not _is_found(bug, history)]
    assert not blind, f"the checker would not have seen these in this very run: {blind}"


def _is_found(bug: str, history: History) -> bool:
    """Whether the checker finds *bug*, planted in this run."""
    name, change = PLANTED[bug]
    try:
        return name in {violation.name for violation in check(change(history))}
    except LookupError:
        return False


async def test_graceful_restarts_under_load_repeat_nothing(pg_dsn: str) -> None:
    """SIGTERM drains: every exit code is 0, no execution calls twice, and no call is lost or early."""
    async with Harness(pg_dsn, SEED) as harness:

        async def restart() -> None:
            for _ in range(3):
                await harness.calls(15)
                assert await harness.stop() == 0, harness.process.tail()
                await harness.start()

        await harness.start()
        await harness.storm_while(restart())
        history = await harness.verdict()

    assert harness.has_stood_still or repeated(history) == []


async def test_backends_that_are_ended_under_load_repeat_nothing(pg_dsn: str) -> None:
    """Every connection to the database is cut, five times: what was acknowledged holds, and no execution calls twice."""
    async with Harness(pg_dsn, SEED) as harness:

        async def cut() -> None:
            connection = await asyncpg.connect(pg_dsn, timeout=10, command_timeout=10)
            try:
                for _ in range(5):
                    await harness.calls(10)
                    at = now_ms()
                    count = await connection.fetchval(CUT)
                    assert count > 0
                    assert await harness.wait_ready(at_most_s=20), harness.process.tail()
                    # Lateness is excused while connections and owners come back; nothing else is.
                    harness.faults.append(Fault(kind="term", at=at, until=now_ms() + BACK_MS))
            finally:
                await connection.close()

        await harness.start()
        await harness.storm_while(cut())
        history = await harness.verdict()

    assert harness.has_stood_still or repeated(history) == []


async def test_an_embedded_fliq_survives_kills_and_the_death_of_its_server() -> None:
    """With its own server and fsync: kill -9 of Fliq, then of the postmaster under it, then a stop; `fliq verify` agrees."""
    async with Harness(None, SEED) as harness:

        async def hurt() -> None:
            for _ in range(2):
                await harness.calls(10)
                await harness.kill()
                await harness.start()
            await harness.calls(10)
            await _kill_postmaster(harness)

        await harness.start()
        await harness.storm_while(hurt())
        await harness.verdict()
        assert await harness.stop() == 0, harness.process.tail()
        verified = await command(harness.fliq, "verify")
        assert verified.code == 0, verified.out + verified.err


async def _kill_postmaster(harness: Harness) -> None:
    """Kill the embedded server's postmaster with -9, and wait until Fliq is ready again by itself."""
    pid_file = Path(harness.fliq.settings["FLIQ_DATA_DIR"]) / "postgres" / "postmaster.pid"
    pid = _first_word(pid_file)
    at = now_ms()
    os.kill(int(pid), signal.SIGKILL)
    # Fliq notices within a second or so, until when it says that it is ready, and starts another one.
    await until(lambda: _first_word(pid_file) not in ("", pid), within_s=20, every_s=0.01)
    assert await harness.wait_ready(at_most_s=20), harness.process.tail()
    harness.faults.append(Fault(kind="postmaster", at=at, until=now_ms() + BACK_MS))


def _first_word(path: Path) -> str:
    """Return the first word of a file, nothing where there is none."""
    try:
        return (path.read_text().split() or [""])[0]
    except FileNotFoundError:
        return ""
