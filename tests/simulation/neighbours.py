"""Hostile accounts beside an innocent one: what both services are asked to survive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.fakes.partition import SECRET, FoldedTables
from tests.fakes.targets import ScriptedEgress
from tests.simulation.manual_clock import ManualClock

HOSTILE: Final = tuple(f"hostile{number}" for number in range(5))
INNOCENT: Final = "innocent"
HEALTHY: Final = "http://healthy.example"
BODY: Final = "x" * 262_000
WIDE_BODY: Final = "😀" + "x" * 261_990  # one character beyond the BMP: as a str it takes four bytes for each character


def know(tables: FoldedTables) -> None:
    """Let all these accounts sign."""
    tables.secrets |= dict.fromkeys([*HOSTILE, INNOCENT], (SECRET,))


def black_holes(egress: ScriptedEgress, count: int) -> Sequence[str]:
    """Return hosts that never answer."""
    hosts = [f"http://hole{number}.example" for number in range(count)]
    for host in hosts:
        egress.hang(host)
    return hosts


async def let_pass(clock: ManualClock, seconds: int) -> None:
    """Move the clock in steps, so that what is read each second is read."""
    for _ in range(seconds):
        await clock.advance(1_000)
