"""
The nemesis on real processes: in a short run with a few faults, and at night in the long one, Fliq keeps its word.

The short runs assert what must never happen. How fast things are is measured by `make chaos` and the benchmarks: here bounds are so
wide that a busy machine does not reach them.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from tests.chaos.campaign import Order, run
from tests.chaos.hurting.cluster import Topology
from tests.chaos.judging.checker import check
from tests.chaos.judging.history import History
from tests.chaos.proving.planted_plans import PLANTED_PLANS
from tests.chaos.report import write
from tests.kafka.source import find

SEED = int(os.environ.get("FLIQ_TEST_SEED", "1"))
# What the last faults of a short run excuse until its end.
NEEDS_QUIET = ("one of the missed ticks is left out", "an expired job is called")
FEW = {"scheduler": 2, "dispatcher": 2, "webhooks": 1, "api": 1}


def _skip_without_brokers() -> None:
    source = find()
    if source.kind != "java":
        pytest.skip(f"brokers that may be killed are needed: {source.said}")


async def _campaign(order: Order) -> None:
    outcome = await run(order)
    text = write(outcome)
    assert outcome.is_good, text
    assert _blind(outcome.history) == [], "the checker would not have seen these in this very run"
    assert len(outcome.history.faults) >= 1 + (order.faults or 1)  # the start is one


def _blind(history: History) -> list[str]:
    """Return the bugs about rules of their own that the checker does not find, planted in this run."""
    blind = []
    for bug, (name, change) in PLANTED_PLANS.items():
        with contextlib.suppress(LookupError):  # no job or schedule of its kind met no fault
            if bug not in NEEDS_QUIET and name not in {
                violation.name for violation in check(change(history), late_ms=60_000)
            }:
                blind.append(bug)
    return blind


@pytest.mark.everywhere("kafka")
@pytest.mark.timeout(420)
@pytest.mark.parametrize("topology", ["split", "kafka"])
async def test_a_few_faults(topology: Topology, tmp_path: Path) -> None:
    """Separate processes, two of them owners: faults of the seed, one after the other or two at once, break no promise."""
    if topology == "kafka":
        _skip_without_brokers()
    await _campaign(
        Order(
            topology=topology,
            seed=SEED + (topology == "kafka"),  # other faults on the other topology
            out=tmp_path,
            seconds=60,
            faults=4,
            per_s=15,
            counts=FEW,
            pause_s=(0.3, 1.0),
            hold_max_s=5.0,
            late_ms=60_000,
            recovery_ms=120_000,
        )
    )


@pytest.mark.nightly
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("topology", ["embedded", "split"])
async def test_twenty_minutes_without_kafka(topology: Topology, tmp_path: Path) -> None:
    """As many faults as fit, on one process and on many, with the log in PostgreSQL."""
    await _campaign(Order(topology=topology, seed=SEED, out=tmp_path, seconds=1_200))


@pytest.mark.nightly
@pytest.mark.timeout(7_200)
async def test_two_hundred_faults_and_a_hundred_thousand_jobs(tmp_path: Path) -> None:
    """On three brokers, with every kind of fault there is."""
    _skip_without_brokers()
    await _campaign(
        Order(
            topology="kafka",
            brokers=3,
            partitions=16,
            seed=SEED,
            out=tmp_path,
            seconds=5_400,
            faults=200,
            jobs=100_000,
            per_s=60,
        )
    )
