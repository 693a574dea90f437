"""Whatever text a job holds, a page shows it as text."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from services.console.rendering import Templates
from services.console.session import Session

CORPUS = (
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "' onmouseover='alert(1)", "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}", "</textarea><script>alert(1)</script>", "</title><svg onload=alert(1)>", "<!--", "&lt;b&gt;",
    "\u202egnp.exe", "<a href=\"javascript:alert(1)\">x</a>", "]]><script>alert(1)</script>",
)  # fmt: skip
SESSION = Session("fliq_sk_x", "s", "default", frozenset({"read", "write:jobs"}), 0)


class Tags(HTMLParser):
    """Collects the elements of a page, and their attributes that could run something."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.risky: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        for name, value in attrs:
            is_link = name in ("href", "src", "action", "hx-get")
            if name.startswith("on") or name == "style" or (is_link and not str(value).startswith(("/console", "#"))):
                self.risky.append(f"{tag} {name}={value}")


def page(text: str) -> str:
    """Return a list of jobs in which *text* stands in every field."""
    from services.console.pages.jobs.job_filters import STATUSES, Filters, Found

    job: dict[str, Any] = {
        "id": text, "url": text, "http_method": text, "status": text, "scheduled_at": "2026-11-30T00:00:00Z", "schedule_id": text,
        "execution_count": 1, "last_error": text, "last_status_code": None,
    }  # fmt: skip
    return (
        Templates(lambda: 0)
        .render(
            "jobs.html",
            base="/console",
            here="/console/jobs",
            page="jobs",
            session=SESSION._replace(account=text),
            secret="s",
            said={"text": text, "calls": [text], "more": 0, "problems": [text]},
            now=0,
            once="o",
            filters=Filters(q=text, host=text, code=text, error=text, schedule=text),
            statuses=STATUSES,
            found=Found([job], text, 1),
            cursor=text,
            scanned_max=500,
        )
        .decode()
    )


def tags(text: str) -> Tags:
    found = Tags()
    found.feed(page(text))
    return found


@pytest.mark.parametrize("text", CORPUS)
def test_no_text_becomes_an_element_or_an_attribute(text: str) -> None:
    """The page has the elements that it has for harmless text, and no attribute that could run anything."""
    assert tags(text).names == tags("harmless").names
    assert tags(text).risky == []
    assert "49" not in page("{{ 7 * 7 }}").partition("<main")[2]
