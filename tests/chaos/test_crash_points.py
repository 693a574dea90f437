"""
Fliq dies at each named point, under load, and goes on: nothing is lost, early, fired after its cancel, or repeated without cause.

By day a life ends at each point of the log and of the flush, where PostgreSQL is what matters. The other points are walked through
by the fleets (tests/simulation/test_fleet.py), in virtual time; here at night, all of them, with more seeds.
"""

from __future__ import annotations

import ast
import asyncio
import os
import random
from pathlib import Path

import pytest

from libs.runtime.crashpoint import points
from tests.chaos.harness import Harness
from tests.chaos.hurting.points import GROUPS, POINTS, of

ROOT = Path(__file__).resolve().parents[2]
PER_S = 40.0
DEATH_S = 30.0  # the load passes every point long before
SEED = int(os.environ.get("FLIQ_TEST_SEED", "1"))
BY_DAY = ("log", "store")


def test_the_table_names_the_points_of_the_code() -> None:
    """A point that is used and not walked through, or walked through and not used, is a mistake."""
    assert sorted(POINTS) == points()
    assert len(POINTS) >= 25
    assert sorted(name for group in GROUPS for name in of(group)) == points()


def test_points_are_literals() -> None:
    """Every use names its point where it stands, so that reading the source finds all of them."""
    used = set()
    for room in ("libs", "services"):
        for file in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "crash_at":
                    used.add(ast.literal_eval(node.args[0]))

    assert used == POINTS.keys()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "group", [group if group in BY_DAY else pytest.param(group, marks=pytest.mark.nightly) for group in GROUPS]
)
async def test_every_point_is_survived(group: str, pg_dsn: str) -> None:
    """Each life of the chain dies where it was told to, and the whole history has no violation; tables == fold."""
    await _chain(group, pg_dsn, SEED)


@pytest.mark.nightly
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(2, 12))
@pytest.mark.parametrize("group", GROUPS)
async def test_every_point_is_survived_in_another_order(group: str, seed: int, pg_dsn: str) -> None:
    """The same with other passes, in another order and under another load."""
    await _chain(group, pg_dsn, seed)


async def _chain(group: str, dsn: str, seed: int) -> None:
    draw = random.Random(f"{seed} {group}")
    names = of(group)
    draw.shuffle(names)
    async with Harness(dsn, seed) as harness:
        # The first life leaves something behind, so that the next one has something to find.
        await harness.start()
        if group == "webhooks":
            await harness.make_endpoint()
        await harness.load.storm(per_s=PER_S, seconds=0.5)
        await harness.kill()
        for name in names:
            crash_at = f"{name}:{draw.randint(*POINTS[name].passes)}"
            await _die(harness, crash_at, POINTS[name].when)
            assert f"dying at {name}" in harness.process.tail(), harness.process.tail()
        await harness.start()
        await harness.verdict()
        if group == "webhooks":
            await harness.all_told()
        assert len(harness.faults) >= 1


async def _die(harness: Harness, crash_at: str, when: str) -> None:
    if not await harness.start(crash_at=crash_at):
        return
    if when == "start":
        # Passed after it was ready: some partitions are taken over later than others.
        assert await harness.wait_dead(crash_at=crash_at, timeout_s=DEATH_S), f"{crash_at} was never passed"
        return
    if when == "tick":
        await harness.tick_soon(f"tick-{crash_at}")
    storm = asyncio.create_task(
        harness.load.storm(per_s=PER_S, seconds=0.5 if when == "stop" else DEATH_S, until=lambda: harness.is_dead)
    )
    try:
        if when == "stop":
            await storm
            harness.terminate()
        assert await harness.wait_dead(crash_at=crash_at, timeout_s=DEATH_S), f"{crash_at} was never passed"
    finally:
        await asyncio.wait([storm])
    storm.result()
