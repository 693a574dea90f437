"""Trouble: something about a log that an operator should know, whatever the log is kept in."""

from collections.abc import Sequence
from typing import Final, NamedTuple

_NAMED: Final = 8  # partitions named in a line


class Trouble(NamedTuple):
    """What there is, what to do about it, and whether it is wrong already or may only become so."""

    text: str
    advice: str
    is_wrong: bool


class LogReport(NamedTuple):
    """
    How a log is.

    Args:
        said: where it is and how large, in a line.
        partitions: how many it has; None when there is no log yet.
        troubles: none when all is well.
    """

    said: str
    partitions: int | None
    troubles: Sequence[Trouble]


def numbers(partitions: Sequence[int]) -> str:
    """Name partitions: the first few, and how many more."""
    named = ", ".join(map(str, sorted(partitions)[:_NAMED]))
    more = len(partitions) - _NAMED
    return f"{'partition' if len(partitions) == 1 else 'partitions'} {named}{f' and {more} more' if more > 0 else ''}"
