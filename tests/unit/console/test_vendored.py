"""What comes from others stands here unchanged, with its licence, and nothing else is fetched from anywhere."""

from __future__ import annotations

import re
from hashlib import sha256

import pytest

from services.console.http_messages import CONTENT_SECURITY_POLICY
from services.console.rendering import FOLDER
from services.console.site import STATIC

HTMX = "2.0.11"
SWAGGER_UI = "5.35.0"
HASHES = {  # of the files in npm's packages htmx.org and swagger-ui-dist (swagger-ui-bundle.js, its LICENSE.txt, and the rest)
    "htmx.min.js": "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717",
    "htmx.LICENSE": "d3d2456f76414f2456104660ebd65aff1c04cd7966b942bdabd63f3cdb316a38",
    "swagger-ui.LICENSE": "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30",
    "swagger-ui.css": "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
    "swagger-ui.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
    "swagger-ui.parts.LICENSE": "37eb6e7e59aed57b2c1acf076574b818ea07b74265717e0bd67b59e0baf9abbb",
}


@pytest.mark.parametrize("name", sorted(HASHES))
def test_a_file_is_as_its_package_has_it(name: str) -> None:
    """Byte for byte."""
    body = (STATIC / name).read_bytes()

    assert sha256(body).hexdigest() == HASHES[name]
    assert name != "htmx.min.js" or f'version:"{HTMX}"'.encode() in body
    assert name != "swagger-ui.js" or f'"{SWAGGER_UI}"'.encode() in body


def test_no_page_names_another_host() -> None:
    """Pages work in a closed network: no address of another host is in a template, a style or a script of ours."""
    ours = [*FOLDER.glob("*.html"), *(path for path in STATIC.iterdir() if path.name not in HASHES)]
    found = {path.name: re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"'<]*", path.read_text("utf-8")) for path in ours}
    allowed = ("http://www.w3.org/2000/svg", "https://example.com/")  # a name of a format; what a field may hold

    assert {name: urls for name, urls in found.items() if [url for url in urls if not url.startswith(allowed)]} == {}


def test_nothing_inline_is_needed() -> None:
    """No template has a script, a style or a handler of events in it, and the policy allows none."""
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    for path in FOLDER.glob("*.html"):
        text = path.read_text("utf-8")
        assert not re.search(
            r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|javascript:|\|\s*safe\b|hx-on|hx-vals", text
        ), path
