"""
Seeds that found a planted defect, or come past a crash point: the search for one begins there, and is mostly over at once.

A seed does so as long as what it draws stays the same. One that has become blind costs time, not the proof: the search
goes on as it would without. When that takes long, this writes known_seeds.json again:

    python -m tests.simulation.known_seeds
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

_FILE: Final = Path(__file__).with_suffix(".json")
_KNOWN: Final[dict[str, dict[str, int | None]]] = json.loads(_FILE.read_text(encoding="utf-8"))


def seeds_for(search: str, name: str, seeds: Iterable[int]) -> Iterator[int]:
    """Yield the seed that is known to find *name* in a *search* (`fleet` and `model` for defects, `crashes`), then *seeds*."""
    known = _KNOWN[search].get(name)
    if known is not None:
        yield known
    yield from seeds


def _write() -> None:
    from tests.simulation.fleet import campaign
    from tests.simulation.fleet.mutations import MUTATIONS, RARE
    from tests.simulation.model import mutations as of_model
    from tests.simulation.test_fleet import CRASHES, WITHIN

    quick = [name for name in MUTATIONS if name not in RARE]
    seeds = {
        "fleet": {name: seed for name, seed, _ in campaign.find_planted(quick, within=WITHIN)},
        "crashes": {point: seed for point, seed, _ in campaign.find_crashes(CRASHES, within=WITHIN)},
        "model": {
            name: of_model.caught_by(name, seeds_for("model", name, range(2_000))) for name in of_model.MUTATIONS
        },
    }
    _FILE.write_text(json.dumps(seeds, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    _write()
