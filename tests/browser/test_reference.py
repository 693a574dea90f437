"""The API's reference as a person uses it."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from services.api.contract.routes import ROUTES
from tests.browser.watched_page import Browser, serious_findings
from tests.fakes.running.topologies import Client, RunningFliq

pytestmark = [pytest.mark.topologies("embedded")]


async def test_a_call_is_tried_with_the_token_of_the_session(
    browser: Browser, client: Client, fliq: RunningFliq
) -> None:
    """`/docs` leads there; every route is shown, and a call is made without a token in the page. Nothing asks another host."""
    status, _, _ = await client.call("GET", "/v1/account")
    page = await browser.open()
    await page.goto(f"{fliq.url}/docs")
    await expect(page.locator(".opblock")).to_have_count(len(ROUTES) + 1)  # and the webhook
    assert "fliq_sk_" not in await page.content()

    await page.click("#operations-account-getAccount .opblock-summary-control")
    await page.click("#operations-account-getAccount .try-out__btn")
    await page.click("#operations-account-getAccount .execute")

    answer = page.locator("#operations-account-getAccount .live-responses-table .response").first
    await expect(answer.locator(".response-col_status")).to_contain_text(str(status))
    await expect(answer).to_contain_text('"account": "default"')


async def test_it_can_be_used_by_everybody(browser: Browser, fliq: RunningFliq) -> None:
    """In light and dark, but for one rule that Swagger UI's markup breaks: a button inside each row's control (ADR 0039)."""
    page = await browser.open()
    await page.goto(f"{fliq.url}/docs")
    await page.wait_for_selector(".opblock")
    in_light = await serious_findings(page)
    dark = await browser.open(scheme="dark")
    await dark.goto(f"{fliq.url}/docs")
    await dark.wait_for_selector(".opblock")
    in_dark = await serious_findings(dark, rule="color-contrast")
    assert [each for each in in_light + in_dark if not each.startswith("nested-interactive")] == []


async def test_without_a_log_in_it_can_be_read(browser: Browser, fliq: RunningFliq) -> None:
    """The page offers the log-in instead of a try."""
    page = await browser.open()
    await page.context.clear_cookies()
    await page.goto(f"{fliq.url}/docs")
    await page.click("#operations-jobs-createJob .opblock-summary-control")
    await expect(page.locator("#operations-jobs-createJob .opblock-body")).to_be_visible()
    assert await page.locator(".try-out__btn").count() == 0
    await page.click("text=Log in")
    await expect(page.locator("#token")).to_be_visible()
