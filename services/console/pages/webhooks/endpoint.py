"""Endpoint: one webhook endpoint: what it is told, what it did not take, and its secret. Delivery: one thing that it was told."""

from __future__ import annotations

import asyncio
from typing import Final

from services.console.api_calls import Call, curl, path_of
from services.console.http_messages import Answer
from services.console.pages.webhooks.webhook_list import EVENTS
from services.console.visit import Visit

SHOWN: Final = 20


async def page(visit: Visit, endpoint_id: str) -> Answer:
    """GET /webhooks/{id}."""
    path = path_of("webhooks", "endpoints", endpoint_id)
    endpoint, found, secret, recovery = await asyncio.gather(
        visit.get(path),
        visit.get(f"{path}/deliveries", limit=SHOWN),
        visit.get_or(None, f"{path}/secret"),
        visit.get_or(None, f"{path}/recover"),
    )
    return visit.show(
        "endpoint.html",
        page="webhooks",
        endpoint=endpoint,
        deliveries=found["deliveries"],
        has_more=found["next_cursor"] is not None,
        signing=secret,
        recovery=recovery,
        names=EVENTS,
        api_call=curl(Call("GET", path)),
    )


async def delivery(visit: Visit, delivery_id: str) -> Answer:
    """GET /webhooks/deliveries/{id}."""
    path = path_of("webhooks", "deliveries", delivery_id)
    found = await visit.get(path)
    return visit.show(
        "delivery.html",
        page="webhooks",
        delivery=found,
        shows_payload="body" in found,
        api_call=curl(Call("GET", path)),
    )
