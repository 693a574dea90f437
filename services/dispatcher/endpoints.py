"""
Endpoints: what the dispatcher needs for jobs that tell webhook endpoints: the secrets that sign them, and the health of endpoints.

Health counts what endpoints take and what they do not, so that one that takes nothing is disabled. It is best effort: what was not
written when a process dies is not counted. It is written once a second, and only of endpoints that were called.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

import structlog

from libs.egress.outcome import Outcome
from libs.events.ids import is_redelivery, told_endpoint
from libs.following.ports import SigningSecrets
from libs.runtime.clock import Clock

WRITE_EVERY_MS: Final = 1_000
NOTED_MAX: Final = 10_000  # endpoints between two writes; of others nothing is counted

_log = structlog.get_logger("dispatcher")


class HealthTable(Protocol):
    """Where it is counted (libs/store/control/endpoints.py)."""

    async def failed(self, endpoint_id: str, status_code: int | None, at: int) -> str | None:
        """Count a failure; if it disables the endpoint, return why."""

    async def delivered(self, endpoint_ids: Iterable[str]) -> None:
        """End the runs of failures of these endpoints."""


class DisablingMeter(Protocol):
    """What is measured."""

    def endpoint_disabled(self, reason: str) -> None:
        """A webhook endpoint took nothing, and was disabled."""


class SendingSecrets(Protocol):
    """The secrets of webhook endpoints."""

    async def sending_secrets(self, endpoint_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Return, for those that exist and are not disabled, the valid secrets, newest first."""

    async def secrets(self, endpoint_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Return the same for those that exist."""


class EndpointSecrets:
    """The secrets of accounts and of webhook endpoints: meets `SigningSecrets` of libs/following/ports.py."""

    def __init__(self, secrets: SigningSecrets, endpoints: SendingSecrets) -> None:
        """Ask *endpoints* for those of endpoints, *secrets* for those of all others."""
        self._secrets = secrets
        self._endpoints = endpoints

    async def signing_secrets(self, accounts: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Return, for those of *accounts* that have any, the valid secrets, newest first."""
        told = {account: endpoint_id for account in accounts if (endpoint_id := told_endpoint(account)) is not None}
        if not told:
            return await self._secrets.signing_secrets(accounts)
        others = [account for account in accounts if account not in told]
        found = dict(await self._secrets.signing_secrets(others)) if others else {}
        # A redelivery is sent to a disabled endpoint as well: that is how its account sees that it takes something again.
        for again, secrets_of in ((False, self._endpoints.sending_secrets), (True, self._endpoints.secrets)):
            asked = {account: each for account, each in told.items() if is_redelivery(account) is again}
            if asked:
                of_endpoints = await secrets_of([*asked.values()])
                found |= {account: of_endpoints[each] for account, each in asked.items() if each in of_endpoints}
        return found


class EndpointHealth:
    """What was seen of endpoints and is not written yet."""

    def __init__(self, table: HealthTable, clock: Clock, meter: DisablingMeter) -> None:
        """Count in *table*, and what was disabled on *meter*."""
        self._meter = meter
        self._table = table
        self._clock = clock
        self._delivered: set[str] = set()
        self._failed: dict[str, tuple[int | None, int]] = {}

    def note(self, account: str, outcome: Outcome) -> None:
        """Note how a call of *account*, which tells an endpoint, ended just now; a redelivery says nothing of its health."""
        endpoint_id = told_endpoint(account)
        if endpoint_id is None or is_redelivery(account):
            return
        if outcome.ok:
            self._failed.pop(endpoint_id, None)
            if len(self._delivered) < NOTED_MAX:
                self._delivered.add(endpoint_id)
        elif len(self._failed) < NOTED_MAX:
            self._failed[endpoint_id] = (outcome.status_code, self._clock.now())

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._clock.beat(WRITE_EVERY_MS)
            delivered, self._delivered = self._delivered, set()
            failed, self._failed = self._failed, {}
            try:
                if delivered:
                    await self._table.delivered(delivered)
                for endpoint_id, (status_code, at) in failed.items():
                    reason = await self._table.failed(endpoint_id, status_code, at)
                    if reason is not None:
                        self._meter.endpoint_disabled(reason)
                        _log.warning("endpoint_disabled", endpoint_id=endpoint_id, reason=reason)
            except Exception as error:  # noqa: BLE001 - whatever the store raises: best effort
                _log.warning("endpoint_health_not_written", reason=str(error))
