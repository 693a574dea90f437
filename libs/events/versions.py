"""
Versions: a stored name with its versions; the version that an event needs, and how the values of older ones are lifted. Pure.

A version that only adds fields needs nothing else: its fields have defaults, and `Kind.added` names them. A breaking change adds a
version and one function here, an upcaster, which turns the JSON value of the version before into its own. Old bytes are never
rewritten: reading version 1 of an event that is at version 3 applies 1 -> 2 and then 2 -> 3.
"""

from collections.abc import Callable, Mapping
from operator import attrgetter
from types import NoneType
from typing import Any, Final, get_args

import msgspec

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


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """
    One stored name.

    Args:
        name: the string in the log; never changes.
        event: the class it is read into.
        version: the newest schema version.
        added: the fields that each of the newest versions added, the last entry for *version*; `spec.body` names a field inside
            one. Each must have a default that means what builds without the field do. A version that changes anything else is
            not named here: it needs an upcaster, and versions before it are only read.
        role: `control`, `fact` (anyone may append) or `decision` (only the owner may append, under its claim).
        key: the field that holds the record's key; empty for records that belong to the partition.
    """

    name: str
    event: type
    version: int = 1
    added: tuple[tuple[str, ...], ...] = ()
    role: str
    key: str

    @property
    def oldest_written(self) -> int:
        """The lowest version that is still written; older ones are lifted by upcasters when they are read."""
        return self.version - len(self.added)


# By class, since hashing a `Kind` would take longer than the whole comparison.
_NEWEST_FIRST: Final[dict[type, "tuple[Callable[[Any], Any], Any, list[tuple[int, Callable[[Any], Any], Any]]]"]] = {}


def lowest_version(kind: Kind, event: Any) -> int:
    """Return the lowest version of *kind* that holds all fields of *event*."""
    found = _NEWEST_FIRST.get(type(event))
    if found is None:
        found = _NEWEST_FIRST[type(event)] = (*_reader(kind, sum(kind.added, ())), _newest_first(kind))
    all_of, defaults, newest_first = found
    if all_of(event) == defaults:  # a plain one, as most are, is told by one comparison
        return kind.oldest_written
    return next(version for version, values_of, defaults in newest_first if values_of(event) != defaults)


def _newest_first(kind: Kind) -> "list[tuple[int, Callable[[Any], Any], Any]]":
    """
    Return the versions that added fields, the newest first, with what reads these fields and their defaults.

    All fields of a version are read and compared in one go: that is done for every record that is written.
    """
    numbered = enumerate(kind.added, kind.oldest_written + 1)
    return [(version, *_reader(kind, paths)) for version, paths in numbered][::-1]


def _reader(kind: Kind, paths: tuple[str, ...]) -> "tuple[Callable[[Any], Any], Any]":
    """Return what reads the fields *paths* of an event, and what it returns if all have their defaults."""
    found = [_field(kind.event, path) for path in paths]
    defaults = tuple(default for default, _ in found)
    all_of = attrgetter(*paths)
    expected = defaults if len(paths) > 1 else defaults[0]
    outers = [path.partition(".")[0] for path, (_, may_lack) in zip(paths, found, strict=True) if may_lack]
    if not outers:
        return all_of, expected
    outer = outers[0]
    if rest := tuple(path for path in paths if path.partition(".")[0] != outer):
        inner = tuple(path for path in paths if path.partition(".")[0] == outer)
        first, first_expected = _reader(kind, rest)
        second, second_expected = _reader(kind, inner)
        return (lambda event: (first(event), second(event))), (first_expected, second_expected)
    holder = attrgetter(outer)
    return (lambda event: expected if holder(event) is None else all_of(event)), expected


def _field(struct: type, path: str) -> tuple[Any, bool]:
    """Return the default of the field *path*, and whether the struct that has it may be None."""
    name, _, rest = path.partition(".")
    field = next(each for each in msgspec.structs.fields(struct) if each.name == name)
    if not rest:
        return field.default, False
    within = [each for each in get_args(field.type) or (field.type,) if each is not NoneType]
    return _field(within[0], rest)[0], len(get_args(field.type)) > 1
