"""Progress bar: shows a person at a terminal how far long work is, in a line of standard error that it rewrites."""

from __future__ import annotations

import asyncio
import shutil
import sys
from types import TracebackType
from typing import Final, Self

EVERY_S: Final = 0.2
WIDTH: Final = 24  # of the bar itself


class ProgressBar:
    """
    A bar with the rate and the time left. Use: `with ProgressBar("records") as bar`, then `bar(stage, done, total)` often.

    Without a terminal it prints only the name of each stage, or nothing.

    Args:
        unit: what is counted.
        tells_stages: print each stage on a line of its own if there is no terminal.
    """

    def __init__(self, unit: str, *, tells_stages: bool = False) -> None:
        self._unit = unit
        self._tells_stages = tells_stages
        self._is_terminal = sys.stderr.isatty()
        self._stage = ""
        self._began_s = 0.0
        self._shown_s = 0.0
        self._has_line = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show that *done* of *total* of *stage* are done."""
        now_s = asyncio.get_running_loop().time()
        if stage != self._stage:
            self._stage, self._began_s, self._shown_s = stage, now_s, 0.0
            if self._tells_stages and not self._is_terminal:
                self._write(f"fliq: {stage}\n")
        if not self._is_terminal or (now_s - self._shown_s < EVERY_S and done < total):
            return
        self._shown_s = now_s
        line = text(stage, done, total, now_s - self._began_s, self._unit)
        self._write("\r\x1b[K" + line[: shutil.get_terminal_size().columns - 1])
        self._has_line = True

    def clear(self) -> None:
        """Remove the line, so that other output can be written."""
        if self._has_line:
            self._write("\r\x1b[K")
            self._has_line = False

    def _write(self, what: str) -> None:
        sys.stderr.write(what)
        sys.stderr.flush()


def text(stage: str, done: int, total: int, took_s: float, unit: str) -> str:
    """Return the line for *done* of *total* after *took_s*."""
    share = min(1.0, done / total) if total else 1.0
    filled = round(share * WIDTH)
    line = f"{stage:10} [{'#' * filled}{'.' * (WIDTH - filled)}] {share:4.0%}"
    if total >= 1_000:
        line += f"  {done:,} of {total:,} {unit}"
        if took_s > 0 and done:
            line += f", {done / took_s:,.0f}/s, {_duration((total - done) * took_s / done)} left"
    return line


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3600:.1f} h"
