"""
Account use: how many jobs of an account wait, and how many bytes they will send, for accounts with a limit of either.

The figure is counted from the rows again and again, never carried on, so it cannot drift. It is a second old at most; only if
counting takes longer than 50 ms, it may be 20 times as old as that, so that counting takes a twentieth of one connection.
What this process has taken since then is added. So a limit is exact for one API process. With more of them, an account may exceed
it by what the others take between two counts; and jobs that have run or were cancelled since are counted until the next count.

An account without such a limit costs one look-up, and nothing is counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from libs.events import Spec
from libs.log.port import LogError
from libs.store.control.limits import Limits
from libs.store.errors import StoreUnavailable
from libs.store.projection.changes import stored_size
from libs.store.reads.account_queries import AccountQueries, WaitingUse
from services.api.contract.api_error import ApiError

COUNT_EVERY_S: Final = 1.0
DUTY: Final = 20  # the longer a count takes, the later the next one
NEAR: Final = 0.8  # of a limit; from there on a create waits for the next count
ACCOUNTS_MAX: Final = 10_000
RETRY_AFTER_S: Final = 10
_LATER: Final = {"Retry-After": str(RETRY_AFTER_S)}
_NOTHING: Final = WaitingUse(0, 0)

_log = structlog.get_logger("api")


class _Figure:
    """What is known of one account."""

    __slots__ = ("counted", "counted_at", "counting", "fresh", "pending", "took_s")

    def __init__(self) -> None:
        self.counted = WaitingUse(0, 0)
        self.counted_at: float | None = None
        self.took_s = 0.0
        self.fresh = WaitingUse(0, 0)  # appended since the count began
        self.pending = WaitingUse(0, 0)  # being appended
        self.counting: asyncio.Task[None] | None = None

    def use(self) -> WaitingUse:
        """Return the use at the moment."""
        return _sum(self.counted, _sum(self.fresh, self.pending))


class Room:
    """What one request takes; `done` when its jobs are appended, or are not."""

    def __init__(self, limits: Limits, figure: _Figure | None) -> None:
        self._limits = limits
        self._figure = figure
        self._taken = _NOTHING

    def take(self, spec: Spec | None) -> None:
        """
        Make room for one more job with *spec*; None if another job has brought it.

        Raises:
            ApiError: 429, there is none.
        """
        figure, limits = self._figure, self._limits
        if figure is None:
            return
        size = stored_size(spec) if spec is not None and limits.stored_bytes else 0
        if limits.waiting_jobs and figure.use().jobs >= limits.waiting_jobs:
            message = f"the account may have {limits.waiting_jobs:,} waiting jobs, and has them: cancel some, or try again later"
            raise ApiError(429, "waiting_jobs_limit_reached", message, _LATER)
        self._take(figure, WaitingUse(1, size))

    def grow(self, spec: Spec, changed: Spec) -> None:
        """
        Make room for what a waiting job sends more, as *changed*, than as *spec*; one that sends less always finds it.

        Raises:
            ApiError: 429, there is none.
        """
        figure = self._figure
        if figure is not None and self._limits.stored_bytes and (more := stored_size(changed) - stored_size(spec)) > 0:
            self._take(figure, WaitingUse(0, more))

    def _take(self, figure: _Figure, more: WaitingUse) -> None:
        most = self._limits.stored_bytes
        if most and figure.use().stored_bytes + more.stored_bytes > most:
            message = (
                f"the account's waiting jobs may send {most:,} bytes in all, and this one would exceed that:"
                " send less, cancel some, or try again later"
            )
            raise ApiError(429, "stored_bytes_limit_reached", message, _LATER)
        self._taken = _sum(self._taken, more)
        figure.pending = _sum(figure.pending, more)

    def done(self) -> None:
        """Count what was taken as appended; what was not is forgotten with the next count."""
        figure, taken = self._figure, self._taken
        if figure is not None:
            figure.pending = WaitingUse(
                figure.pending.jobs - taken.jobs, figure.pending.stored_bytes - taken.stored_bytes
            )
            figure.fresh = _sum(figure.fresh, taken)
            self._taken = _NOTHING


class AccountUse:
    """The use of all accounts that have a limit."""

    def __init__(
        self, queries: AccountQueries, catch_up: Callable[[], Awaitable[object]], limits_of: Callable[[str], Limits]
    ) -> None:
        """Count by *queries*, once *catch_up* has waited for the tables to show what is in the log."""
        self._queries = queries
        self._catch_up = catch_up
        self._limits_of = limits_of
        self._figures: dict[str, _Figure] = {}

    async def room(self, account: str) -> Room:
        """Return what the jobs of a request of *account* have to fit in; the caller calls its `done`."""
        limits = self._limits_of(account)
        if not limits.waiting_jobs and not limits.stored_bytes:
            return Room(limits, None)
        return Room(limits, await self._figure(account, limits))

    async def use(self, account: str) -> WaitingUse | None:
        """Return the use of *account*; None if it has no limit of it, and so is not counted."""
        limits = self._limits_of(account)
        if not limits.waiting_jobs and not limits.stored_bytes:
            return None
        return (await self._figure(account, limits, is_exact=True)).use()

    async def _figure(self, account: str, limits: Limits, *, is_exact: bool = False) -> _Figure:
        figure = self._figures.get(account)
        if figure is None:
            if len(self._figures) >= ACCOUNTS_MAX:
                self._figures = {name: each for name, each in self._figures.items() if each.pending.jobs}
            figure = self._figures[account] = _Figure()
        now = asyncio.get_running_loop().time()
        is_old = figure.counted_at is None or now - figure.counted_at > max(COUNT_EVERY_S, DUTY * figure.took_s)
        if is_old and figure.counting is None:
            figure.counting = asyncio.create_task(self._count(account, limits, figure), name="api-account-use")
        use = figure.use()
        is_near = (limits.waiting_jobs and use.jobs >= NEAR * limits.waiting_jobs) or (
            limits.stored_bytes and use.stored_bytes >= NEAR * limits.stored_bytes
        )
        if figure.counting is not None and (figure.counted_at is None or is_near or is_exact):
            await asyncio.shield(figure.counting)
        return figure

    async def _count(self, account: str, limits: Limits, figure: _Figure) -> None:
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        try:
            await self._catch_up()
            before, figure.fresh = figure.fresh, WaitingUse(0, 0)
            figure.counted = _sum(figure.counted, before)  # until the new figure is there
            figure.counted = await self._queries.waiting_use(
                account, jobs_max=limits.waiting_jobs or None, with_bytes=bool(limits.stored_bytes)
            )
        except (ApiError, LogError, StoreUnavailable) as error:
            # The last figure stays. If there is none, creates are taken: a limit must not make an outage worse.
            _log.warning("account_use_not_counted", reason=str(error))
        finally:
            figure.counted_at = loop.time()
            figure.took_s = figure.counted_at - began_at
            figure.counting = None


def _sum(one: WaitingUse, two: WaitingUse) -> WaitingUse:
    return WaitingUse(one.jobs + two.jobs, one.stored_bytes + two.stored_bytes)
