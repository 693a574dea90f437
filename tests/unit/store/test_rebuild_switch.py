"""The end of a rebuild's switch: what happens after the commit does not undo it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from libs.store.reads.partition_tables import TablePosition
from libs.store.rebuild import rebuild, side_tables
from libs.store.rebuild.rebuild import Rebuild


class Writer:
    """A connection that waits until the switch is committed, and answers then, or dies."""

    def __init__(self, error: Exception | None) -> None:
        self.committed = asyncio.Event()
        self._error = error

    async def fetchval(self, _: str) -> int:
        await self.committed.wait()
        if self._error is not None:
            raise self._error
        return 4


class Switched(Rebuild):
    """A rebuild that has nothing to fold any more; *tries* counts how often it switched."""

    def __init__(self, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(None, "")  # type: ignore[arg-type]  # nothing is read
        self._writers = [writer]
        self.tries = 0
        self.commit_turns = 0

        @asynccontextmanager
        async def switching(_: Any) -> AsyncIterator[Any]:
            async def switch(last: Any) -> None:
                await last()

            yield switch
            self.tries += 1
            for _turn in range(self.commit_turns):
                await asyncio.sleep(0)
            writer.committed.set()

        monkeypatch.setattr(side_tables, "switching", switching)

    async def _follow(self) -> None:
        pass

    async def _last_records(self, control: Any) -> dict[int, TablePosition]:
        return {}


async def test_the_pause_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing fails: it is some time."""
    paused_ms = await Switched(Writer(None), monkeypatch)._switch(None)
    assert paused_ms is not None
    assert paused_ms >= 0


@pytest.mark.parametrize("error", [TimeoutError(), ConnectionResetError("reset")])
async def test_a_pause_that_cannot_be_measured_is_no_failure(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection that measures dies after the commit: the switch is done, once, and the time is not known."""
    switched = Switched(Writer(error), monkeypatch)
    assert await switched._switch(None) is None
    assert switched.tries == 1


async def test_who_measures_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection that measures never answers."""
    writer = Writer(None)
    writer.committed.set = lambda: None  # type: ignore[method-assign]
    monkeypatch.setattr(rebuild, "MEASURE_S", 0.01)
    assert await Switched(writer, monkeypatch)._switch(None) is None


async def test_the_commit_is_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """It removes files and may take its time; given up, nobody would know whether the tables were switched."""
    switched = Switched(Writer(None), monkeypatch)
    switched.commit_turns = 5
    monkeypatch.setattr(rebuild, "SWITCH_S", 0.0)
    assert await switched._switch(None) is not None
    assert switched.tries == 1
