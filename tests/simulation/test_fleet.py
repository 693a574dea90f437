"""
Whole fleets of the real services, in virtual time, under seeded faults: every promise is kept, and a seed decides everything.

A failing seed replays alone, with its trace:  make simulate SEED=36
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.chaos.hurting.points import POINTS
from tests.simulation.fleet.campaign import ROOT, Campaign
from tests.simulation.fleet.loop import RealIo, SimLoop, Stalled
from tests.simulation.fleet.mutations import MUTATIONS, RARE
from tests.simulation.invariants import INVARIANTS

FIRST = int(os.environ.get("FLIQ_TEST_FLEET_FROM", "0"))
COUNT = 150
NIGHTLY_COUNT = 10_000
KEEPING_COUNT = 2_000
WITHIN = 500  # seeds, where the known one finds nothing any more; the rarest of the quick ones takes 170
RARE_WITHIN = 4_000
# The pass of each crash point at which a process dies; what stands in the adapters of the log is passed on real processes only.
CRASHES = {name: min(2, point.passes[1]) for name, point in POINTS.items() if not name.startswith("log.")}


def check(count: int, first: int, *, keeping: bool = False) -> Campaign:
    """Play *count* seeds, perhaps only *keeping* ones; fail with the command that replays the first one that breaks a promise."""
    print(f"seeds {first} to {first + count - 1} (FLIQ_TEST_FLEET_FROM={first})")
    campaign = Campaign(first, count, jobs=2, keeping=keeping)
    campaign.run()
    for seed, violations in sorted(campaign.broken.items()):
        pytest.fail(f"make simulate SEED={seed}\n  " + "\n  ".join(violations), pytrace=False)
    return campaign


@pytest.mark.timeout(1_200)
def test_no_seed_breaks_a_promise() -> None:
    """Nothing is lost, early, doubled without a fault or left undone. And the runs are worth something."""
    campaign = check(COUNT, FIRST)

    assert campaign.totals["calls"] > 10 * COUNT
    assert campaign.totals["blows"] > 2 * COUNT
    assert campaign.totals["lives"] > 3 * COUNT


@pytest.mark.nightly
@pytest.mark.timeout(7_200)
def test_no_seed_breaks_a_promise_nightly() -> None:
    """The same, ten thousand times, on other seeds."""
    check(NIGHTLY_COUNT, FIRST + 1_000_000)


@pytest.mark.nightly
@pytest.mark.timeout(14_400)
def test_no_seed_that_forgets_and_trims_breaks_a_promise_nightly() -> None:
    """What keepers do, and their deaths at each step of it: the fold of the trimmed log, and the sums, are the tables."""
    campaign = check(KEEPING_COUNT, FIRST + 3_000_000, keeping=True)

    assert campaign.totals["lives"] > 4 * KEEPING_COUNT


@pytest.mark.timeout(300)
def test_a_seed_decides_everything() -> None:
    """The same seeds give the same runs, event by event, in processes that hash differently."""
    one, two = (Campaign(FIRST, 6, jobs=1, hash_seed=each, go_on=True) for each in ("1", "2"))
    one.run()
    two.run()

    assert one.digests == two.digests
    assert len(set(one.digests.values())) == 6


def fleet(*words: str) -> list[dict[str, Any]]:
    """Return what the program says."""
    command = [sys.executable, "-m", "tests.simulation.fleet", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.timeout(600)
def test_every_crash_point_is_survived() -> None:
    """A process that dies at a crash point, of whatever role, breaks no promise; those of the log itself are for chaos."""
    said = fleet("--seeds", str(WITHIN), "--crashes", *(f"{name}:{passes}" for name, passes in CRASHES.items()))

    assert {each["point"] for each in said} == CRASHES.keys()
    assert [each["point"] for each in said if each["seed"] is None] == []
    assert [each for each in said if each["violations"]] == []


@pytest.mark.parametrize(
    ("point", "defect"),
    [("dispatcher.after_send:2", "forgets_in_flight"), ("webhooks.before_send:2", "pending_webhooks_forgotten")],
)
def test_a_crash_finds_a_defect(point: str, defect: str) -> None:
    """Where nothing else goes wrong, the death of a process is what shows that the next one forgets."""
    (with_crash,) = fleet("--seeds", "20", "--crashes", point, "--mutation", defect)
    (without,) = fleet("--seeds", "1", "--crashes", "no.point:1", "--mutation", defect)

    assert with_crash["violations"] != []
    assert without["violations"] == []


def planted(names: list[str], *, within: int) -> dict[str, list[str]]:
    """Return the violations by which each of *names* is found; none if it is not."""
    return {said["mutation"]: said["violations"] for said in fleet("--seeds", str(within), "--planted", *names)}


@pytest.mark.timeout(900)
def test_planted_defects_are_found() -> None:
    """The product without one of its rules breaks a promise on some seed: the rule is needed, and the fleet sees it."""
    quick = [name for name in MUTATIONS if name not in RARE]
    found = planted(quick, within=WITHIN)

    assert [name for name in quick if not found[name]] == []
    assert len(quick) >= 12
    for each in INVARIANTS.values():
        if each.by == "fleet":
            assert each.violation in {violation.split()[0] for violation in found[each.name]}


@pytest.mark.nightly
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("name", RARE)
def test_a_rare_defect_is_found(name: str) -> None:
    """The same, for what takes a rare coincidence."""
    assert planted([name], within=RARE_WITHIN)[name]


def test_time_jumps_to_the_next_timer() -> None:
    """An hour of waiting takes no time."""
    loop = SimLoop(1)
    loop.run_until_complete(asyncio.sleep(3_600))

    assert loop.time() == 3_600
    loop.close()


def test_nothing_real_is_reached() -> None:
    """A thread, a connection or a file descriptor inside of the simulation is an error, not a slip."""
    loop = SimLoop(1)

    with pytest.raises(RealIo):
        loop.run_until_complete(asyncio.to_thread(len, "x"))
    with pytest.raises(RealIo):
        loop.run_until_complete(asyncio.open_connection("127.0.0.1", 1))
    loop.close()


def test_a_spin_is_found() -> None:
    """Whoever waits for nothing, over and over at one instant, is stopped."""

    async def spin() -> None:
        while True:  # noqa: ASYNC110 - that is what is to be found
            await asyncio.sleep(0)

    loop = SimLoop(1)
    task = loop.create_task(spin())
    with pytest.raises(Stalled):
        loop.run_until_complete(task)
    loop.abandon()
