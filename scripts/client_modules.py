"""
Client modules: what the Python client (clients/python) takes from the API's tables: error classes, objects, request fields.

A code, a field of an answer and a field of a request reach the client by `make docs`. A new route needs a method in
`fliq_client/api.py`, written by hand.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from services.api.contract.error_codes import CODES
from services.api.contract.field import Schema
from services.api.contract.routes import ROUTES
from services.api.openapi.schemas import SCHEMAS

FOLDER: Final = "clients/python/src/fliq_client/contract"
LINE: Final = 120  # characters

REQUESTS: Final = {route.request for route in ROUTES if route.request} - {"Batch", "Nothing"}
# What `answers.py` reads by hand, because it becomes something else than an object with these fields.
_BY_HAND: Final = {"Error", "BatchResults", "Timeline", "Batch", "Nothing", "StreamEvent"}
# What an object inside of a list is called; another is named after the list.
_ITEMS: Final = {
    "jobs": "JobItem",
    "schedules": "ScheduleItem",
    "executions": "Execution",
    "tokens": "Token",
    "findings": "Finding",
    "runs": "ComingRun",
    "hours": "ActivityHour",
    "partitions": "Partition",
    "members": "Member",
    "owners": "Owner",
    "endpoints": "EndpointItem",
    "deliveries": "Delivery",
    "attempts": "DeliveryAttempt",
}
# What the client's methods take under a name of their own; all other fields are keyword arguments as the API has them.
_NAMED: Final = {"url", "scheduled_at", "idempotency_key", "key"}
_SCALARS: Final = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
_BASES: Final = {400: "BadRequest", 409: "Conflict"}
_NOTE: Final = "Written by `make docs` from the tables of the API. Pure."


def error_codes() -> str:
    """Return the module with one exception class for each error code."""
    names = {code: "".join(word.title() for word in code.split("_")) for code in CODES}
    bases = sorted({_BASES.get(status, "ApiError") for status, _ in CODES.values()} | {"ApiError"})
    lines = [
        f'"""Error codes: an exception class for each. {_NOTE}"""',
        "",
        "from __future__ import annotations",
        "",
        "from typing import Final",
        "",
        f"from fliq_client.errors import {', '.join(bases)}",
        "",
        *_all([*names.values()]),
    ]
    for code, (status, meaning) in CODES.items():
        lines += ["", "", f"class {names[code]}({_BASES.get(status, 'ApiError')}):"]
        lines += _docstring(f"{status} `{code}`. {meaning}")
        lines += ["", f"    status = {status}", f'    code = "{code}"']
    lines += ["", "", "CODES: Final[dict[str, type[ApiError]]] = {"]
    lines += [f'    "{code}": {name},' for code, name in names.items()]
    return "\n".join([*lines, "}", ""])


def models() -> str:
    """Return the module with one class for each object that the API answers with."""
    classes: dict[str, Schema] = {}
    for name, schema in SCHEMAS.items():
        if name not in REQUESTS | _BY_HAND:
            _collect(name, schema, classes)
    shown: list[str] = []
    for name, schema in classes.items():
        shown += ["", "", f"class {name}(Answered, frozen=True, kw_only=True):", f'    """The API\'s `{name}`."""', ""]
        shown += _struct_fields(name, schema)
    lines = [
        '"""',
        f"Models: the objects of the API. {_NOTE}",
        "",
        "Words such as a status are `str`, so that one that a newer Fliq adds can be read. Fields that are not known are ignored.",
        '"""',
        "",
        "from __future__ import annotations",
        "",
        "from datetime import datetime",
        *(["from typing import Any"] if any(re.search(r"\bAny\b", line) for line in shown) else []),
        "",
        "import msgspec",
        "",
        *_all(["Answered", *classes]),
        "",
        'SECRETS = frozenset({"token", "secret", "previous_secrets", "headers", "webhook_headers"})',
        "",
        "",
        "class Answered(msgspec.Struct, frozen=True, kw_only=True):",
        '    """',
        "    What every object has besides its own fields.",
        "",
        "    Args:",
        "        is_stale: the log could not be asked, so the object may lack what was accepted before.",
        "        is_replayed: it was made by an earlier request with the same key.",
        "        existing: the job had the request's `waiting_key` or `singleton_key` already, and was `kept`, `replaced` or"
        " `extended`.",
        "        change: what a `put` did, or would do: `created`, `updated` or `unchanged`.",
        '    """',
        "",
        "    is_stale: bool = False",
        "    is_replayed: bool = False",
        "    existing: str | None = None",
        "    change: str | None = None",
        "",
        "    def __repr__(self) -> str:",
        '        """Show the fields, but no secret: objects end up in logs."""',
        "        shown = [",
        "            f\"{name}={'...' if name in SECRETS and value else repr(value)}\"",
        "            for name, value in msgspec.structs.asdict(self).items()",
        '            if value or name not in ("is_stale", "is_replayed", "existing", "change")',
        "        ]",
        "        return f\"{type(self).__name__}({', '.join(shown)})\"",
    ]
    return "\n".join([*lines, *shown, ""])


def request_fields() -> str:
    """Return the module with the fields that requests may have."""
    names, classes = [], []
    for name in sorted(REQUESTS):
        schema, fields = SCHEMAS[name], name.removesuffix("Request") + "Fields"
        required = set(schema.get("required", ()))
        apart = _NAMED & set(schema["properties"])
        names.append(fields)
        classes += ["", "", f"class {fields}(TypedDict, total=False):", f'    """What {name} may have."""', ""]
        free = {key: each for key, each in schema["properties"].items() if key not in apart}
        classes += _dict_fields(free, required)
        if apart:
            names.append(name)
            own = {key: each for key, each in schema["properties"].items() if key in apart}
            classes += ["", "", f"class {name}({fields}, total=False):", f'    """The whole of {name}."""', ""]
            classes += _dict_fields(own, required)
    text = "\n".join(classes)
    typing = sorted(word for word in ("Any", "Literal", "Required", "TypedDict") if re.search(rf"\b{word}\b", text))
    lines = [
        f'"""Request fields: what a request may ask for, by the API\'s names. {_NOTE}"""',
        "",
        "from collections.abc import Mapping, Sequence",
        "from datetime import datetime",
        f"from typing import {', '.join(typing)}",
        "",
        *_all(names),
    ]
    return "\n".join([*lines, text, ""])


def _all(names: list[str]) -> list[str]:
    return ["__all__ = [", *[f'    "{name}",' for name in sorted(names)], "]"]


def _docstring(text: str) -> list[str]:
    if len(text) + 10 <= LINE:
        return [f'    """{text}"""']
    return ['    """', *textwrap.wrap(text, LINE, initial_indent="    ", subsequent_indent="    "), '    """']


def _collect(name: str, schema: Schema, classes: dict[str, Schema]) -> None:
    """Add to *classes* those that stand inside of *schema*, then itself."""
    for key, field in schema.get("properties", {}).items():
        plain = _plain(field)
        if "properties" in plain:
            _collect(_inner_name(name, key), plain, classes)
        elif "properties" in plain.get("items", {}):
            _collect(_item_name(name, key), plain["items"], classes)
    classes[name] = schema


def _item_name(parent: str, key: str) -> str:
    return _ITEMS.get(key, f"{_inner_name(parent, key)}Item")


def _inner_name(parent: str, key: str) -> str:
    return parent + key.title().replace("_", "")


def _struct_fields(name: str, schema: Schema) -> Iterator[str]:
    """Yield a line for each field: what may be missing is null then."""
    for key, field in schema["properties"].items():
        kind = _type(field, parent=name, key=key)
        if key not in schema.get("required", ()) and "None" not in kind:
            kind += " | None"
        plain = _plain(field)
        words = plain.get("enum") or plain.get("items", {}).get("enum")
        line, known = f"    {key}: {kind}{' = None' if 'None' in kind else ''}", ", ".join(map(str, words or ()))
        if len(f"{line}  # {known}") > LINE:
            yield from textwrap.wrap(known, LINE, initial_indent="    # ", subsequent_indent="    # ")
            known = ""
        yield f"{line}  # {known}" if known else line


def _dict_fields(properties: Mapping[str, Schema], required: Collection[str] = ()) -> Iterator[str]:
    for key, field in properties.items():
        said = _plain(field).get("description", "")
        yield from textwrap.wrap(said, LINE, initial_indent="    # ", subsequent_indent="    # ")
        kind = _type(field, parent="", key=key, is_request=True)
        line = f"    {key}: {f'Required[{kind}]' if key in required else kind}"
        before, brackets, words = line.partition("Sequence[Literal[")
        if len(line) <= LINE or not brackets:
            yield line
        else:  # as ruff writes it
            words, _, or_null = words.partition("]]")
            yield from (f"{before}Sequence[", "        Literal[")
            yield from (f"            {word}," for word in words.split(", "))
            yield from ("        ]", f"    ]{or_null}")


def _plain(field: Schema) -> Schema:
    """Return what *field* is when it is not null."""
    plain: Schema = next((each for each in field.get("anyOf", ()) if each != {"type": "null"}), field)
    return plain


def _type(field: Schema, *, parent: str, key: str, is_request: bool = False) -> str:
    """Return the Python type of *field*: that of an object inside of a request is loose, and `Any` what is not described."""

    def inner(schema: Schema) -> str:
        return _type(schema, parent=parent, key=key, is_request=is_request)

    if choice := field.get("anyOf") or field.get("oneOf"):
        return " | ".join(dict.fromkeys(inner(each) for each in choice))
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    match field.get("type"):
        case "string" if field.get("format") == "date-time":
            return "datetime"
        case "string" if is_request and "enum" in field:
            return "Literal[" + ", ".join(f'"{word}"' for word in field["enum"]) + "]"
        case "array":
            items = field.get("items", {})
            item = _item_name(parent, key) if "properties" in items and not is_request else inner(items)
            return f"Sequence[{item}]" if is_request else f"list[{item}]"
        case "object" if "properties" in field and not is_request:
            return _inner_name(parent, key)
        case "object":
            values = field.get("additionalProperties")
            value = inner(values) if isinstance(values, dict) else "Any"
            return f"Mapping[str, {value}]" if is_request else f"dict[str, {value}]"
        case kind:
            return _SCALARS.get(str(kind), "Any")
