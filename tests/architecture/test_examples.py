"""Every field that a caller may send about jobs and schedules stands in an example that a test runs."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from services.api.contract.error_codes import BACKFILL, JOB, PAUSE, PREVIEW, RESUME, SCHEDULE
from services.api.contract.field import Fields
from services.api.contract.schedules.fields import RUN
from tests.e2e.process.test_api_page import EXACT_PAGES, PAGE
from tests.fakes.pages import ROOT, examples

TABLES = {
    "job": JOB,
    "schedule": SCHEDULE,
    "preview": PREVIEW,
    "pause": PAUSE,
    "resume": RESUME,
    "run": RUN,
    "backfill": BACKFILL,
}


def typed() -> str:
    """Return what all these pages tell a caller to type."""
    pages = [path.read_text(encoding="utf-8") for path in (PAGE, *(ROOT / name for name in EXACT_PAGES))]
    return "\n".join(block.text for page in pages for block, _ in examples(page))


def names(table: Fields) -> Iterator[str]:
    """Yield the fields of *table*, and those of the objects in them."""
    for row in table.rows:
        yield row.name
        yield from row.schema.get("properties", {}) if isinstance(row.schema, dict) else ()


@pytest.mark.parametrize("name", TABLES)
def test_every_field_stands_in_an_example(name: str) -> None:
    """Under its name, in a request."""
    found = set(re.findall(r'\\?"([a-z_]+)\\?":', typed()))

    assert sorted(set(names(TABLES[name])) - found) == []
    assert "colour" not in found
