"""Webhooks, events and the system, as a person uses them: pages about what happens now."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.made_things import endpoint, failed_job, operator_token, read_token
from tests.browser.watched_page import Browser, serious_findings
from tests.fakes.running.sink import Sink
from tests.fakes.running.topologies import Client, RunningFliq
from tests.fakes.until import until

pytestmark = [pytest.mark.topologies("embedded")]


async def _until_told(client: Client, job_id: str, status: str) -> None:
    async def told() -> bool:
        _, found, _ = await client.call("GET", f"/v1/webhooks/deliveries?job={job_id}&status={status}")
        return bool(found["deliveries"])

    await until(told)


async def test_a_webhook_that_was_not_taken_is_sent_once_more(browser: Browser, client: Client, sink: Sink) -> None:
    """From the failed job to its delivery; then the endpoint is made to listen, tested, and recovers what it did not take."""
    told = await endpoint(client, f"{sink.url}/status/500", retry={"max_retries": 0})
    job = await failed_job(client, sink)
    await _until_told(client, job["id"], "exhausted")
    page = await browser.open()
    await page.goto(f"{browser.url}/jobs/{job['id']}")
    await page.click("section:has-text('Webhooks about it') a:text-is('job.failed')")
    await expect(page.locator(".why")).to_contain_text("It was not taken: the last attempt ended with HTTP 500")
    await page.click("text=Send once more")
    await expect(page.locator(".said")).to_contain_text("/redeliver")
    await page.click(f"dd a:has-text('{told['id']}')")

    await page.click("summary:text-is('Change')")
    await page.fill("details [name=url]", f"{sink.url}/ok")
    await page.check("details [value='job.completed']")
    await page.click("text=Change the endpoint")
    await expect(page.locator("h1")).to_contain_text("/ok")
    await page.click("text=Send a test")
    await expect(page.locator("h1")).to_contain_text("endpoint.test")
    await page.go_back()
    await page.click("summary:text-is('Recover what it did not take')")
    await page.fill("[name=since]", str(job["created_at"]))
    await page.click("text=Recover…")
    await page.click("button:text-matches('Send . deliver(y|ies) again')")
    await expect(page.locator(".said")).to_contain_text("/recover")
    await page.click("text=Disable")
    await expect(page.locator("h1 .status")).to_contain_text("disabled")
    await page.click("text=Delete…")
    await page.click("text=Delete the endpoint")
    await expect(page.locator(".said")).to_contain_text("-X DELETE")


async def test_a_page_is_refreshed_until_somebody_pauses_it_or_looks_elsewhere(
    browser: Browser, client: Client
) -> None:
    """Every five seconds; not while it is switched off, nor while the tab is hidden. An instant has UTC in its tooltip."""
    job = await client.create("https://shop.example.com/", 3600)
    page = await browser.open()
    await page.clock.install()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "hx-request" in request.headers else None)
    await page.goto(f"{browser.url}/jobs")

    async def refreshed() -> None:
        async with page.expect_response(lambda answer: "hx-request" in answer.request.headers):
            await page.clock.run_for(5_000)

    await refreshed()
    await page.click("#live-switch")
    await page.clock.run_for(60_000)
    await page.click("#live-switch")
    await page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    await page.clock.run_for(60_000)
    await page.evaluate("delete document.hidden")
    await refreshed()
    assert len(asked) == 2
    instant = page.locator(f'tr:has(input[value="{job["id"]}"]) time')
    assert "UTC" in (await instant.get_attribute("title") or "")


async def test_events_are_shown_as_they_happen(browser: Browser, client: Client, sink: Sink) -> None:
    """With a token that may only read; a pause holds them back and loses none, and a refused stream says why."""
    page = await browser.open(await read_token(client))
    await page.goto(f"{browser.url}/events?types=job.failed")
    await expect(page.locator("#stream-state")).to_have_text("Listening.")
    first = await failed_job(client, sink)
    row = page.locator(f'#stream tr:has(a[href$="{first["id"]}"])')
    await expect(row).to_contain_text("HTTP 503")
    await row.locator("summary").click()
    await expect(row.locator("pre")).to_contain_text(f'"job_id": "{first["id"]}"')

    await page.click("#pause")
    await expect(page.locator("#stream-state")).to_contain_text("Paused")
    second = await failed_job(client, sink)
    assert await page.locator(f'#stream a[href$="{second["id"]}"]').count() == 0
    await page.click("#pause")
    await expect(page.locator(f'#stream a[href$="{second["id"]}"]')).to_be_visible()

    browser.expected.append("400 (Bad Request)")
    await page.goto(f"{browser.url}/events?label=odd")
    await expect(page.locator("#stream-state")).to_contain_text("The stream was refused: label")


async def test_an_operator_sees_what_is_wrong(browser: Browser, client: Client, fliq: RunningFliq) -> None:
    """The page comes at once, and what the checks found afterwards."""
    page = await browser.open(await operator_token(fliq))
    await page.goto(f"{browser.url}/system")
    await expect(page.locator("#findings summary")).to_contain_text("found nothing wrong")
    await page.click("#findings summary")
    await expect(page.locator("#findings")).to_contain_text("nothing is overdue")
    assert await serious_findings(page) == []
