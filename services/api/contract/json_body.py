"""
JSON body: bytes to Python values, strictly. Pure.

orjson refuses a byte order mark, trailing text, NaN, infinities, lone surrogates and nesting beyond 1,024; it keeps the
last of two equal names silently, so duplicates are looked for here. An object that holds one is replaced by
`Duplicated`, which no request accepts.

How duplicates are found cheaply: valid JSON has one `:` behind the closing quote of every name. Let c be the number of
`":` not preceded by a backslash. If no name is followed by white space, and no string ends in a backslash, every name
is counted in c; so if c equals the number of names that were kept, none was dropped. Otherwise (white space, a value
that starts with a colon, or a real duplicate) the document is parsed once more by the standard library, which shows
every pair.
"""

import json
import re
from typing import Any, Final

import orjson

from services.api.contract.errors import bad

_SPACED_NAME: Final = re.compile(rb'"[ \t\r\n]+:')


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
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        message = "the body is empty" if not raw else f"the body is not valid JSON: {str(error)[:120]}"
        raise bad("invalid_json", message) from None
    count = raw.count(b'":')
    ends_plainly = True
    if b"\\" in raw:  # most documents hold no backslash, and the searches for longer patterns cost a hundred times more
        count -= raw.count(b'\\":')
        ends_plainly = b'\\\\"' not in raw
    if ends_plainly and count == _name_count(value) and _SPACED_NAME.search(raw) is None:
        return value
    try:
        return json.loads(raw, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        # What orjson takes and this does not: numbers of thousands of digits, nesting of many hundreds of levels.
        raise bad("invalid_json", "the body is nested too deeply, or holds a number that is too long") from None


def _name_count(value: Any) -> int:
    count = 0
    pending = [value]
    while pending:
        item = pending.pop()
        if type(item) is dict:
            count += len(item)
            pending.extend([v for v in item.values() if type(v) is dict or type(v) is list])
        elif type(item) is list:
            pending.extend([v for v in item if type(v) is dict or type(v) is list])
    return count


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
