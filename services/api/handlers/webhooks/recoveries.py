"""Recoveries: sending an endpoint again what it was told in vain."""

from __future__ import annotations

from typing import Final

from aiohttp.web import BaseRequest

from libs.domain.endpoints.endpoint import Endpoint
from libs.domain.endpoints.recovery import begun
from libs.events.ids import is_id
from libs.store.control.endpoints import Endpoints as StoredEndpoints
from libs.store.control.recoveries import Recoveries as StoredRecoveries
from services.api.contract.api_error import ApiError, not_found
from services.api.contract.endpoints.recovery import recovery_request, shown
from services.api.handlers.context import Context
from services.api.http.auth import Identity
from services.api.http.reply import Reply, json_reply
from services.api.http.request_body import read_json

_REQUEST_BYTES: Final = 12


class Recoveries:
    """The handlers for recoveries."""

    def __init__(self, context: Context, endpoints: StoredEndpoints, recoveries: StoredRecoveries) -> None:
        self._c = context
        self._endpoints = endpoints
        self._recoveries = recoveries

    async def begin(self, request: BaseRequest, identity: Identity, endpoint_id: str) -> Reply:
        """POST /v1/webhooks/endpoints/{endpoint_id}/recover: the webhooks service does the rest."""
        now = self._c.clock.now()
        since, until = recovery_request(await read_json(request), now)
        endpoint = await self._find(identity, endpoint_id)
        if endpoint.disabled_reason is not None:
            raise ApiError(409, "endpoint_disabled", "nothing is sent to a disabled endpoint: enable it first")
        request_id = self._c.mint.secret(_REQUEST_BYTES).hex()
        recovery = begun(endpoint_id, request_id, since=since, until=until, now=now)
        if not await self._recoveries.begin(recovery):
            raise ApiError(409, "recovery_running", "a recovery of the endpoint is running; begin another one after it")
        return json_reply(202, shown(recovery))

    async def get(self, _: BaseRequest, identity: Identity, endpoint_id: str) -> Reply:
        """GET /v1/webhooks/endpoints/{endpoint_id}/recover: the last one, and how far it is."""
        await self._find(identity, endpoint_id)
        found = await self._recoveries.of_endpoint(identity.account, endpoint_id)
        if found is None:
            raise not_found("recovery")
        return json_reply(200, shown(found))

    async def _find(self, identity: Identity, endpoint_id: str) -> Endpoint:
        found = await self._endpoints.get(identity.account, endpoint_id) if is_id(endpoint_id, "whe") else None
        if found is None:
            raise not_found("endpoint")
        return found
