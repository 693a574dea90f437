"""
Take the pictures of docs/tour.md and docs/console.md, of a Fliq that runs for that:

    python -m tests.browser.pictures
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from playwright.async_api import Page, async_playwright

from tests.browser.chromium import find
from tests.browser.watched_page import Browser
from tests.fakes.running.client import Client
from tests.fakes.running.postgres import fresh_server
from tests.fakes.running.processes import RunningFliq
from tests.fakes.running.sink import Sink
from tests.fakes.until import until

FOLDER: Final = Path(__file__).resolve().parents[2] / "docs" / "pictures"
TAKEN: Final = {
    "light": (
        "overview",
        "jobs",
        "failed-job",
        "failures",
        "schedule",
        "new-schedule",
        "delivery",
        "events",
        "reference",
    ),
    "dark": ("waiting-job",),
}
SETTINGS: Final = {"FLIQ_HEARTBEAT_SECONDS": "0", "FLIQ_RETRY_BASE_SECONDS": "600"}


async def _happen(client: Client, sink: Sink) -> dict[str, str]:
    """Let some jobs succeed, fail and wait; return the addresses of pages that show them."""
    fields = {"url": f"{sink.url}/status/500?till=7", "description": "the till", "retry": {"max_retries": 0}}
    await client.call("POST", "/v1/webhooks/endpoints", fields)
    jobs = [await client.create(f"{sink.url}/ok?invoice={n}", 0.2, body='{"customer": 17}') for n in range(9)]
    for status, count in ((503, 4), (404, 2), (500, 1)):
        jobs += [await client.create(f"{sink.url}/status/{status}", 0.2, body='{"customer": 17}') for _ in range(count)]
    for job in jobs:
        await client.wait_status(job["id"], timeout_s=60)
    exhausted = await until(lambda: _exhausted(client))
    retried = await client.create(f"{sink.url}/status/503?charge", 0.2, max_retries=3, body='{"amount": 100}')
    for n in range(4):
        await client.create(f"https://shop.example.com/charge/{n}", 86_400, max_retries=3)
    rules = [{"cron": "0 8 * * 1-5", "timezone": "Europe/Berlin"}, {"every": {"seconds": 3600}}, {"cron": "30 2 * * *"}]
    made = [(await client.call("POST", "/v1/schedules", {"url": f"{sink.url}/ok", **rule}))[1] for rule in rules]
    for _ in range(12):
        run = (await client.call("POST", f"/v1/schedules/{made[0]['id']}/run"))[1]
        await client.wait_status(run["id"], timeout_s=60)
    await client.call("POST", f"/v1/schedules/{made[2]['id']}/pause", {"note": "the shop is closed"})
    return {
        "overview": "/", "jobs": "/jobs", "failed-job": f"/jobs/{jobs[9]['id']}", "waiting-job": f"/jobs/{retried['id']}",
        "failures": "/failures", "schedules": "/schedules", "schedule": f"/schedules/{made[0]['id']}",
        "new-schedule": "/schedules/new", "delivery": f"/webhooks/deliveries/{exhausted}", "events": "/events?since=600",
        "reference": "/docs",
    }  # fmt: skip


async def _exhausted(client: Client) -> str:
    _, found, _ = await client.call("GET", "/v1/webhooks/deliveries?status=exhausted")
    return str(found["deliveries"][0]["id"]) if found["deliveries"] else ""


async def _take(page: Page, url: str, places: dict[str, str], scheme: str) -> None:
    for name in TAKEN[scheme]:
        place = places[name]
        await page.goto(url + place)
        if name == "events":  # it never stops listening
            await page.wait_for_selector("#stream tr[data-row]")
        else:
            await page.wait_for_load_state("networkidle")
        await page.screenshot(path=FOLDER / f"{name}-{scheme}.png")


async def main() -> None:
    """Take each picture in light and in dark."""
    FOLDER.mkdir(exist_ok=True)
    with fresh_server() as dsn, RunningFliq(database_url=dsn, **SETTINGS) as fliq:
        async with Client(fliq.url) as client, Sink() as sink, async_playwright() as playwright:
            places = await _happen(client, sink)
            launched = await playwright.chromium.launch(executable_path=find(), args=["--no-sandbox"], timeout=90_000)
            browser = Browser(launched, f"{fliq.url}/console")
            for scheme in ("light", "dark"):
                await _take(await browser.open(scheme=scheme), browser.url, places, scheme)
            await launched.close()
            browser.assert_nothing_went_wrong()


if __name__ == "__main__":
    asyncio.run(main())
