"""The table of invariants: each is noticed by somebody, who is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.simulation.fleet.mutations import MUTATIONS as FLEET
from tests.simulation.invariants import INVARIANTS
from tests.simulation.model import checker
from tests.simulation.model.mutations import MUTATIONS as MODEL

ROOT = Path(__file__).parents[2]


def test_the_table_has_every_invariant() -> None:
    """Those that the model checks by number; I11, which the ledger asserts; I19, I29 and I32, which the fleet's judge sees."""
    checked = re.findall(r"^    (I\d+) ", checker.__doc__ or "", re.MULTILINE)

    assert list(INVARIANTS) == sorted({*checked, "I11", "I19", "I29", "I32"}, key=lambda name: int(name[1:]))


@pytest.mark.parametrize("number", INVARIANTS)
def test_every_invariant_is_noticed(number: str) -> None:
    """The mutation of the model breaks this invariant, the fleet has its mutation, the test is there."""
    _, by, name, violation = INVARIANTS[number]
    match by:
        case "model":
            assert MODEL[name].breaks == number
        case "fleet":
            assert name in FLEET
            assert violation
        case "test":
            path, _, function = name.partition("::")
            assert f"def {function}(" in (ROOT / path).read_text()
