"""Session: what every command is given: the client, what it prints to, and whom it may ask."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TextIO

import msgspec

from fliq_client.cli.exits import Declined
from fliq_client.client import Fliq
from fliq_client.contract.models import Answered

_MARKS: Final = tuple(Answered.__struct_fields__)  # what the client adds to the API's own fields


class Session:
    """
    One call of the command.

    Args:
        connect: opens the client; asked once, by the first command that needs it.
        as_json: print documents for programs instead of tables.
        may_ask: a person sits there, and `--no-input` was not given.
    """

    def __init__(self, connect: Callable[[], Fliq], *, as_json: bool, may_ask: bool, out: TextIO | None = None) -> None:
        self._connect = connect
        self._fliq: Fliq | None = None
        self._out = sys.stdout if out is None else out
        self.as_json = as_json
        self.may_ask = may_ask

    @property
    def fliq(self) -> Fliq:
        """The client; raises UsageError if nobody said where Fliq is."""
        if self._fliq is None:
            self._fliq = self._connect()
        return self._fliq

    def close(self) -> None:
        """Close the client."""
        if self._fliq is not None:
            self._fliq.close()

    def say(self, text: str) -> None:
        """Print a line of the answer."""
        self._out.write(f"{text}\n")
        self._out.flush()

    def note(self, text: str) -> None:
        """Print a line that is not the answer, on standard error."""
        sys.stderr.write(f"fliq: {text}\n")

    def show(self, item: Answered, text: str) -> None:
        """Print one object: *text*, or with `--json` the whole of it."""
        self.say(_json(plain(item)) if self.as_json else text)

    def table(self, rows: Iterable[Mapping[str, Any]], items: Iterable[Any], *, empty: str) -> None:
        """Print *rows* below their names, or *empty* if there are none; with `--json` the *items*, as one list."""
        if self.as_json:
            self.say(_json([plain(each) for each in items]))
            return
        found = list(rows)
        self.say(columns(list(found[0]), [list(row.values()) for row in found]) if found else empty)

    def confirm(self, question: str, *, is_sure: bool) -> None:
        """Go on if a person says yes, or *is_sure* (`--yes`); raises Declined."""
        if is_sure:
            return
        if not self.may_ask:
            raise Declined(f"{question} Nobody can be asked: say --yes")
        sys.stderr.write(f"{question} [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise Declined("nothing was done")


def plain(item: Any) -> Any:
    """Return an object as the API has it, for JSON; the client's own marks stay out."""
    if isinstance(item, Answered):
        fields = msgspec.structs.asdict(item)
        return {name: plain(value) for name, value in fields.items() if name not in _MARKS}
    if isinstance(item, list):
        return [plain(each) for each in item]
    return item


def columns(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return *rows* below *heads*, each column as wide as its widest cell; None is a dash."""
    cells = [list(heads), *[["–" if cell is None else str(cell) for cell in row] for row in rows]]
    widths = [max(len(line[at]) for line in cells) for at in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def is_interactive() -> bool:
    """Say whether a person can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty() and os.environ.get("CI", "") == ""


def _json(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
