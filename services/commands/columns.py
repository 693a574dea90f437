"""Columns: a table for a terminal, and the same for a program."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from services.commands.output import Output


def columns(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return *rows* below *heads*, each column as wide as its widest cell; numbers stand on the right, None is a dash."""
    cells = [list(heads), *[["–" if cell is None else str(cell) for cell in row] for row in rows]]
    widths = [max(len(line[at]) for line in cells) for at in range(len(heads))]
    right = [
        bool(rows) and all(row[at] is None or isinstance(row[at], int | float) for row in rows)
        for at in range(len(heads))
    ]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in cells
    )


def answer(text: str) -> None:
    """Print the command's answer on standard output; raises as `Output.write` does."""
    Output().write(text.encode())


def answer_json(value: Any) -> None:
    """Print *value* as one JSON document."""
    answer(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def progress(text: str) -> None:
    """Say how far it is, on standard error."""
    print(f"fliq: {text}", file=sys.stderr, flush=True)  # noqa: T201 - progress, for a person
