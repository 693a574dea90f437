"""
Known arrays: arrays of PostgreSQL's own types, which the driver need not ask the server about.

asyncpg knows the types that PostgreSQL has, but not their arrays: each new connection that meets one asks the catalogs, by a query
that takes the server 5 to 10 ms and a megabyte. The numbers of these types never change (pg_type.dat), so the answer stands here.

Source: `_introspect_types` and `INTRO_LOOKUP_TYPES` of asyncpg. Neither is documented: if they go, the driver asks again, and
tests/conformance/arrays/test_known_arrays.py fails.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

# Number of an array's type -> its name and the number of its elements' type.
ARRAYS: Final[Mapping[int, tuple[str, int]]] = {
    1000: ("_bool", 16),
    1001: ("_bytea", 17),
    1005: ("_int2", 21),
    1007: ("_int4", 23),
    1009: ("_text", 25),
    1016: ("_int8", 20),
    1022: ("_float8", 701),
    1182: ("_date", 1082),
    1185: ("_timestamptz", 1184),
    2951: ("_uuid", 2950),
}


def _answer(oid: int) -> Mapping[str, Any]:
    """Return what the catalogs say of an array's type."""
    name, element = ARRAYS[oid]
    rest = (
        "basetype",
        "range_subtype",
        "attrtypoids",
        "attrnames",
        "basetype_name",
        "elemtype_name",
        "range_subtype_name",
    )
    known = {
        "oid": oid,
        "ns": "pg_catalog",
        "name": name,
        "kind": b"b",
        "elemtype": element,
        "elemdelim": ",",
        "depth": 0,
    }
    return known | dict.fromkeys(rest)


_ANSWERS: Final = {oid: _answer(oid) for oid in ARRAYS}


class _Statement(NamedTuple):
    name: str  # one with a name has not taken the place of the statement that the types are asked for


_NONE_RUN: Final = _Statement("none")


class KnownArrays:
    """Stands in front of `asyncpg.Connection` among the bases of a class of connections."""

    async def _introspect_types(self, typeoids: Iterable[int], timeout: float | None) -> Any:
        answers = [_ANSWERS.get(oid) for oid in typeoids]
        if None in answers:
            return await super()._introspect_types(typeoids, timeout)  # type: ignore[misc]  # asyncpg's
        return answers, _NONE_RUN
