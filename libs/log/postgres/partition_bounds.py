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
# While nobody else writes. The first record of another process is announced, and this is for an announcement that went astray. It
# is a little more than the second in which an API asks anyway.
POLL_ALONE_S: Final = 1.1
POLL_DEAF_S: Final = 0.2  # the same while announcements cannot be heard
POLL_FAILED_S: Final = 0.5
POLL_PATIENCE_S: Final = 1.0  # if an answer takes longer, the readers ask for themselves
LIVELY_S: Final = 1.0  # for how long records of others keep the poller fast
HEARD_S: Final = 7.0  # an announcement holds for more than ANNOUNCE_EVERY_S and the longest commit (see writer.py)
# For so long after a record that nobody had announced, which older builds do not. Their heartbeats come each minute.
COMPANY_S: Final = 600.0

_log = structlog.get_logger("log")


class PartitionBounds:
    """
    Reads log_heads.

    Args:
        queries: where to ask.
        recents: of all partitions; they note what was read.
        writing: returns whether this process has a group under way. Its records may be visible before its writer knows it.
        hears: returns whether announcements of other processes arrive.
    """

    def __init__(
        self,
        queries: LogQueries,
        recents: Sequence[RecentRecords],
        writing: Callable[[], bool],
        hears: Callable[[], bool],
    ) -> None:
        self._queries = queries
        self._recents = recents
        self._writing = writing
        self._hears = hears
        self._shared = SharedRequest(self._read)
        self._wanted = asyncio.Event()
        self._announced = asyncio.Event()
        # By the loop's clock: when another process was last seen to write, last announced that, and last did not.
        self._foreign_at = self._heard_at = self._unannounced_at = float("-inf")
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

    def note_announced(self) -> None:
        """Note that another process announced that it writes: look at once, and often for some seconds."""
        self._heard_at = asyncio.get_running_loop().time()
        self._announced.set()

    def note_foreign(self) -> None:
        """Note that another process wrote records: more will probably follow, so the poller runs faster."""
        self._foreign_at = now = asyncio.get_running_loop().time()
        self._announced.set()
        if now - self._heard_at > HEARD_S:
            self._unannounced_at = now

    async def poll(self) -> None:
        """Look for records of other processes while a reader waits; run until cancelled."""
        pause_s, is_failing = POLL_SLOW_S, False
        while True:
            if not any(recent.has_readers for recent in self._recents):
                self._wanted.clear()
                await self._wanted.wait()
            if pause_s <= POLL_SLOW_S:
                await asyncio.sleep(pause_s)
            elif await self._others_asked(pause_s):
                continue
            self._announced.clear()
            try:
                async with asyncio.timeout(POLL_PATIENCE_S):
                    await self.refresh()
            except Exception as error:  # noqa: BLE001 - if the poller ended, no reader would see what other processes write
                if not is_failing:
                    is_defect = not isinstance(error, LogError | TimeoutError)
                    _log.warning("log_poll_failed", error=line(error), exc_info=is_defect)
                pause_s, is_failing = POLL_FAILED_S, True
                for recent in self._recents:
                    recent.wake()  # they ask for themselves, and find out
            else:
                pause_s, is_failing = self._next_pause(pause_s), False

    async def _others_asked(self, pause_s: float) -> bool:
        """Pause, but not beyond an announcement. Return whether no look is needed, since log_heads was read meanwhile."""
        count = self.refresh_count
        try:
            async with asyncio.timeout(pause_s):
                await self._announced.wait()
        except TimeoutError:
            return self.refresh_count > count
        return False

    def _next_pause(self, pause_s: float) -> float:
        now = asyncio.get_running_loop().time()
        is_expected = now - self._heard_at < HEARD_S or now - self._unannounced_at < COMPANY_S
        return next_pause(pause_s, now - self._foreign_at, is_expected=is_expected, hears=self._hears())

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


def next_pause(pause_s: float, silent_s: float, *, is_expected: bool, hears: bool) -> float:
    """
    Return the pause before the next look, *pause_s* after the one before.

    Args:
        silent_s: for how long no record of another process was found.
        is_expected: whether another process may write without an announcement that would end the pause.
        hears: whether announcements arrive.
    """
    if silent_s < LIVELY_S:
        return POLL_FAST_S
    if is_expected:
        return min(POLL_SLOW_S, pause_s + POLL_FAST_S)
    return POLL_ALONE_S if hears else POLL_DEAF_S
