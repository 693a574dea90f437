"""
Endpoints: the handlers for webhook endpoints.

An endpoint tells its receiver how jobs of the account end. So to make or change one, a token needs `read:jobs` besides, and
`read:payloads` if the endpoint shows, or has ever shown, what targets answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from aiohttp.web import BaseRequest

from libs.domain.endpoints.delivery import delivery_job
from libs.domain.endpoints.endpoint import ENDPOINTS_MAX, Endpoint, EndpointConfig
from libs.domain.endpoints.fan_out import Told
from libs.domain.endpoints.webhook_event import TEST, of_test
from libs.egress.signing import new_secret
from libs.events.ids import delivery_id, is_id
from libs.sealing.sealed_spec import Unopened
from libs.store.control.endpoints import Endpoints as StoredEndpoints
from services.api.contract import requests
from services.api.contract.api_error import ApiError, not_found
from services.api.contract.endpoints.endpoint_requests import (
    changed_request,
    disabled_reason,
    endpoint_request,
    rotation_request,
    shown,
)
from services.api.contract.schedules.patch import wanted_version
from services.api.handlers.context import Context
from services.api.http.auth import Identity
from services.api.http.reply import Reply, json_reply, no_content
from services.api.http.request_body import read_json

_SECRET_BYTES: Final = 32
_TRIES: Final = 3  # of a change without a condition that others overtake
_NO_STORE: Final = {"Cache-Control": "no-store"}


class Endpoints:
    """The handlers for webhook endpoints."""

    def __init__(self, context: Context, endpoints: StoredEndpoints) -> None:
        self._c = context
        self._endpoints = endpoints

    async def create(self, request: BaseRequest, identity: Identity, _: str) -> Reply:
        """POST /v1/webhooks/endpoints."""
        _check_may_read(identity)
        wanted = endpoint_request(await read_json(request), self._c.check_url)
        _check_may_show(identity, wanted.config)
        now = self._c.clock.now()
        endpoint = Endpoint(
            endpoint_id=self._c.mint.endpoint_id(now, identity.account),
            account=identity.account,
            config=wanted.config,
            version=1,
            created_at=now,
            changed_at=now,
            disabled_reason=disabled_reason(None, is_disabled=wanted.is_disabled),
        )
        if not await self._endpoints.add(endpoint, self._new_secret()):
            message = f"the account has {ENDPOINTS_MAX} endpoints, as many as can be; delete those it needs no more"
            raise ApiError(409, "too_many_endpoints", message)
        return _reply(201, endpoint, identity, "write:payloads")

    async def list(self, _: BaseRequest, identity: Identity, __: str) -> Reply:
        """GET /v1/webhooks/endpoints."""
        found = await self._endpoints.of_account(identity.account)
        return json_reply(200, {"endpoints": [shown(each, with_payload=False) for each in found]})

    async def get(self, _: BaseRequest, identity: Identity, endpoint_id: str) -> Reply:
        """GET /v1/webhooks/endpoints/{endpoint_id}."""
        return _reply(200, await self._find(identity, endpoint_id), identity, "read:payloads")

    async def change(self, request: BaseRequest, identity: Identity, endpoint_id: str) -> Reply:
        """PATCH /v1/webhooks/endpoints/{endpoint_id}, with a JSON Merge Patch."""
        _check_may_read(identity)
        version = wanted_version(request.headers.get("If-Match"))
        patch = await read_json(request)
        for _ in range(_TRIES):
            endpoint = await self._find(identity, endpoint_id)
            if version not in (None, endpoint.version):
                break
            changed = self._changed(endpoint, patch)
            for each in (endpoint, changed):
                _check_may_show(identity, each.config)
            if changed is endpoint or await self._endpoints.change(changed):
                return _reply(200, changed, identity, "write:payloads")
        message = "the endpoint was changed meanwhile; read it again, and change the version that it has now"
        raise ApiError(412, "version_conflict", message)

    async def delete(self, _: BaseRequest, identity: Identity, endpoint_id: str) -> Reply:
        """DELETE /v1/webhooks/endpoints/{endpoint_id}."""
        if not is_id(endpoint_id, "whe") or not await self._endpoints.delete(identity.account, endpoint_id):
            raise not_found("endpoint")
        return no_content()

    async def test(self, request: BaseRequest, identity: Identity, endpoint_id: str) -> Reply:
        """POST /v1/webhooks/endpoints/{endpoint_id}/test: sends an event that says that it is a test."""
        _check_may_read(identity)
        requests.empty_request(await read_json(request, is_optional=True))
        endpoint = await self._find(identity, endpoint_id)
        _check_whole(endpoint)
        if endpoint.disabled_reason is not None:
            raise ApiError(409, "endpoint_disabled", "nothing is sent to a disabled endpoint: enable it first")
        now = self._c.clock.now()
        partition = self._c.mint.partition(now)
        job = delivery_job(Told(of_test(endpoint_id, now), endpoint, TEST), partition)
        await self._c.append_change(identity.account, partition, self._c.sealed(job, identity.account), what="the test")
        return json_reply(202, {"delivery_id": delivery_id(job.job_id)})

    async def secret(self, _: BaseRequest, identity: Identity, endpoint_id: str) -> Reply:
        """GET /v1/webhooks/endpoints/{endpoint_id}/secret."""
        return _secrets_reply(await self._secrets(await self._find(identity, endpoint_id)))

    async def rotate(self, request: BaseRequest, identity: Identity, endpoint_id: str) -> Reply:
        """POST /v1/webhooks/endpoints/{endpoint_id}/secret/rotate: for a while the old one signs as well."""
        overlap_s = rotation_request(await read_json(request, is_optional=True))
        endpoint = await self._find(identity, endpoint_id)
        if not await self._endpoints.rotate_secret(endpoint, self._new_secret(), overlap_s=overlap_s):
            message = "as many secrets of the endpoint sign as can be; try again when the time of one is over"
            raise ApiError(409, "too_many_signing_secrets", message)
        return _secrets_reply(await self._secrets(endpoint))

    async def _find(self, identity: Identity, endpoint_id: str) -> Endpoint:
        found = await self._endpoints.get(identity.account, endpoint_id) if is_id(endpoint_id, "whe") else None
        if found is None:
            raise not_found("endpoint")
        return found

    def _changed(self, endpoint: Endpoint, patch: Any) -> Endpoint:
        """Return the next version of *endpoint*; the same one if *patch* changes nothing."""
        _check_whole(endpoint)
        wanted = changed_request(endpoint, patch, self._c.check_url)
        reason = disabled_reason(endpoint.disabled_reason, is_disabled=wanted.is_disabled)
        if (wanted.config, reason) == (endpoint.config, endpoint.disabled_reason):
            return endpoint
        return msgspec.structs.replace(
            endpoint,
            config=wanted.config,
            disabled_reason=reason,
            version=endpoint.version + 1,
            changed_at=self._c.clock.now(),
        )

    async def _secrets(self, endpoint: Endpoint) -> Sequence[str]:
        secrets = (await self._endpoints.secrets([endpoint.endpoint_id])).get(endpoint.endpoint_id)
        if not secrets:
            if await self._endpoints.get(endpoint.account, endpoint.endpoint_id) is None:  # deleted a moment ago
                raise not_found("endpoint")
            raise ApiError(409, "spec_shredded", "the secret cannot be opened any more, its key is gone: replace it")
        return secrets

    def _new_secret(self) -> str:
        return new_secret(self._c.mint.secret(_SECRET_BYTES))


def _check_may_read(identity: Identity) -> None:
    if "read:jobs" not in identity.scopes:
        message = "an endpoint tells its receiver how jobs end: the API token also needs the scope `read:jobs`"
        raise ApiError(403, "forbidden", message)


def _check_may_show(identity: Identity, config: EndpointConfig) -> None:
    if config.may_send_responses and "read:payloads" not in identity.scopes:
        message = "an endpoint with include_response, now or before, shows what targets answer"
        raise ApiError(403, "forbidden", f"{message}: the API token also needs the scope `read:payloads`")


def _check_whole(endpoint: Endpoint) -> None:
    if endpoint.is_shredded:
        raise Unopened(endpoint.endpoint_id)


def _reply(status: int, endpoint: Endpoint, identity: Identity, scope: str) -> Reply:
    body = shown(endpoint, with_payload=scope in identity.scopes)
    return json_reply(status, body, {"ETag": f'"v{endpoint.version}"'})


def _secrets_reply(secrets: Sequence[str]) -> Reply:
    return json_reply(200, {"secret": secrets[0], "previous_secrets": list(secrets[1:])}, _NO_STORE)
