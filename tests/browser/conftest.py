"""
What the browser tests stand on.

`chromium`   session: the program; without it the tests are skipped with the reason
`browser`    function: a browser, to open pages with
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import async_playwright

from tests.browser.chromium import Unavailable, find
from tests.browser.watched_page import Browser
from tests.fakes.running.topologies import RunningFliq


@pytest.fixture(scope="session")
def chromium() -> str:
    """The program."""
    try:
        return find()
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture
async def browser(chromium: str, fliq: RunningFliq) -> AsyncIterator[Browser]:
    """A browser that looks at the console of *fliq*; at the end nothing may have gone wrong in any page."""
    async with async_playwright() as playwright:
        # Tests run as root in containers, where Chromium's own sandbox cannot be set up.
        launched = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"], timeout=90_000)
        opened = Browser(launched, f"{fliq.url}/console")
        yield opened
        opened.assert_nothing_went_wrong()
        await launched.close()
