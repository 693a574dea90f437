"""
Announcer: tells the other endpoints of an account that Fliq has disabled one.

That an endpoint was disabled and that nobody was told yet stand in one row, written together. So nothing is lost when a process
dies, and what is told twice has the same id.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import structlog

from libs.domain.endpoints.delivery import delivery_job
from libs.domain.endpoints.endpoint import Endpoint, name_for
from libs.domain.endpoints.fan_out import Told
from libs.domain.endpoints.webhook_event import of_disabling
from libs.events import encode
from libs.events.ids import partition_of
from libs.log.port import Log
from libs.runtime.clock import Clock
from libs.sealing.keyring import Keyring
from services.webhooks.fan_out.directory import CHECK_EVERY_MS, EndpointDirectory

APPEND_S: Final = 10.0

_log = structlog.get_logger("webhooks")


class DisabledEndpoints(Protocol):
    """Which endpoints Fliq has disabled (libs/store/control/endpoints.py)."""

    async def to_announce(self) -> Sequence[Endpoint]:
        """Return those of which others may not have been told yet."""

    async def announced(self, endpoint: Endpoint) -> None:
        """Note that others were told."""


class Announcer:
    """Looks for disabled endpoints whenever an endpoint was changed."""

    def __init__(
        self, directory: EndpointDirectory, endpoints: DisabledEndpoints, log: Log, clock: Clock, keyring: Keyring
    ) -> None:
        """Look at nothing before `run`."""
        self._keyring = keyring
        self._directory = directory
        self._endpoints = endpoints
        self._log = log
        self._clock = clock
        self._seen: int | None = None

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            changes = self._directory.changes
            if changes != self._seen:
                try:
                    await self.tell()
                    self._seen = changes
                except Exception as error:  # noqa: BLE001 - log or tables do not answer: told a second later
                    _log.warning("disabled_endpoints_not_told", reason=str(error))
            await self._clock.beat(CHECK_EVERY_MS)

    async def tell(self) -> None:
        """Append the jobs that tell of endpoints disabled since the last time."""
        for disabled in await self._endpoints.to_announce():
            reason, at = disabled.disabled_reason or "", disabled.changed_at
            event = of_disabling(disabled.endpoint_id, disabled.config.url, reason, at)
            partition = partition_of(disabled.endpoint_id)
            await self._keyring.ready(disabled.account)
            jobs = [
                encode(self._keyring.seal(delivery_job(Told(event, endpoint, name), partition), disabled.account))
                for endpoint in self._directory.of(disabled.account)
                if endpoint.endpoint_id != disabled.endpoint_id
                and (name := name_for(endpoint.config, event)) is not None
            ]
            if jobs:
                await self._log.append(partition, jobs, timeout_s=APPEND_S)
            await self._endpoints.announced(disabled)
