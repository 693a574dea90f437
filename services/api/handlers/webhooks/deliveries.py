"""Deliveries: the log of what webhook endpoints and webhooks that are repeated were told, and telling them once more."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, Final, cast

from aiohttp.web import BaseRequest

from libs.domain.endpoints.delivery import redelivery_job
from libs.events import WebhookRedeliverRequested, encode, read
from libs.events.ids import is_id, partition_of
from libs.store.control.endpoints import Endpoints as StoredEndpoints
from libs.store.reads.delivery_queries import DeliveryQueries
from libs.store.reads.told_deliveries import EndpointDelivery, WebhookDelivery
from services.api.contract import requests
from services.api.contract.api_error import ApiError, not_found
from services.api.contract.endpoints.deliveries import (
    Asked,
    Delivery,
    asked,
    body_of_webhook,
    id_of,
    is_pending,
    shown,
    tries_of_endpoint,
    tries_of_webhook,
)
from services.api.contract.query import limit_of
from services.api.handlers.context import Context
from services.api.handlers.jobs.timeline import records_at
from services.api.http.auth import Identity
from services.api.http.reply import Reply, json_reply
from services.api.http.request_body import read_json
from services.api.state.consistency import FRESH, STALE

LOOK_AT: Final = 100  # deliveries in one look, if the tables cannot find exactly what is asked for
# Looks of one request; then the page ends, and its cursor leads on. A look takes up to 15 ms of processor time.
LOOKS_MAX: Final = 3
_REQUEST_BYTES: Final = 12

Shown = list[dict[str, Any]]


class Deliveries:
    """The handlers for deliveries."""

    def __init__(self, context: Context, queries: DeliveryQueries, endpoints: StoredEndpoints) -> None:
        self._c = context
        self._queries = queries
        self._endpoints = endpoints

    async def list(self, request: BaseRequest, identity: Identity, _: str) -> Reply:
        """GET /v1/webhooks/deliveries, newest first."""
        wanted = asked(request.query)
        async with self._c.lists.turn(identity.account):
            return await self._page(request, identity.account, wanted)

    async def list_of_endpoint(self, request: BaseRequest, identity: Identity, endpoint_id: str) -> Reply:
        """GET /v1/webhooks/endpoints/{endpoint_id}/deliveries: the same of one endpoint."""
        account = identity.account
        if not is_id(endpoint_id, "whe") or await self._endpoints.get(account, endpoint_id) is None:
            raise not_found("endpoint")
        async with self._c.lists.turn(account):
            return await self._page(request, account, Asked(endpoint_id=endpoint_id))

    async def get(self, _: BaseRequest, identity: Identity, delivery_id: str) -> Reply:
        """GET /v1/webhooks/deliveries/{delivery_id}: with its attempts, and what was sent."""
        async with self._c.lists.turn(identity.account):
            found, is_fresh = await self._find(identity.account, delivery_id)
            if isinstance(found, EndpointDelivery):
                attempts = tries_of_endpoint(await self._queries.tries(delivery_id))
                body = found.spec.body
            else:
                attempts = tries_of_webhook(await self._records(found))
                job = await self._c.queries.get_job(identity.account, found.delivery.job_id)
                body = None if job is None else body_of_webhook(job[0])
        payload = {"body": body} if "read:payloads" in identity.scopes else {}
        return json_reply(200, shown(found) | {"attempts": attempts} | payload, FRESH if is_fresh else STALE)

    async def redeliver(self, request: BaseRequest, identity: Identity, delivery_id: str) -> Reply:
        """POST /v1/webhooks/deliveries/{delivery_id}/redeliver: one try more, also to a disabled endpoint."""
        requests.empty_request(await read_json(request, is_optional=True))
        found, _is_fresh = await self._find(identity.account, delivery_id)
        if is_pending(found):
            raise ApiError(409, "delivery_pending", "the delivery is not at its end: Fliq tries it again by itself")
        now, request_id = self._c.clock.now(), self._c.mint.secret(_REQUEST_BYTES).hex()
        if isinstance(found, EndpointDelivery):
            endpoint = await self._endpoints.get(identity.account, found.first.account)
            if endpoint is None:  # deleted a moment ago
                raise not_found("delivery")
            job = redelivery_job(found.first, found.spec, endpoint, at=now, request_id=request_id)
            envelope = self._c.sealed(job, identity.account)
        else:
            envelope = encode(WebhookRedeliverRequested(delivery_id=delivery_id, at=now, request_id=request_id))
        await self._c.append_change(identity.account, partition_of(delivery_id), envelope, what="the redelivery")
        return json_reply(202, {"delivery_id": delivery_id})

    async def _find(self, account: str, delivery_id: str) -> tuple[Delivery, bool]:
        """Return a delivery of *account*, and whether it is as new as the log. Raises 404."""
        if not is_id(delivery_id, "whd"):
            raise not_found("delivery")
        is_fresh = await self._c.read_index.partition(partition_of(delivery_id))
        found = await self._queries.to_endpoint(account, delivery_id) or await self._queries.webhook(
            account, delivery_id
        )
        if found is None:
            raise not_found("delivery")
        return found, is_fresh

    async def _records(self, found: WebhookDelivery) -> Sequence[Any]:
        partition = partition_of(found.delivery.delivery_id)
        begin = await self._c.log.begin(partition)
        wanted = [position for position in found.delivery.offsets if position >= begin]
        return [read(partition, record.envelope) for record in await records_at(self._c.log, partition, wanted)]

    async def _page(self, request: BaseRequest, account: str, wanted: Asked) -> Reply:
        """
        Return the page of deliveries that *request* asks for.

        Where the tables cannot find exactly what is asked for, a bounded number of deliveries is looked at: such a page may have
        fewer items than its limit, and yet another one follows. It says so (`partial`).
        """
        limit = limit_of(request.query)
        listing = f"deliveries {' '.join(each or '-' for each in wanted)}"
        below = wanted.until
        if "cursor" in request.query:
            below = self._c.cursors.read(request.query["cursor"], kind="whd", account=account, listing=listing)
        is_fresh = await self._c.read_index.everywhere()
        await cast(Any, request.protocol).pause()
        items: Shown = []
        size = limit + 1 if wanted.is_looked_up else LOOK_AT
        more_below: str | None = None
        is_partial = False
        for _ in range(LOOKS_MAX):
            found = await self._look(account, wanted, below, size)
            for each in found:
                if wanted.takes(each):
                    if len(items) == limit:
                        more_below = items[-1]["id"]
                        break
                    items.append(shown(each))
            if more_below is not None or len(found) < size:
                break
            below = id_of(found[-1])
        else:
            more_below, is_partial = below, len(items) < limit
        next_cursor = more_below and self._c.cursors.write(more_below, account=account, listing=listing)
        answer = {"deliveries": items, "next_cursor": next_cursor} | ({"partial": True} if is_partial else {})
        return json_reply(200, answer, FRESH if is_fresh else STALE)

    async def _look(self, account: str, wanted: Asked, below: str | None, limit: int) -> Sequence[Delivery]:
        """Return up to *limit* deliveries with ids below *below*, newest first."""
        found: Sequence[Delivery] = [
            *await self._queries.to_endpoints(
                account,
                statuses=wanted.jobs,
                endpoint_id=wanted.endpoint_id,
                job_id=wanted.job_id,
                below=below,
                since=wanted.since,
                limit=limit,
            )
        ]
        if states := wanted.states:
            webhooks = await self._queries.webhooks(
                account, statuses=states, job_id=wanted.job_id, below=below, since=wanted.since, limit=limit
            )
            found = [*found, *webhooks]
        return [*islice(sorted(found, key=id_of, reverse=True), limit)]
