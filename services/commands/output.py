"""
Output: what a command prints. Its answer goes to standard output, as text or JSON, and its progress to standard error.

The reader of standard output may go at any moment (`| head`), and its disk may be full.
"""

import os
import select
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

CLOSED_CODE: Final = 141  # exit code of a program whose output nobody reads any more, as the shell counts SIGPIPE


class OutputClosed(Exception):
    """Nobody reads any more; the command is done."""


class OutputFailed(Exception):
    """The answer cannot be written; the message is one line that says why."""


class Output:
    """Standard output, line by line, each there at once."""

    def write(self, line: bytes) -> None:
        """
        Write *line*.

        Raises:
            OutputClosed: nobody reads any more.
            OutputFailed: it cannot be written, say because the disk is full.
        """
        try:
            sys.stdout.buffer.write(line + b"\n")
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            self._leave()
            raise OutputClosed from None
        except OSError as error:
            self._leave()
            raise OutputFailed(f"the answer cannot be written: {error.strerror or error}") from None

    def check(self) -> None:
        """Raise `OutputClosed` when nobody reads any more, though there is nothing to write."""
        try:
            descriptor = sys.stdout.fileno()
        except OSError:  # a test's
            return
        poll = select.poll()
        poll.register(descriptor, 0)
        if any(event & (select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0)):
            self._leave()
            raise OutputClosed

    def _leave(self) -> None:
        """Have what is still in the buffer go nowhere, so that the interpreter does not complain at its end."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


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


def answer_rows(rows: Sequence[Mapping[str, object]], heads: Sequence[str], *, as_json: bool) -> None:
    """Print *rows* as JSON, or as a table: below *heads* the first values of each row."""
    if as_json:
        answer_json(rows)
    else:
        answer(columns(heads, [list(row.values())[: len(heads)] for row in rows]))


def progress(text: str) -> None:
    """Say how far it is, on standard error."""
    print(f"fliq: {text}", file=sys.stderr, flush=True)  # noqa: T201 - progress, for a person


def open_standard_files() -> None:
    """
    Open the standard files that the caller closed (`>&-`) on /dev/null.

    Otherwise the next file that is opened takes the number: a socket to the database would be standard output, and libuv aborts.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - for the process's life
