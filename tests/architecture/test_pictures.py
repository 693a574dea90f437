"""The pictures of the pages: each is taken by the script, and each is shown."""

from __future__ import annotations

import re

from tests.browser.pictures import FOLDER, TAKEN
from tests.fakes.pages import ROOT


def test_every_picture_is_taken_by_the_script_and_shown_on_a_page() -> None:
    """So a change of the console is followed by `python -m tests.browser.pictures`, and no picture is left over."""
    taken = {f"{name}-{scheme}.png" for scheme, names in TAKEN.items() for name in names}
    pages = [path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")]
    shown = {name for page in pages for name in re.findall(r"pictures/([\w-]+\.png)", page)}

    assert {path.name for path in FOLDER.glob("*.png")} == taken == shown
