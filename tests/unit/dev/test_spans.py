"""How far a clock is moved."""

from __future__ import annotations

import pytest

from services.dev.server.spans import SPAN_MAX_MS, span_ms


@pytest.mark.parametrize(
    ("given", "ms"),
    [
        (0, 0),
        (1.5, 1_500),
        ("P30D", 30 * 86_400_000),
        ("P2W", 14 * 86_400_000),
        ("PT90M", 5_400_000),
        ("P1DT2H3M4.5S", 93_784_500),
        (SPAN_MAX_MS / 1_000, SPAN_MAX_MS),
    ],
)
def test_a_span_is_seconds_or_a_duration(given: object, ms: int) -> None:
    """To the millisecond."""
    assert span_ms(given) == ms


@pytest.mark.parametrize(
    "given", ["P", "PT", "30D", "P1Y", "P1M", "soon", "", -1, True, None, [], SPAN_MAX_MS, "P9999W"]
)
def test_everything_else_is_refused(given: object) -> None:
    """The message says what to write; months and years have no length of their own."""
    with pytest.raises(ValueError, match="P30D"):
        span_ms(given)
