"""The picture of the last 24 hours."""

from __future__ import annotations

from services.console.pages.activity_picture import HEIGHT, bars_of


def hour(success: int, failed: int = 0, cancelled: int = 0) -> dict[str, object]:
    return {"at": "2027-01-01T00:00:00Z", "success": success, "failed": failed, "cancelled": cancelled}


def test_the_highest_bar_is_full() -> None:
    """The others are as high as their jobs; the parts of a bar stand on each other, and none is drawn for nothing."""
    full, half, empty = bars_of([hour(6, 2), hour(4), hour(0)])
    assert [(part.end, part.jobs, part.y, part.height) for part in full.parts] == [
        ("success", 6, HEIGHT / 4, HEIGHT * 3 / 4),
        ("failed", 2, 0.0, HEIGHT / 4),
    ]
    assert [part.height for part in half.parts] == [HEIGHT / 2]
    assert (empty.parts, empty.total) == ((), 0)


def test_one_among_many_is_seen() -> None:
    """A single failure has a height, however many succeeded."""
    (bar,) = bars_of([hour(100_000, 1)])
    assert bar.parts[-1].height >= 2


def test_nothing_happened() -> None:
    """Empty hours have no parts."""
    assert [bar.total for bar in bars_of([hour(0)] * 24)] == [0] * 24
