"""
Upcasters: pure functions that turn the JSON value of an older schema version into the value of the next version.

A breaking change to an event adds a version and one function here; old bytes are never rewritten. Reading version 1 of an event
that is at version 3 applies 1 -> 2 and then 2 -> 3. A version that only adds fields needs no upcaster: its fields have
defaults, and the registry names them (`Kind.added` in codec.py).
"""

from collections.abc import Callable, Mapping
from typing import Any

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

# (stored name, version read) -> function to version + 1
UPCASTERS: Mapping[tuple[str, int], Upcaster] = {}


def upcast(
    name: str, version: int, current: int, value: dict[str, Any], chain: Mapping[tuple[str, int], Upcaster]
) -> dict[str, Any]:
    """
    Return *value* lifted from *version* to *current*.

    Raises:
        KeyError: a step of the chain is missing.
    """
    for step in range(version, current):
        value = chain[name, step](value)
    return value
