"""
Array columns: Python lists as PostgreSQL's binary arrays.

The log and the flush send every column of their rows as one array. asyncpg asks of every element, before it writes it, whether it
is a sequence itself, which takes longer than writing it. The arrays here have one dimension, so nobody has to ask.

    array    dimensions (1, or 0 if it is empty), flags, type of the elements; length and lower bound of the dimension; the elements
    element  its length in 4 bytes, and its bytes; -1 for null

Source: array_recv in PostgreSQL's src/backend/utils/adt/arrayfuncs.c.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from struct import Struct
from typing import Any, Final

_EMPTY: Final = Struct(">iiI").pack
_HEAD: Final = Struct(">iiIii").pack
_LENGTH: Final = Struct(">i").pack
_NULL: Final = _LENGTH(-1)
_INT2: Final = Struct(">ih").pack
_INT4: Final = Struct(">ii").pack
_INT8: Final = Struct(">iq").pack
_UUID: Final = _LENGTH(16)
_BOOLS: Final[Mapping[bool | None, bytes]] = {None: _NULL, False: _LENGTH(1) + b"\0", True: _LENGTH(1) + b"\1"}

Column = Sequence[Any]


def _bools(column: Column) -> Iterable[bytes]:
    return map(_BOOLS.__getitem__, column)


def _int2s(column: Column) -> Iterable[bytes]:
    return [_NULL if value is None else _INT2(2, value) for value in column]


def _int4s(column: Column) -> Iterable[bytes]:
    return [_NULL if value is None else _INT4(4, value) for value in column]


def _int8s(column: Column) -> Iterable[bytes]:
    return [_NULL if value is None else _INT8(8, value) for value in column]


def _texts(column: Column) -> Iterable[bytes]:
    # Most columns with texts have few different ones.
    encoded = {value: _NULL if value is None else _of_bytes(value.encode()) for value in set(column)}
    return map(encoded.__getitem__, column)


def _byteas(column: Column) -> Iterable[bytes]:
    return [_NULL if value is None else _of_bytes(value) for value in column]


def _uuids(column: Column) -> Iterable[bytes]:
    return [_NULL if value is None else _UUID + value.bytes for value in column]


def _of_bytes(value: bytes) -> bytes:
    return _LENGTH(len(value)) + value


# Name of an array's type -> its number, that of its elements, and what writes these. The numbers never change (pg_type.dat).
_TYPES: Final[Mapping[str, tuple[int, int, Callable[[Column], Iterable[bytes]]]]] = {
    "_bool": (1000, 16, _bools),
    "_bytea": (1001, 17, _byteas),
    "_int2": (1005, 21, _int2s),
    "_int4": (1007, 23, _int4s),
    "_text": (1009, 25, _texts),
    "_int8": (1016, 20, _int8s),
    "_uuid": (2951, 2950, _uuids),
}


def encoder(name: str) -> Callable[[Column], bytes]:
    """
    Return what writes a list of values, some of which may be None, as an array of the type *name*.

    What it returns raises TypeError, AttributeError or `struct.error` for a value that the type cannot hold.
    """
    _, element, elements = _TYPES[name]
    empty = _EMPTY(0, 0, element)

    def encode(column: Column) -> bytes:
        if not column:
            return empty
        return _HEAD(1, 0, element, len(column), 1) + b"".join(elements(column))

    return encode


_ENCODERS: Final = {name: encoder(name) for name in _TYPES}


def send_arrays(connection: Any) -> None:
    """Have *connection* write arrays so. It reads none any more: its statements must return single values."""
    settings = connection.get_settings()
    for name, encode in _ENCODERS.items():
        settings.add_python_codec(_TYPES[name][0], name, "pg_catalog", [], "array", encode, _refuse, "binary")


def _refuse(_: bytes) -> Any:
    raise TypeError("this connection reads no arrays")
