"""Shown positions: told each second, with whose they are; and a log that does not take them costs nothing."""

import asyncio
from collections.abc import Mapping

import pytest
import structlog

from libs.log import reported_positions as shown
from libs.log.port import LogUnavailable
from libs.log.reported_positions import ReportedPositions, has_company
from tests.simulation.manual_clock import ManualClock


class Tool:
    """What takes positions and notes; *fails* makes it refuse."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[int, int], str]] = []
        self.kept: dict[str, dict[int, str]] = {}
        self.fails = False
        self.trouble: Exception = LogUnavailable("says the test")

    async def show(self, group: str, positions: Mapping[int, int], note: str) -> None:
        if self.fails:
            raise self.trouble
        self.told.append((group, dict(positions), note))
        self.kept.setdefault(group, {}).update(dict.fromkeys(positions, note))

    async def notes(self, group: str) -> Mapping[int, str]:
        if self.fails:
            raise LogUnavailable("says the test")
        return dict(self.kept.get(group, {}))


async def test_what_changed_is_told_each_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what moved, one at least, so that it is seen who works; everything again now and then, since groups are forgotten."""
    monkeypatch.setattr(shown, "AGAIN_EVERY", 4)
    tool, clock, positions = Tool(), ManualClock(), {0: 5, 1: -1}
    telling = ReportedPositions("g", lambda: positions, tool.show, writer="db", clock=clock)
    await telling.start()
    await clock.advance(1_000)
    await clock.advance(1_000)
    positions[1] = 0
    await clock.advance(1_000)
    await clock.advance(1_000)
    await telling.stop()
    await clock.advance(5_000)
    assert tool.told == [
        ("g", {0: 5, 1: -1}, "db 1"),
        ("g", {0: 5}, "db 2"),
        ("g", {1: 0}, "db 3"),
        ("g", {0: 5, 1: 0}, "db 4"),
    ]


async def test_who_reads_nothing_tells_nothing() -> None:
    """A process without partitions leaves the telling to the others."""
    tool = Tool()
    await ReportedPositions("g", dict, tool.show, writer="db", clock=ManualClock()).tell()
    assert tool.told == []


@pytest.mark.parametrize("trouble", [LogUnavailable("says the test"), AssertionError("a driver's defect")])
async def test_a_failure_is_logged_once_and_never_matters(trouble: Exception) -> None:
    """What could not be told is told later; a second failure in a row is not logged."""
    tool = Tool()
    tool.trouble = trouble
    telling = ReportedPositions("g", lambda: {0: 5}, tool.show, writer="db", clock=ManualClock())
    tool.fails = True
    with structlog.testing.capture_logs() as logs:
        await telling.tell()
        await telling.tell()
        tool.fails = False
        await telling.tell()
    assert [entry["event"] for entry in logs] == ["log_positions_not_shown"]
    assert [positions for _, positions, _ in tool.told] == [{0: 5}]


async def look(tool: Tool, clock: ManualClock, *meanwhile: ReportedPositions) -> bool:
    """Look for company as `ours`, while the others tell for as long as that takes."""
    looking = asyncio.create_task(has_company(["g", "h"], tool.notes, writer="ours", clock=clock))
    await clock.settle()
    for _ in range(3):
        for each in meanwhile:
            await each.tell()
        await clock.advance(1_000)
    return await looking


async def test_company_is_who_tells_something_new() -> None:
    """Another database's process that works is company; one that ended, one of our own database, and silence are not."""
    tool, clock = Tool(), ManualClock()
    assert not await look(tool, clock)
    ours = ReportedPositions("g", lambda: {0: 1}, tool.show, writer="ours", clock=clock)
    assert not await look(tool, clock, ours)
    theirs = ReportedPositions("h", lambda: {1: 1}, tool.show, writer="theirs", clock=clock)
    await theirs.tell()
    assert not await look(tool, clock, ours)
    assert await look(tool, clock, ours, theirs)
    tool.fails = True
    assert not await look(tool, clock)
