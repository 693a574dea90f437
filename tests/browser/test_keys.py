"""The console without a mouse, and without scripts."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.made_things import failed_job
from tests.browser.watched_page import Browser
from tests.fakes.running.sink import Sink
from tests.fakes.running.topologies import Client

pytestmark = [pytest.mark.topologies("embedded")]


async def test_keys_and_history(browser: Browser, client: Client, sink: Sink) -> None:
    """Rows without a mouse, help, and a way back that keeps the filters."""
    jobs = [await failed_job(client, sink) for _ in range(2)]
    page = await browser.open()
    place = f"{browser.url}/jobs?status=failed&host=127.0.0.1%3A{sink.port}"
    await page.goto(place)
    await page.keyboard.press("?")
    await expect(page.locator("#help")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator("#help")).to_be_hidden()
    await page.keyboard.press("/")
    await expect(page.locator("#search")).to_be_focused()
    await page.evaluate("document.activeElement.blur()")
    for key in "jjk":
        await page.keyboard.press(key)
    await page.keyboard.press("x")
    await expect(page.locator("[data-selected]")).to_have_text("1")
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"**/jobs/{jobs[1]['id']}")  # the newest stands first
    await page.go_back()
    assert page.url == place
    await expect(page.locator("[name=host]")).to_have_value(f"127.0.0.1:{sink.port}")


async def test_each_place_of_the_menu_has_its_keys(browser: Browser) -> None:
    """`g` and the letter that the help names; the same letters typed into a field go nowhere."""
    page = await browser.open()
    for letter, place in {
        "j": "/jobs",
        "f": "/failures",
        "s": "/schedules",
        "w": "/webhooks",
        "e": "/events",
        "o": "/",
    }.items():
        await page.keyboard.press("g")
        await page.keyboard.press(letter)
        await page.wait_for_url(browser.url + place)

    await page.goto(f"{browser.url}/jobs")
    await page.fill("#search", "")
    await page.keyboard.type("gf")
    await expect(page.locator("#search")).to_have_value("gf")
    assert page.url == f"{browser.url}/jobs"


async def test_without_scripts_a_failed_job_is_found_and_replayed(browser: Browser, client: Client, sink: Sink) -> None:
    """Log in, filter, read why, replay, cancel with its question: pages and forms are enough."""
    job = await failed_job(client, sink)
    page = await browser.open(java_script_enabled=False)
    await page.click("nav.menu a[href$='/jobs']")
    await page.fill("[name=host]", f"127.0.0.1:{sink.port}")
    await page.locator("[name=host]").press("Enter")
    await page.click(f'a[href$="{job["id"]}"]')
    await expect(page.locator(".why")).to_contain_text("its only attempt ended with HTTP 503")
    await page.click("text=Replay")

    await expect(page.locator(".said")).to_contain_text(f"/v1/jobs/{job['id']}/replay")
    copy = page.url.rpartition("/")[2]
    assert (await client.job(copy))["url"] == job["url"]

    waiting = await client.create(f"{sink.url}/ok", 3600)
    await page.goto(f"{browser.url}/jobs/{waiting['id']}")
    await page.click("button:text-is('Cancel')")
    await expect(page.locator(".said")).to_contain_text("-X DELETE")
    assert (await client.job(waiting["id"]))["status"] == "cancelled"
