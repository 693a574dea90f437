"""Instants as text."""

import pytest

from libs.domain.instants import rfc3339


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_775_034_000_000, "2026-04-01T09:00:00Z"),
        (1_775_034_000_007, "2026-04-01T09:00:00.007Z"),
        (1_775_034_000_120, "2026-04-01T09:00:00.120Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_milliseconds_are_shown_only_where_they_are_not_zero(at: int, text: str) -> None:
    """UTC with Z."""
    assert rfc3339(at) == text
