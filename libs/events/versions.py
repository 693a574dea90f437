"""
Versions: a stored name with its versions; the version that an event needs, and how the values of older ones are lifted. Pure.

A version that only adds fields needs nothing else: its fields have defaults, and `Kind.added` names them. A breaking change adds a
version and one function here, an upcaster, which turns the JSON value of the version before into its own. Old bytes are never
rewritten: reading version 1 of an event that is at version 3 applies 1 -> 2 and then 2 -> 3.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from operator import attrgetter, ne
from types import NoneType
from typing import Any, Final, NamedTuple, get_args

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


class _Added(NamedTuple):
    """
    The fields that versions of a kind added, those of the newest first.

    Args:
        values_of: returns the values of all of them, of one event.
        defaults: what it returns for an event that holds none of them.
        versions: which version added each.
    """

    values_of: Callable[[Any], tuple[Any, ...]]
    defaults: tuple[Any, ...]
    versions: tuple[int, ...]


# By class, since hashing a `Kind` would take longer than the whole comparison.
_ADDED: Final[dict[type, _Added]] = {}


def lowest_version(kind: Kind, event: Any) -> int:
    """Return the lowest version of *kind* that holds all fields of *event*."""
    added = _ADDED.get(type(event))
    if added is None:
        added = _ADDED[type(event)] = _added(kind)
    values_of, defaults, versions = added
    values = values_of(event)  # in one go: this is done for every record that is written
    if values == defaults:  # a plain one, as most are, is told by one comparison
        return kind.oldest_written
    return next(compress(versions, map(ne, values, defaults)))


def _added(kind: Kind) -> _Added:
    newest_first = [*enumerate(kind.added, kind.oldest_written + 1)][::-1]
    numbered = [(path, version) for version, paths in newest_first for path in paths]
    paths = [path for path, _ in numbered]
    found = [_field(kind.event, path) for path in paths]
    defaults = tuple(default for default, _ in found)
    return _Added(_reader(paths, found), defaults, tuple(version for _, version in numbered))


def _reader(paths: Sequence[str], found: Sequence[tuple[Any, bool]]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what reads the fields *paths* of an event; a field counts as its default if the struct that has it is not there."""
    if len(paths) > 1 and not any(may_lack for _, may_lack in found):
        return attrgetter(*paths)
    fields = [
        (attrgetter(path.partition(".")[0]) if may_lack else None, attrgetter(path), default)
        for path, (default, may_lack) in zip(paths, found, strict=True)
    ]
    return lambda event: tuple(
        [default if holder is not None and holder(event) is None else read(event) for holder, read, default in fields]
    )


def _field(struct: type, path: str) -> tuple[Any, bool]:
    """Return the default of the field *path*, and whether the struct that has it may be None."""
    name, _, rest = path.partition(".")
    field = next(each for each in msgspec.structs.fields(struct) if each.name == name)
    if not rest:
        return field.default, False
    within = [each for each in get_args(field.type) or (field.type,) if each is not NoneType]
    return _field(within[0], rest)[0], len(get_args(field.type)) > 1
