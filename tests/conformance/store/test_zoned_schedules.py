"""A hundred thousand schedules in time zones: what their take-over costs, and what they take in memory."""

from __future__ import annotations

import pytest

from tests.bench.costs.zoned_schedules import FULL_MINUTES, OVER_A_DAY, measure
from tests.fakes.running.postgres import fresh_server

COUNT = 100_000
TAKE_OVER_S = 2.0  # of CPU: the same on a machine that does something else besides
BYTES_EACH = 400


@pytest.mark.nightly
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("due", [OVER_A_DAY, FULL_MINUTES])
async def test_their_take_over_is_quick_and_small(due: str) -> None:
    """Two seconds at most and 400 bytes each, whether their runs are spread over a day or all due in the next two minutes."""
    with fresh_server() as dsn:
        found = await measure(dsn, COUNT, due=due)

    print(due, found)
    assert found.cpu_s <= TAKE_OVER_S
    assert found.held <= BYTES_EACH * COUNT
    assert due == OVER_A_DAY or found.loaded == COUNT
