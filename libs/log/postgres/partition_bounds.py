"""Heads: where every partition begins and ends, asked of the database once for all who want to know."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from libs.log.port import LogError
from libs.log.postgres import sql
from libs.log.postgres.connection import LogQueries, line
from libs.log.recent_records import RecentRecords
from libs.log.shared_request import SharedRequest

POLL_FAST_S: Final = 0.005
POLL_SLOW_S: Final = 0.025
POLL_FAILED_S: Final = 0.5
LIVELY_S: Final = 1.0  # for how long records of others keep the poller fast

_log = structlog.get_logger("log")


class Heads:
    """
    The shared look at log_heads.

    Args:
        queries: where to ask.
        recents: of all partitions; they learn what was seen.
        writing: says whether this process has a group under way, which may be visible before its writer knows.
    """

    def __init__(self, queries: LogQueries, recents: Sequence[RecentRecords], writing: Callable[[], bool]) -> None:
        self._queries = queries
        self._recents = recents
        self._writing = writing
        self._shared = SharedRequest(self._read)
        self._wanted = asyncio.Event()
        self._foreign_at = float("-inf")  # when, by the loop's clock, another process was last seen to write
        self.looks = 0  # how often the heads were read; tells a reader who waited whether anybody looked

    async def look(self) -> None:
        """
        Bring every recent's begin and end up to date, by a query that is sent after this call began.

        Raises:
            LogUnavailable: the database did not answer in time.
        """
        await self._shared.ask()

    def watch(self) -> None:
        """Have the poller look as long as somebody waits."""
        self._wanted.set()

    def note_foreign(self) -> None:
        """Records of another process were seen: more are to be expected."""
        self._foreign_at = asyncio.get_running_loop().time()

    async def poll(self) -> None:
        """Look for records of other processes while somebody waits for some; runs until it is cancelled."""
        loop = asyncio.get_running_loop()
        pause_s = POLL_SLOW_S
        while True:
            if not any(recent.has_readers for recent in self._recents):
                self._wanted.clear()
                await self._wanted.wait()
            await asyncio.sleep(pause_s)
            try:
                await self.look()
            except LogError as error:
                _log.warning("log_poll_failed", error=line(error))
                pause_s = POLL_FAILED_S
                continue
            except Exception:  # noqa: BLE001 - as said below
                # A defect; a poller that ended would leave every reader blind for what other processes write.
                _log.exception("log_poll_failed")
                pause_s = POLL_FAILED_S
                continue
            lively = loop.time() - self._foreign_at < LIVELY_S
            pause_s = POLL_FAST_S if lively else min(POLL_SLOW_S, pause_s + POLL_FAST_S)

    async def stop(self) -> None:
        """End the query under way; the queries must have been stopped."""
        await self._shared.stop()

    async def _read(self) -> None:
        for part, begin, end in await self._queries.run(sql.HEADS):
            if part < len(self._recents):
                recent = self._recents[part]
                if end > recent.known_end and not self._writing():
                    self.note_foreign()
                recent.see(begin, end)
        self.looks += 1
