"""Endpoint actions: create, change, test, enable, disable, recover, delete, replace the secret; and send a delivery once more."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from services.console.api_calls import Call, path_of
from services.console.http_messages import Answer, Request
from services.console.pages.form_fields import wrong
from services.console.visit import Visit

WRITE_WEBHOOKS: Final = "write:webhooks"
WRITE_SECRETS: Final = "write:secrets"
COUNTED_MAX: Final = 100


async def create(visit: Visit) -> Answer:
    """POST /webhooks."""
    call = Call("POST", "/v1/webhooks/endpoints", _fields(visit.request))
    made = (await visit.make(call, scope=WRITE_WEBHOOKS)).value
    return visit.done(f"/webhooks/{made['id']}", "The endpoint was created.", [call])


async def change(visit: Visit, endpoint_id: str) -> Answer:
    """POST /webhooks/{id}/change: what the form shows, for the version that it was made from."""
    version = {"If-Match": f'"v{visit.request.given("version")}"'}
    call = Call("PATCH", _path(endpoint_id), _fields(visit.request), version)
    await visit.make(call, scope=WRITE_WEBHOOKS)
    return visit.done(f"/webhooks/{endpoint_id}", "The endpoint was changed.", [call])


async def switch(visit: Visit, endpoint_id: str) -> Answer:
    """POST /webhooks/{id}/switch: enable or disable it."""
    is_disabled = visit.request.given("disabled") == "1"
    call = Call("PATCH", _path(endpoint_id), {"disabled": is_disabled})
    await visit.make(call, scope=WRITE_WEBHOOKS)
    return visit.done(
        f"/webhooks/{endpoint_id}", f"The endpoint is {'disabled' if is_disabled else 'enabled'}.", [call]
    )


async def test(visit: Visit, endpoint_id: str) -> Answer:
    """POST /webhooks/{id}/test: the delivery shows whether it was taken."""
    call = Call("POST", _path(endpoint_id, "test"))
    sent = (await visit.make(call, scope=WRITE_WEBHOOKS)).value
    return visit.done(f"/webhooks/deliveries/{sent['delivery_id']}", "The test event was sent.", [call])


async def recover(visit: Visit, endpoint_id: str) -> Answer:
    """POST /webhooks/{id}/recover: ask first, with the number."""
    since = visit.request.given("since")
    if not since:
        raise wrong("since: say from which instant on, such as 2027-04-01T09:00:00Z")
    call = Call("POST", _path(endpoint_id, "recover"), {"since": since})
    if visit.request.given("sure") != "1":
        lost = await asyncio.gather(*(_count(visit, endpoint_id, status, since) for status in ("exhausted", "dropped")))
        count = sum(lost)
        text = f"{COUNTED_MAX} or more deliveries" if max(lost) >= COUNTED_MAX else _plural(count)
        return visit.show(
            "ask_one.html",
            page="webhooks",
            title=f"Send {text} again?",
            text=f"It is what the endpoint did not take of events since {since}: oldest first, each with the id that it had.",
            place=f"/webhooks/{endpoint_id}/recover",
            back=f"/webhooks/{endpoint_id}",
            button=f"Send {text} again",
            fields={"since": since},
        )
    await visit.make(call, scope=WRITE_WEBHOOKS)
    return visit.done(f"/webhooks/{endpoint_id}", "The endpoint is sent again what it did not take.", [call])


async def delete(visit: Visit, endpoint_id: str) -> Answer:
    """POST /webhooks/{id}/delete: ask first."""
    if visit.request.given("sure") != "1":
        return visit.show(
            "ask_one.html",
            page="webhooks",
            title="Delete this endpoint?",
            text="It is told nothing more, and what it was told is not shown any more. This cannot be undone.",
            place=f"/webhooks/{endpoint_id}/delete",
            back=f"/webhooks/{endpoint_id}",
            button="Delete the endpoint",
        )
    call = Call("DELETE", _path(endpoint_id))
    await visit.make(call, scope=WRITE_WEBHOOKS)
    return visit.done("/webhooks", "The endpoint was deleted.", [call])


async def rotate_secret(visit: Visit, endpoint_id: str) -> Answer:
    """POST /webhooks/{id}/secret: ask first."""
    if visit.request.given("sure") != "1":
        return visit.show(
            "ask_one.html",
            page="webhooks",
            title="Replace the endpoint's secret?",
            text="What it is told will be signed with the new one, and for 24 h with the old one as well.",
            place=f"/webhooks/{endpoint_id}/secret",
            back=f"/webhooks/{endpoint_id}",
            button="Replace the secret",
        )
    call = Call("POST", _path(endpoint_id, "secret", "rotate"))
    await visit.make(call, scope=WRITE_SECRETS)
    return visit.done(f"/webhooks/{endpoint_id}", "The endpoint's secret was replaced.", [call])


async def redeliver(visit: Visit, delivery_id: str) -> Answer:
    """POST /webhooks/deliveries/{id}/redeliver."""
    call = Call("POST", path_of("webhooks", "deliveries", delivery_id, "redeliver"))
    await visit.make(call, scope=WRITE_WEBHOOKS)
    return visit.done(f"/webhooks/deliveries/{delivery_id}", "It is sent once more.", [call])


async def _count(visit: Visit, endpoint_id: str, status: str, since: str) -> int:
    """Return how many deliveries of the endpoint have *status*, at most `COUNTED_MAX`."""
    asked = {"endpoint": endpoint_id, "status": status, "since": since, "limit": COUNTED_MAX}
    found = await visit.get("/v1/webhooks/deliveries", **asked)
    return COUNTED_MAX if found["next_cursor"] else len(found["deliveries"])


def _fields(request: Request) -> dict[str, Any]:
    events = request.all_given("event")
    if not events:
        raise wrong("events: an endpoint is told of one event at least")
    return {"url": request.given("url"), "events": events, "description": request.given("description")}


def _path(endpoint_id: str, *parts: str) -> str:
    return path_of("webhooks", "endpoints", endpoint_id, *parts)


def _plural(count: int) -> str:
    return f"{count} deliver{'y' if count == 1 else 'ies'}"
