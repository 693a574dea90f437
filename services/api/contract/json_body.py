"""
JSON body: bytes to Python values, strictly. Pure.

orjson refuses a byte order mark, trailing text, NaN, infinities, lone surrogates and deep nesting. If a name
stands twice in one object, orjson keeps the last value and says nothing, so `parse` looks for that. An object that holds a
name twice is replaced by `Duplicated`, which no request accepts.

How a dropped name is found cheaply: every colon of a JSON text stands behind a name or inside a string. A name that orjson drops
takes its colon with it, so the text that is written from the kept values has fewer colons than the text that came, escaped
ones (`\\u003a`) included. If the counts differ, the standard library parses the text once more, because it shows every pair.

Nothing else runs in the process meanwhile, so the number of values is limited (`VALUES_MAX`), and a long body is parsed in steps.
"""

import json
from collections.abc import Generator
from typing import Any, Final

import orjson

from services.api.contract.api_error import ApiError, bad

VALUES_MAX: Final = (
    25_000  # members, elements, objects and arrays of a body; 1,000 jobs with 10 fields and 10 headers have fewer
)


class Duplicated:
    """Stands for an object in which *name* occurs twice."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


def parse(raw: bytes) -> Any:
    """
    Return the JSON document in *raw*; integers beyond 64 bits come back as floats.

    Raises:
        ApiError: 400 `invalid_json`.
    """
    _check_count(raw)
    value = _decoded(raw)
    return value if _is_whole(value, _colons(raw)) else _with_duplicates(raw)


def parsing(raw: bytes) -> Generator[None, None, Any]:
    """Do the same in steps, each of which takes some milliseconds for a body of 1 MiB at the most."""
    _check_count(raw)
    yield
    value = _decoded(raw)
    yield
    colons = _colons(raw)
    yield
    if _is_whole(value, colons):
        return value
    yield
    return _with_duplicates(raw)


def _decoded(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        message = "the body is empty" if not raw else f"the body is not valid JSON: {str(error)[:120]}"
        raise bad("invalid_json", message) from None


def _is_whole(value: Any, colons: int) -> bool:
    """Whether *value*, of a text with so many *colons*, has every name of that text."""
    try:
        return orjson.dumps(value).count(b":") == colons
    except orjson.JSONEncodeError:
        raise _too_deep() from None


def _with_duplicates(raw: bytes) -> Any:
    try:
        return json.loads(raw, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        # What orjson takes and this does not: numbers of thousands of digits.
        raise _too_deep() from None


def _check_count(raw: bytes) -> None:
    """Refuse a document of more than `VALUES_MAX` values: members, elements, objects and arrays each begin or follow one mark."""
    if len(raw) <= VALUES_MAX or _marks(raw) <= VALUES_MAX:
        return
    # What stands in a string is no mark. Without its escapes, a text has a quote at both ends of each string and nowhere else; a
    # value has at most two strings.
    plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in raw else raw
    outside = b"".join(plain.split(b'"')[::2]) if plain.count(b'"') <= 4 * VALUES_MAX else plain
    if _marks(outside) > VALUES_MAX:
        raise bad(
            "invalid_json", f"the body holds more than {VALUES_MAX:,} values: objects, arrays and what is in them"
        )


def _colons(raw: bytes) -> int:
    """Return how many colons *raw* holds, escaped ones included."""
    count = raw.count(b":")
    if b"\\u003" in raw:
        plain = raw.replace(b"\\\\", b"")  # behind an escaped backslash, `u003a` is text
        count += plain.count(b"\\u003a") + plain.count(b"\\u003A")
    return count


def _too_deep() -> ApiError:
    return bad("invalid_json", "the body is nested too deeply, or holds a number that is too long")


def _marks(text: bytes) -> int:
    return len(text) - len(text.translate(None, b",[{"))


def _object(pairs: list[tuple[str, Any]]) -> Any:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            return Duplicated(name)
        seen.add(name)
    return value
