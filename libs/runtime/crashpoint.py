"""
Crash points: named places at which a test makes the process die as if it were killed.

`FLIQ_CRASH_AT=name:n` ends the process with status 137 when it passes the point *name* for the n-th time: no handler
runs, no buffer is flushed. Unset, a pass costs one comparison. A point is declared by its use, `crash_at("room.when")`
with the name as a literal. points() reads them from the source, so that the chaos tests can use all of them, and a
misspelt name is refused at start.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_STATUS = 137  # what a shell shows for a process ended by SIGKILL
_USE = re.compile(r'\bcrash_at\(\s*"([a-z_]+\.[a-z_]+)"\s*\)')
_ROOT = Path(__file__).resolve().parents[2]

_armed: str | None = None
_passes_left = 0


def crash_at(name: str) -> None:
    """End the process here if this point is armed and this is the pass that was asked for."""
    if _armed is not None:
        _pass(name)


def is_armed() -> bool:
    """Whether any point is armed: for callers whose choice of the point costs something."""
    return _armed is not None


def _pass(name: str) -> None:
    global _passes_left
    if name != _armed:
        return
    _passes_left -= 1
    if _passes_left == 0:
        os.write(2, f"fliq: FLIQ_CRASH_AT: dying at {name}\n".encode())
        os._exit(_STATUS)


def points() -> list[str]:
    """Return the names of all crash points of libs and services, sorted; reads the source files."""
    found: set[str] = set()
    for room in ("libs", "services"):
        for file in (_ROOT / room).rglob("*.py"):
            if file != Path(__file__).resolve():
                found.update(_USE.findall(file.read_text(encoding="utf-8")))
    return sorted(found)


def arm(name: str, passes: int) -> None:
    """
    Let the process die at its *passes*-th pass (from 1) of the point *name*.

    Raises:
        ValueError: no such point, or *passes* < 1.
    """
    global _armed, _passes_left
    if name not in points():
        raise ValueError(f"FLIQ_CRASH_AT: {name!r} is not a crash point of this version")
    if passes < 1:
        raise ValueError("FLIQ_CRASH_AT: a crash point fires at its first pass or a later one")
    _armed, _passes_left = name, passes
