"""LogReport: what `fliq doctor` and a start tell the operator about a log, the same for every adapter."""

from collections.abc import Sequence
from typing import Final, NamedTuple

_NAMED: Final = 8  # partitions named in a line


class Problem(NamedTuple):
    """One problem: what it is, what to do about it, and whether it harms already (*is_wrong*) or may do so later."""

    text: str
    advice: str
    is_wrong: bool


class LogReport(NamedTuple):
    """
    The state of a log.

    Args:
        said: one line that tells where the log is and how large it is.
        partitions: how many it has; None if there is no log yet.
        problems: empty if all is well.
    """

    said: str
    partitions: int | None
    problems: Sequence[Problem]


def name_partitions(partitions: Sequence[int]) -> str:
    """Return the first few partition numbers as text, and how many more there are."""
    named = ", ".join(map(str, sorted(partitions)[:_NAMED]))
    more = len(partitions) - _NAMED
    return f"{'partition' if len(partitions) == 1 else 'partitions'} {named}{f' and {more} more' if more > 0 else ''}"
