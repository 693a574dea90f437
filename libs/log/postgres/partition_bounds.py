"""PartitionBounds: where every partition begins and ends, asked of the database once for all who want to know."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from libs.log.error_line import line
from libs.log.port import LogError
from libs.log.postgres import sql
from libs.log.postgres.connection import LogQueries
from libs.log.recent_records import RecentRecords
from libs.log.shared_request import SharedRequest

POLL_FAST_S: Final = 0.005
POLL_SLOW_S: Final = 0.025
POLL_ALONE_S: Final = 0.2  # while nobody else writes: the first record of another process is seen so late
POLL_FAILED_S: Final = 0.5
LIVELY_S: Final = 1.0  # for how long records of others keep the poller fast
COMPANY_S: Final = 600.0  # after so long without a record of others this process is alone; heartbeats come each minute

_log = structlog.get_logger("log")


class PartitionBounds:
    """
    Reads log_heads.

    Args:
        queries: where to ask.
        recents: of all partitions; they note what was read.
        writing: returns whether this process has a group under way. Its records may be visible before its writer knows it.
    """

    def __init__(self, queries: LogQueries, recents: Sequence[RecentRecords], writing: Callable[[], bool]) -> None:
        self._queries = queries
        self._recents = recents
        self._writing = writing
        self._shared = SharedRequest(self._read)
        self._wanted = asyncio.Event()
        self._foreign_at = float("-inf")  # when, by the loop's clock, another process was last seen to write
        self.refresh_count = 0  # how often log_heads was read: a reader that waited sees whether it was read meanwhile

    async def refresh(self) -> None:
        """
        Bring begin and end of every partition up to date, by a query that is sent after this call began.

        Raises:
            LogUnavailable: the database did not answer in time.
        """
        await self._shared.ask()

    def watch(self) -> None:
        """Let the poller run while a reader waits."""
        self._wanted.set()

    def note_foreign(self) -> None:
        """Note that another process wrote records: more will probably follow, so the poller runs faster."""
        self._foreign_at = asyncio.get_running_loop().time()

    async def poll(self) -> None:
        """Look for records of other processes while a reader waits; run until cancelled."""
        loop = asyncio.get_running_loop()
        pause_s = POLL_SLOW_S
        while True:
            if not any(recent.has_readers for recent in self._recents):
                self._wanted.clear()
                await self._wanted.wait()
            await asyncio.sleep(pause_s)
            try:
                await self.refresh()
            except LogError as error:
                _log.warning("log_poll_failed", error=line(error))
                pause_s = POLL_FAILED_S
                continue
            except Exception:  # noqa: BLE001 - as said below
                # A defect. If the poller ended, no reader would ever see what other processes write.
                _log.exception("log_poll_failed")
                pause_s = POLL_FAILED_S
                continue
            pause_s = next_pause(pause_s, loop.time() - self._foreign_at)

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
        self.refresh_count += 1


def next_pause(pause_s: float, silent_s: float) -> float:
    """Return the pause before the next look, *pause_s* after the one before; nobody else was seen to write for *silent_s*."""
    if silent_s < LIVELY_S:
        return POLL_FAST_S
    return min(POLL_SLOW_S if silent_s < COMPANY_S else POLL_ALONE_S, pause_s + POLL_FAST_S)
