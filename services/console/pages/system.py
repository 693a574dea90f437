"""System: what the account may use, and how far Fliq is, as far as the API says it to the token."""

from __future__ import annotations

import asyncio
from typing import Final

from services.console.http_messages import Answer
from services.console.visit import Visit

ORDER: Final = ("wrong", "warning", "ok")


async def findings(visit: Visit) -> Answer:
    """GET /system/findings: what is wrong, as a part of the page; it may take some seconds."""
    found = (await visit.get("/v1/system/findings"))["findings"]
    found.sort(key=lambda each: ORDER.index(each["state"]))
    return visit.show("findings.html", page="system", findings=found)


async def page(visit: Visit) -> Answer:
    """GET /system."""
    account, document, system = await asyncio.gather(
        visit.get("/v1/account"), visit.get("/v1/openapi.json"), visit.get_or(None, "/v1/system")
    )
    return visit.show(
        "system.html",
        page="system",
        account=account,
        system=system,
        version=document["info"]["version"],
        route_count=sum(len(methods) for methods in document["paths"].values()),
    )
