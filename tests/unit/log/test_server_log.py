"""What a log on a server keeps in memory."""

import asyncio

import pytest

from libs.events import Envelope
from libs.log import server_log
from libs.log.port import Record
from libs.log.server_log import BURST_RECORDS, Running


class NoServer(Running):
    """A run without a server."""

    async def stop(self) -> None: ...

    def watch(self, partition: int) -> None: ...

    def answer_count(self, partition: int) -> int:
        return 0

    async def read(self, partition: int, position: int, max_records: int) -> list[Record]:
        return []


async def test_the_memory_of_a_burst_is_given_back_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """When its records are let go and hardly any have come since; the few of a quiet time are not worth it."""
    given: list[int] = []
    monkeypatch.setattr(server_log, "RECENT_S", 0)
    monkeypatch.setattr(server_log, "give_back", lambda: given.append(1))
    run = NoServer(1)
    recent = run.recents[0]

    async def rounds(count: int, *, new: int) -> None:
        for _ in range(count):
            first = recent.next
            if new:
                recent.add([Record(first + n, 0, Envelope("t", 1, True, None, "k", b"x")) for n in range(new)])
            await asyncio.sleep(0)

    letting_go = asyncio.create_task(run._let_go())
    await rounds(1, new=0)
    await rounds(3, new=BURST_RECORDS + 1)
    assert given == []  # it goes on
    await rounds(4, new=0)
    assert given == [1]
    await rounds(5, new=9)
    await rounds(3, new=0)
    assert given == [1]
    letting_go.cancel()
