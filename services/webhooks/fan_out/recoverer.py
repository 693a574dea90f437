"""
Recoverer: sends endpoints again what they were told in vain, when their accounts ask for it.

A page of a recovery is appended to the log before it is noted, so a crash repeats it, with the same ids. Once a second it makes one
page of each recovery, and none while as many are under way as may be: a recovery of any size holds up little and needs no memory.
"""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Final, NamedTuple, Protocol

import structlog

from libs.domain.endpoints.endpoint import Endpoint
from libs.domain.endpoints.recovery import Recovery, RecoveryStatus, first_id, recovery_jobs
from libs.domain.job import JobState
from libs.events import Spec, encode
from libs.events.ids import partition_of, redelivery_account
from libs.log.port import Log
from libs.runtime.clock import Clock
from libs.sealing.keyring import Keyring
from services.webhooks.fan_out.directory import EndpointDirectory

EVERY_MS: Final = 1_000
PAGE: Final = 500
UNDER_WAY_MAX: Final = 1_000  # redeliveries of one endpoint that have not ended
RECOVERIES_MAX: Final = 100  # looked at in one round
APPEND_S: Final = 10.0

_log = structlog.get_logger("webhooks")


class RecoveryTable(Protocol):
    """Where recoveries are kept (libs/store/control/recoveries.py)."""

    async def running(self, limit: int) -> Sequence[Recovery]:
        """Return recoveries that are not at their end."""

    async def advance(self, before: Recovery, *, reached: str, count: int) -> None:
        """Note how far one is."""

    async def end(self, recovery: Recovery, status: RecoveryStatus, at: int) -> None:
        """Note that one ended."""


class FailedDeliveries(Protocol):
    """What endpoints were told in vain (libs/store/reads/delivery_queries.py)."""

    async def failed(self, endpoint_id: str, *, after: str, below: str, limit: int) -> Sequence[tuple[JobState, Spec]]:
        """Return jobs that told an endpoint in vain, by id."""

    async def open_count(self, account: str, limit: int) -> int:
        """Return how many jobs of *account* are not at their end."""


class RecoveryPorts(NamedTuple):
    """What recoveries need of the tables."""

    recoveries: RecoveryTable
    deliveries: FailedDeliveries


class Recoverer:
    """Makes the recoveries of the endpoints whose partition this process serves."""

    def __init__(
        self,
        directory: EndpointDirectory,
        ports: RecoveryPorts,
        log: Log,
        clock: Clock,
        keyring: Keyring,
        *,
        serves: Callable[[int], bool],
    ) -> None:
        """Look at nothing before `run`; *serves* says of a partition whether this process has it."""
        self._directory = directory
        self._recoveries, self._deliveries = ports
        self._log = log
        self._clock = clock
        self._keyring = keyring
        self._serves = serves

    async def run(self) -> None:
        """Recover until cancelled."""
        while True:
            await self._clock.beat(EVERY_MS)
            if self._directory.is_empty:
                continue
            try:
                await self.round()
            except Exception as error:  # noqa: BLE001 - log or tables do not answer: the page is made a second later
                _log.warning("recovery_waits", reason=str(error))

    async def round(self) -> None:
        """Make one page of each recovery."""
        for recovery in await self._recoveries.running(RECOVERIES_MAX):
            if self._serves(partition_of(recovery.endpoint_id)):
                await self._page(recovery)

    async def _page(self, recovery: Recovery) -> None:
        await self._directory.wait_newer()
        endpoint = self._directory.find(recovery.endpoint_id)
        if endpoint is None or endpoint.disabled_reason is not None:
            await self._recoveries.end(recovery, "stopped", self._clock.now())
            return
        under_way = await self._deliveries.open_count(redelivery_account(endpoint.endpoint_id), UNDER_WAY_MAX)
        limit = min(PAGE, UNDER_WAY_MAX - under_way)
        if limit <= 0:
            return
        failed = await self._deliveries.failed(
            endpoint.endpoint_id, after=recovery.reached, below=first_id(recovery.until), limit=limit
        )
        if not failed:
            await self._recoveries.end(recovery, "completed", self._clock.now())
            return
        await self._append(recovery, endpoint, failed)
        await self._recoveries.advance(recovery, reached=failed[-1][0].job_id, count=len(failed))

    async def _append(self, recovery: Recovery, endpoint: Endpoint, failed: Sequence[tuple[JobState, Spec]]) -> None:
        await self._keyring.ready(endpoint.account)
        jobs = sorted(recovery_jobs(recovery, endpoint, failed), key=lambda job: partition_of(job.job_id))
        for partition, group in groupby(jobs, lambda job: partition_of(job.job_id)):
            sealed = [encode(self._keyring.seal(job, endpoint.account)) for job in group]
            await self._log.append(partition, sealed, timeout_s=APPEND_S)
