"""
Creation limits: when a well-formed request for new work is refused.

There are three reasons. The disk of the database is nearly full (503). The tables are far behind the log in every partition: a new
job could not be listed, cancelled or fired in time (503). Or the account has used up its executions of the day (429); jobs accepted
before wait for the next day.

If only some partitions are behind (one is halted, has no owner, or no broker leads it), new work goes to the others.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

import structlog

from libs.domain.instants import next_midnight
from libs.domain.job import JobState
from libs.log.ends import ends_of
from libs.log.port import Log
from libs.runtime.clock import Clock
from libs.store.errors import StoreUnavailable
from libs.store.projection.progress import ProgressWatch
from libs.store.reads.account_queries import AccountQueries
from services.api.contract.api_error import ApiError, unavailable
from services.api.contract.instants import utc_day

LAG_MAX: Final = 200_000  # records in the log and not yet in the tables, over all partitions
LOOK_S: Final = 0.25
QUIET_LOOK_S: Final = 1.0  # while nobody asks for new work
_NEAR: Final = 1000  # if fewer executions are left, every create reads the table
_REMEMBER_MS: Final = 1000
_ACCOUNTS_MAX: Final = 10_000

_log = structlog.get_logger("api")


class CreationLimits:
    """Says whether new jobs and schedules are taken. *daily_limit* is that of an account, 0 for none."""

    def __init__(
        self,
        *,
        log: Log,
        progress: ProgressWatch,
        queries: AccountQueries,
        clock: Clock,
        daily_limit: Callable[[str], int],
        partition_count: int,
        lag_max: int = LAG_MAX,
        is_disk_full: Callable[[], bool] = lambda: False,
    ) -> None:
        self._log = log
        self._progress = progress
        self._queries = queries
        self._clock = clock
        self._partitions = range(partition_count)
        self.avoided: frozenset[int] = frozenset()  # partitions in which new work would wait
        self._lag_max = lag_max // partition_count
        self._used: dict[str, tuple[int, int]] = {}  # account -> (looked at, executions then)
        self._daily_limit = daily_limit
        self._is_disk_full = is_disk_full
        self.is_overloaded = False
        self._asked = asyncio.Event()  # since the last look

    def check_load(self) -> None:
        """Raise 503 while the disk is full, or the tables are too far behind."""
        self._asked.set()
        if self._is_disk_full():
            raise unavailable("the disk is nearly full: Fliq takes nothing new until there is room")
        if self.is_overloaded:
            raise unavailable("Fliq is catching up with accepted jobs, try again")

    async def check_daily(self, account: str) -> None:
        """Raise 429 if *account* has used up its day."""
        limit = self._daily_limit(account)
        if not limit:
            return
        now = self._clock.now()
        if await self._executions(account, now, limit) >= limit:
            retry_after_s = -(-(next_midnight(now) - now) // 1000)
            message = f"the account's {limit:,} executions of this UTC day are used up"
            raise ApiError(429, "daily_limit_reached", message, {"Retry-After": str(retry_after_s)})

    async def waits_until(self, job: JobState) -> int | None:
        """Return the midnight until which a due *job* waits because its account's day is used up; None if it does not."""
        limit, now = self._daily_limit(job.account), self._clock.now()
        if not limit or not job.is_waiting or job.held or job.fire_at > now:
            return None
        return next_midnight(now) if await self._queries.charged(job.account, utc_day(now)) >= limit else None

    async def _executions(self, account: str, now: int, limit: int) -> int:
        looked_at, used = self._used.get(account, (0, limit))
        # Far from the limit a number that is a second old is good enough. A new day, or a clock put back, needs a new look.
        is_fresh = 0 <= now - looked_at < _REMEMBER_MS and utc_day(looked_at) == utc_day(now)
        if is_fresh and limit - used > _NEAR:
            return used
        used = await self._queries.usage(account, utc_day(now))
        if len(self._used) >= _ACCOUNTS_MAX:
            self._used.clear()
        self._used[account] = (now, used)
        return used

    async def look(self) -> None:
        """See once how far the tables are behind."""
        ends, _ = await ends_of(self._log, self._partitions, LOOK_S * 4)
        if not ends:
            return  # a log that does not answer refuses appends by itself; the result of the last look stays
        wanted = {p: end - 1 - self._lag_max for p, end in ends.items()}
        due = {p: position for p, position in wanted.items() if position > self._progress.known(p)}
        # Wait instead of comparing: in a process that folds nothing, only a wait brings the known positions up to date.
        behind: set[int] = set()
        if due and not await self._progress.wait_all(due, LOOK_S):
            behind = {p for p, position in due.items() if position > self._progress.known(p)}
        was_avoided, self.avoided = self.avoided, frozenset(behind | set(self._partitions) - ends.keys())
        was, self.is_overloaded = self.is_overloaded, len(self.avoided) == len(self._partitions)
        if was != self.is_overloaded:
            _log.warning("load_changed", status="overloaded" if self.is_overloaded else "normal")
        elif was_avoided != self.avoided and not was:
            _log.warning("partitions_avoided", partitions=sorted(self.avoided))

    async def look_forever(self) -> None:
        """Look again and again until cancelled."""
        loop, is_broken = asyncio.get_running_loop(), False
        while True:
            try:
                await self.look()
                is_broken = False
            except StoreUnavailable:
                pass  # the result of the last look stays
            except Exception:  # noqa: BLE001 - log a defect once and go on: without looks this replica would stay unready
                if not is_broken:
                    _log.exception("look_failed")
                is_broken = True
            looked_at = loop.time()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(QUIET_LOOK_S):
                    await self._asked.wait()
            self._asked.clear()
            await asyncio.sleep(max(0.0, looked_at + LOOK_S - loop.time()))
