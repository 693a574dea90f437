"""
Directory: a copy of the endpoints of all accounts. One row says whether it is still right.

It is checked once a second. Fan-out must not miss an endpoint, so it waits for a check that begins when the events that it has read
are in the log (`wait_newer`). The readers of all partitions share the checks, one in 50 ms. If the database does not answer, they
wait.
"""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from types import MappingProxyType
from typing import Final, Protocol

import structlog

from libs.domain.endpoints.endpoint import Endpoint, is_understood
from libs.domain.endpoints.fan_out import asks_for_attempts, asks_for_hosts, asks_for_schedules
from libs.runtime.clock import Clock

CHECK_EVERY_MS: Final = 1_000
GAP_MS: Final = 50  # between two checks
_NONE: Final[Mapping[str, Sequence[Endpoint]]] = MappingProxyType({})

_log = structlog.get_logger("webhooks")


class StoredEndpoints(Protocol):
    """Where the endpoints are kept (libs/store/control/endpoints.py)."""

    async def changes(self) -> int:
        """Return how many changes there were."""

    async def everybody(self) -> Sequence[Endpoint]:
        """Return the endpoints of all accounts, those of an account together."""


class EndpointDirectory:
    """The copy."""

    def __init__(self, endpoints: StoredEndpoints, clock: Clock) -> None:
        """Hold nothing before `check`."""
        self._endpoints = endpoints
        self._clock = clock
        self._by_account = _NONE
        self._changes: int | None = None
        self._begun = 0
        self._ended = 0
        self._has_ended = asyncio.Event()
        self._is_asked = False
        self.asks_for_attempts = False  # any endpoint of any account
        self.asks_for_hosts = False
        self.asks_for_schedules = False
        self.asks_for_responses = False
        self.not_understood: str | None = None  # an endpoint that asks for what only a newer build knows

    @property
    def changes(self) -> int | None:
        """The number of changes that the copy has; None before the first check."""
        return self._changes

    @property
    def is_empty(self) -> bool:
        """Whether no account has an endpoint."""
        return not self._by_account

    def of(self, account: str) -> Sequence[Endpoint]:
        """Return the endpoints of *account*."""
        return self._by_account.get(account, ())

    def find(self, endpoint_id: str) -> Endpoint | None:
        """Return the endpoint of this id, of any account."""
        own = (each for all_of_one in self._by_account.values() for each in all_of_one)
        return next((each for each in own if each.endpoint_id == endpoint_id), None)

    async def run(self) -> None:
        """Check until cancelled: when somebody asks, and once a second."""
        checked_at = self._clock.steady() - CHECK_EVERY_MS
        while True:
            if self._is_asked or self.is_empty or self._clock.steady() - checked_at >= CHECK_EVERY_MS:
                checked_at = self._clock.steady()
                try:
                    await self.check()
                except Exception as error:  # noqa: BLE001 - whatever the store raises, fan-out waits until it answers
                    _log.warning("endpoints_not_read", reason=str(error))
            if self.is_empty:
                await self._clock.beat(CHECK_EVERY_MS)
            else:
                await self._clock.pause(GAP_MS)

    async def check(self) -> None:
        """Read the endpoints again, if one was changed."""
        self._is_asked = False
        self._begun = number = self._begun + 1
        # The number of changes first: what is changed while the endpoints are read is then read once more.
        changes = await self._endpoints.changes()
        if changes != self._changes:
            found = [each for each in await self._endpoints.everybody() if _can_be_told(each)]
            self._by_account = {account: tuple(own) for account, own in groupby(found, key=attrgetter("account"))}
            self.asks_for_attempts = any(asks_for_attempts(endpoint) for endpoint in found)
            self.asks_for_hosts = any(asks_for_hosts(endpoint) for endpoint in found)
            self.asks_for_schedules = any(asks_for_schedules(endpoint) for endpoint in found)
            self.asks_for_responses = any(endpoint.config.include_response for endpoint in found)
            self.not_understood = next((each.endpoint_id for each in found if not is_understood(each.config)), None)
            self._changes = changes
        self._ended = number
        self._has_ended.set()
        self._has_ended = asyncio.Event()

    async def wait_check(self) -> None:
        """Wait until the next check has ended; the caller bounds the wait, by being cancelled."""
        await self._has_ended.wait()

    async def wait_newer(self) -> None:
        """
        Wait until a check has ended that begins after this call, so that the copy has all that was changed before it.

        The caller bounds the wait, by being cancelled.
        """
        asked = self._begun
        while self._ended <= asked:
            self._is_asked = True
            await self._has_ended.wait()


def _can_be_told(endpoint: Endpoint) -> bool:
    """Whether it is known where and with which headers *endpoint* is told; if not, it is left out, and holds up nobody."""
    if endpoint.is_shredded:
        _log.warning("endpoint_cannot_be_opened", endpoint_id=endpoint.endpoint_id)
    return not endpoint.is_shredded
