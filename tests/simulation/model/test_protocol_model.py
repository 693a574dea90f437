"""
The protocol, model-checked: seeded chaos over the real decider, ledger and codec, then calm, then every invariant.

A failing seed replays alone:  FLIQ_TEST_MODEL_SEED=95 pytest tests/simulation/model/test_protocol_model.py -k replay
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest

from tests.simulation.known_seeds import seeds_for
from tests.simulation.model.mutations import MUTATIONS, caught_by
from tests.simulation.model.run import Outcome, run

SEED_VARIABLE = "FLIQ_TEST_MODEL_SEED"
FAST_SEEDS = range(1_500)
NIGHTLY_CHUNKS = [range(start, start + 2_500) for start in range(100_000, 130_000, 2_500)]
MUTATION_SEEDS = range(2_000)  # the rarest mutation is caught about once in 200


def check_seeds(seeds: Iterable[int]) -> list[Outcome]:
    """Run *seeds*; fail at the first one that breaks an invariant, naming it."""
    outcomes = []
    for seed in seeds:
        outcome = run(seed)
        if outcome.violations:
            pytest.fail(f"{SEED_VARIABLE}={seed}\n  " + "\n  ".join(outcome.violations), pytrace=False)
        outcomes.append(outcome)
    return outcomes


def test_no_schedule_breaks_an_invariant() -> None:
    """Whatever dies, is lost, late, doubled or restored: what was promised is kept. And the runs are worth something."""
    outcomes = check_seeds(FAST_SEEDS)

    assert sum(outcome.due_count for outcome in outcomes) > len(outcomes)
    assert sum(outcome.call_count for outcome in outcomes) > len(outcomes)
    assert sum(outcome.tick_count for outcome in outcomes) > len(outcomes) // 20
    assert sum(outcome.failover_count for outcome in outcomes) > len(outcomes) // 4


def test_a_seed_decides_everything() -> None:
    """The same seed gives the same run, so that a failure can be looked at."""
    assert run(7) == run(7)


@pytest.mark.nightly
@pytest.mark.parametrize("seeds", NIGHTLY_CHUNKS, ids=lambda seeds: str(seeds.start))
def test_no_schedule_breaks_an_invariant_nightly(seeds: range) -> None:
    """The same, thirty thousand times."""
    check_seeds(seeds)


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_is_caught(name: str) -> None:
    """The protocol without one of its rules breaks its invariant on some seed: the rule is needed, and the model sees it."""
    seeds = seeds_for("model", name, MUTATION_SEEDS)
    assert caught_by(name, seeds) is not None, f"no breach of {MUTATIONS[name].breaks} in {len(MUTATION_SEEDS)} seeds"


@pytest.mark.skipif(SEED_VARIABLE not in os.environ, reason=f"set {SEED_VARIABLE} to replay a seed")
def test_replay() -> None:
    """The seed that was asked for breaks no invariant."""
    check_seeds((int(os.environ[SEED_VARIABLE]),))
