"""A browser whose pages are watched: what they say on the console, which hosts they ask, and what runs that should not."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from playwright.async_api import Browser as Launched
from playwright.async_api import BrowserContext, Page, expect

from tests.fakes.running.client import TOKEN

AXE: Final = Path(__file__).with_name("axe.min.js")
TIMEOUT_MS: Final = 60_000  # a bound for a machine that is very busy
expect.set_options(timeout=TIMEOUT_MS)
_FINDINGS: Final = """
rules => axe.run(document, {resultTypes: ["violations"], ...(rules && {runOnly: rules})}).then(found => found.violations
  .filter(each => ["serious", "critical"].includes(each.impact))
  .map(each => each.id + ": " + each.nodes.map(node => node.target.join(" ") + " " + (node.any[0]?.message || "")).join(" | ")))
"""


class Browser:
    """Opens pages of the console at *url*."""

    def __init__(self, launched: Launched, url: str) -> None:
        self.url = url
        self.wrong: list[str] = []
        self.expected: list[str] = []  # parts of messages that a test provokes
        self._launched = launched

    async def open(self, token: str = TOKEN, *, scheme: Any = "light", **options: Any) -> Page:
        """Return a page that is logged in with *token*, at the overview."""
        context = await self._launched.new_context(
            color_scheme=scheme,
            locale="en-GB",
            timezone_id="Europe/Berlin",
            viewport={"width": 1280, "height": 900},
            **options,
        )
        page = await context.new_page()
        self._watch(context, page)
        await page.goto(f"{self.url}/")
        await page.fill("#token", token)
        await page.click("button.main")
        await page.wait_for_selector("nav.menu")
        return page

    def assert_nothing_went_wrong(self) -> None:
        """No error on the console of any page, no request to another host, no dialog of a script."""
        assert [each for each in self.wrong if not any(part in each for part in self.expected)] == []

    def _note(self, text: str, is_wrong: bool) -> None:
        if is_wrong:
            self.wrong.append(text)

    def _watch(self, context: BrowserContext, page: Page) -> None:
        own = urlsplit(self.url).netloc
        page.set_default_timeout(TIMEOUT_MS)
        page.on("console", lambda said: self._note(f"{said.type}: {said.text}", said.type in ("error", "warning")))
        page.on("pageerror", lambda error: self.wrong.append(f"script: {error}"))
        page.on("dialog", lambda dialog: self.wrong.append(f"dialog: {dialog.message}"))
        context.on(
            "request",
            lambda request: None if urlsplit(request.url).netloc == own else self.wrong.append(f"asked {request.url}"),
        )


async def serious_findings(page: Page, *, rule: str | None = None) -> list[str]:
    """Return what axe-core, or one *rule* of it, finds on *page* that is serious or critical."""
    await page.evaluate(AXE.read_text(encoding="utf-8"))
    return list(await page.evaluate(_FINDINGS, rule and [rule]))
