"""Shown positions: told when they change, and a log that does not take them costs nothing."""

from collections.abc import Mapping

import pytest
import structlog

from libs.log import shown
from libs.log.port import LogUnavailable
from libs.log.shown import ShownPositions
from libs.runtime.clock import ManualClock


class Tool:
    """What takes positions; *fails* makes it refuse."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[int, int]]] = []
        self.fails = False

    async def show(self, group: str, positions: Mapping[int, int]) -> None:
        if self.fails:
            raise LogUnavailable("says the test")
        self.told.append((group, dict(positions)))


async def test_what_changed_is_told_each_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what moved; everything again now and then, since a silent group is forgotten."""
    monkeypatch.setattr(shown, "AGAIN_EVERY", 4)
    tool, clock, positions = Tool(), ManualClock(), {0: 5, 1: -1}
    telling = ShownPositions("g", lambda: positions, tool.show, clock=clock)
    await telling.start()
    await clock.advance(1_000)
    await clock.advance(1_000)
    positions[0] = 6
    await clock.advance(1_000)
    await clock.advance(1_000)
    await telling.stop()
    await clock.advance(5_000)
    assert tool.told == [("g", {0: 5, 1: -1}), ("g", {0: 6}), ("g", {0: 6, 1: -1})]


async def test_a_failure_is_logged_once_and_never_matters() -> None:
    """What could not be told is told later; a second failure in a row is not logged."""
    tool = Tool()
    telling = ShownPositions("g", lambda: {0: 5}, tool.show, clock=ManualClock())
    tool.fails = True
    with structlog.testing.capture_logs() as logs:
        await telling.tell()
        await telling.tell()
        tool.fails = False
        await telling.tell()
    assert [entry["event"] for entry in logs] == ["log.positions_not_shown"]
    assert tool.told == [("g", {0: 5})]
