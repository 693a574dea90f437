"""How long a person waits for a page when there is much to show."""

from __future__ import annotations

import pytest

from tests.bench.costs.console_pages import FIRST_BYTE_MAX_MS, measure


@pytest.mark.nightly
@pytest.mark.timeout(3600)
async def test_the_first_byte_of_each_page_comes_at_once_with_a_million_jobs() -> None:
    """On a quiet machine; so many jobs and deliveries are copied in the tables, not made one by one."""
    found = await measure(1_000_000)

    assert {page: ms for page, ms in found.items() if ms > FIRST_BYTE_MAX_MS} == {}
