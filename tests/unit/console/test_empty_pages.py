"""A page on which there is nothing yet says what to do next."""

from __future__ import annotations

import pytest

from tests.unit.console.logged_in import ANSWERS, Person


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("/", "POST /v1/jobs"),
        ("/", "POST /v1/schedules"),
        ("/jobs", "POST /v1/jobs"),
        ("/failures", "POST /v1/jobs"),
        ("/schedules", "POST /v1/schedules"),
        ("/webhooks", "POST /v1/webhooks/endpoints"),
    ],
)
async def test_an_empty_page_says_the_next_command(place: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it does so in the place of the table."""
    for path, name in (("jobs", "jobs"), ("schedules", "schedules"), ("webhooks/endpoints", "endpoints")):
        monkeypatch.setitem(ANSWERS, f"/v1/{path}", {name: [], "next_cursor": None})
    shown = (await (await Person().log_in()).send("GET", place)).body.decode()
    empty = [part.partition("</p>")[0] for part in shown.split('<p class="empty">')[1:]]
    assert [part for part in empty if f"<code>{said}</code>" in part] != []
