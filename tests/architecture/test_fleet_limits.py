"""The simulated fleets make limits of the product small by name: each name is there."""

from __future__ import annotations

from importlib import import_module

from tests.simulation.fleet.run import LIMITS, PACED
from tests.simulation.fleet.stories import keeping


def test_every_limit_that_a_seed_may_draw_exists() -> None:
    """One that was moved would end every seed that draws it, and only those."""
    drawn = [(module, name) for group in LIMITS for module, name, _ in group]
    named = [*drawn, *((module, name) for module, name, _ in (*PACED, *keeping.LIMITS))]

    assert [(module, name) for module, name in named if not hasattr(import_module(module), name)] == []
    assert len(named) > 20
