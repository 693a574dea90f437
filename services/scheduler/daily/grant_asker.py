"""
Grant asker: asks for executions of accounts' days, for all owners of this process with one question.

Owners wake it when the turn of an account with a daily limit comes and no permit is left. What was refused is asked for again every
`RECHECK_MS` and at midnight: a day begins, the operator raises a limit, another owner gives permits back. As long as no account has
a limit, it sleeps.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import structlog

from libs.domain.instants import day_of, next_midnight
from libs.runtime.alarm import Alarm
from libs.runtime.clock import Clock
from libs.store.control.daily_grants import GrantAsk
from libs.store.errors import StoreUnavailable
from services.scheduler.daily.daily_permits import PermitAsk
from services.scheduler.partition_owner import PartitionOwner

ASK_EVERY_MS: Final = 5  # what is wanted within it is asked for together
RECHECK_MS: Final = 2_000
KEPT_DAYS: Final = 2  # grants of older days are deleted

_log = structlog.get_logger("scheduler")


class Grants(Protocol):
    """Where grants come from: `DailyGrants`."""

    async def ask(self, asks: Sequence[GrantAsk]) -> list[int | None]:
        """Return how far the count of each of *asks* may go; None for an owner that was replaced."""

    async def forget_before(self, day: int) -> None:
        """Delete the grants of days before *day*."""


class GrantAsker:
    """Runs for as long as the service does; owners come and go."""

    def __init__(self, grants: Grants, owners: Mapping[int, PartitionOwner], clock: Clock) -> None:
        """Ask *grants* for what *owners* want."""
        self._grants = grants
        self._owners = owners
        self._clock = clock
        self._wake = asyncio.Event()
        self._tidied_on = 0
        self._is_failing = False

    @property
    def refused_count(self) -> int:
        """How many accounts have used up their day, as far as the owners of this process were told."""
        return len({account for owner in self._owners.values() for account in owner.decider.permits.refused})

    def wake(self) -> None:
        """Say that an owner wants something."""
        self._wake.set()

    async def run(self) -> None:
        """Ask until cancelled."""
        alarm = Alarm(self._clock, self.wake)
        recheck_at = 0
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                now = self._clock.now()
                is_recheck = now >= recheck_at
                if is_recheck:
                    recheck_at = min(now + RECHECK_MS, next_midnight(now))
                await self._try(also_refused=is_recheck)
                is_open = any(owner.decider.permits.is_open for owner in self._owners.values())
                alarm.set(recheck_at if is_open else None)
                await self._clock.pause(ASK_EVERY_MS)
        finally:
            alarm.cancel()

    async def _try(self, *, also_refused: bool) -> None:
        try:
            await self._ask(also_refused=also_refused)
            self._is_failing = False
        except StoreUnavailable as error:
            # Accounts with a limit wait until the alarm rings; all others do not notice.
            if not self._is_failing:
                _log.warning("grants_unavailable", reason=str(error))
            self._is_failing = True

    async def _ask(self, *, also_refused: bool) -> None:
        now = self._clock.now()
        wanted: dict[PartitionOwner, list[PermitAsk]] = {}
        for owner in list(self._owners.values()):
            if owner.decider.is_deciding:
                wanted[owner] = owner.decider.asks(now, also_refused=also_refused)
                if owner.decider.permits.forgive():
                    owner.look_again()
        asks = [_asked(owner, ask) for owner, of_owner in wanted.items() for ask in of_owner]
        if not asks:
            return
        answers = iter(await self._grants.ask(asks))
        for owner, of_owner in wanted.items():
            told = [(ask, number) for ask, number in zip(of_owner, answers, strict=False) if number is not None]
            if self._owners.get(owner.partition) is owner:
                for ask, number in told:
                    owner.decider.granted(ask, number)
                owner.look_again()
        today = day_of(now)
        if today != self._tidied_on:
            self._tidied_on = today
            await self._grants.forget_before(today - KEPT_DAYS)


def _asked(owner: PartitionOwner, ask: PermitAsk) -> GrantAsk:
    return GrantAsk(ask.account, ask.day, owner.partition, owner.decider.claim.epoch, ask.used, ask.need, ask.limit)
