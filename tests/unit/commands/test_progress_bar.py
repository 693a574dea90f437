"""The bar says how far it is, how fast, and how long it will take."""

import io
import sys

import pytest

from services.commands.progress_bar import ProgressBar, text


@pytest.mark.parametrize(
    ("done", "total", "took_s", "shown"),
    [
        (0, 0, 0.0, "100%"),
        (1, 4, 1.0, "[######..................]  25%"),
        (500_000, 1_000_000, 20.0, "500,000 of 1,000,000 records, 25,000/s, 20 s left"),
        (1_000, 1_000_000, 1.0, "1,000/s, 17 min left"),
        (1_000, 100_000_000, 1.0, "1,000/s, 27.8 h left"),
        (0, 1_000_000, 0.0, "0 of 1,000,000 records"),
    ],
)
def test_a_line(done: int, total: int, took_s: float, shown: str) -> None:
    """Small counts have no rate; large ones say what is left."""
    line = text("folding", done, total, took_s, "records")
    assert line.startswith("folding    [")
    assert shown in line


class Terminal(io.StringIO):
    """Standard error that is a terminal."""

    def isatty(self) -> bool:
        return True


async def test_on_a_terminal_one_line_is_written_over_and_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not every step is shown, the last one of a stage is; nothing is left behind."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    with ProgressBar("records") as bar:
        for done in range(1, 1_001):
            bar("folding", done, 1_000)
    shown = sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert shown.count("\r\x1b[K") <= 4
    assert "100%" in shown
    assert shown.endswith("\r\x1b[K")
    assert "\n" not in shown


async def test_elsewhere_only_stages_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for each, and only where that was asked for."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with ProgressBar("records", tells_stages=True) as telling, ProgressBar("records") as silent:
        for stage in ("folding", "folding", "indexing"):
            telling(stage, 1, 2)
            silent(stage, 1, 2)
    assert sys.stderr.getvalue() == "fliq: folding\nfliq: indexing\n"  # type: ignore[attr-defined]
