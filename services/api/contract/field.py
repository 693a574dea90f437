"""
Field: how one field of a request is described, and how a whole request is read by its description. Pure.

A `Field` is one row: its name, its default, how its value is read, its error code, its JSON Schema and its rule in words. A
`Fields` is the table of one request. Validation, the OpenAPI schemas, the meanings of the error codes and the tables of
docs/api.md are all made from these rows (services/api/contract/request_fields.py holds them).

A request is read row by row, in the table's order. If several rules are broken, the caller is told of the first one.

Cost: about 0.5 µs for a job with seven fields, besides what the readers of the fields take: which rows a request needs is
remembered by its names, so a field that is left out costs nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple, NoReturn

from libs.egress.url_rules import UrlRefused
from services.api.contract.api_error import bad, refuse, refuse_unknown
from services.api.contract.json_body import Duplicated

Schema = dict[str, Any]
CheckUrl = Callable[[str], str]

REQUIRED: Final[Any] = object()  # the default of a field that cannot be left out
_PLANS_MAX: Final = 256  # orders of names remembered per table: a caller sends the same few with every request
_LINK: Final = re.compile(r"\[([^\]]+)\]\([^)]*\)")


class Rules(NamedTuple):
    """
    What a field is judged by besides its own text.

    Args:
        check_url: `EgressPolicy.check_url`: returns the normalised URL or raises `UrlRefused`.
        now: the wall clock in ms since 1970.
        key_header: the `Idempotency-Key` header, where there is one.
    """

    check_url: CheckUrl
    now: int = 0
    key_header: str | None = None


# (the value as it was sent, the fields read before it, the rules) -> the value as it is kept; raises ApiError.
Reader = Callable[[Any, dict[str, Any], Rules], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """
    One row.

    Args:
        name: as it stands in the request.
        read: checks and normalises a value.
        schema: the JSON Schema, without the default and without null.
        rule: the rule in words, for docs/api.md and as the schema's description; links are left out there.
        code, means: the error code of a broken rule, and what the table of error codes says about it.
        default: the value of a field that is left out, or `REQUIRED`.
        takes_null: null means the same as leaving the field out. If it does not, the reader refuses null.
    """

    name: str
    read: Reader
    schema: Schema
    rule: str
    code: str
    means: str
    default: Any = REQUIRED
    takes_null: bool = False

    def refuse_missing(self, _value: Any, _found: dict[str, Any], _rules: Rules) -> NoReturn:
        """Refuse a request that leaves this field out."""
        refuse(self.code, f"{self.name} is required")

    def full_schema(self) -> Schema:
        """Return the schema with description, default and null."""
        schema = self.schema | {"description": _LINK.sub(r"\1", self.rule)}
        if self.default is not REQUIRED and self.default is not None:
            schema["default"] = self.default
        return {"anyOf": [schema, {"type": "null"}]} if self.takes_null else schema

    def page_row(self) -> str:
        """Return the row of docs/api.md."""
        default = self.default
        shown = "required" if default is REQUIRED else "none" if default is None else str(default)
        if isinstance(default, str | list):
            shown = f"`{default if isinstance(default, str) else json.dumps(default)}`"
        return f"| `{self.name}` | {shown} | {self.rule} |"


class Fields:
    """
    The table of one request: its rows in the order in which they are judged.

    Exactly one of the fields *one_of* must be given; a broken rule has the code of the first of them. *within* is the field
    that the object stands in, if it is not the request itself.
    """

    def __init__(self, *rows: Field, one_of: tuple[str, ...] = (), within: str = "") -> None:
        self.rows: Final = rows
        self._within = f"{within}." if within else ""
        self._one_of = one_of
        self._defaults = {row.name: row.default for row in rows if row.default is not REQUIRED}
        self._plan = lru_cache(_PLANS_MAX)(self._plan_for)

    def read(self, data: Any, rules: Rules) -> dict[str, Any]:
        """
        Return the value of every field; *data* is a parsed JSON document.

        Raises:
            ApiError: 400 with the code of the first rule that is broken.
        """
        if type(data) is not dict:
            if type(data) is Duplicated:
                refuse("duplicate_field", f"the field {data.name[:40]!r} stands twice in one object")
            refuse("invalid_json", "a JSON object is expected here")
        found = self._defaults.copy()
        get = data.get
        for name, read, takes_null in self._plan(tuple(data)):
            value = get(name)
            if value is not None or not takes_null:
                found[name] = read(value, found, rules)
        return found

    def _plan_for(self, names: tuple[str, ...]) -> list[tuple[str, Reader, bool]]:
        """Return, in the table's order, how the fields of a request with *names* are read; refuses unknown names."""
        for name in names:
            if all(name != row.name for row in self.rows):
                refuse_unknown(name, [row.name for row in self.rows], self._within)
        one_of = self._one_of
        if one_of and sum(name in names for name in one_of) != 1:
            code = next(row.code for row in self.rows if row.name == one_of[0])
            first, others = one_of[0], " or ".join(one_of[1:])
            if not any(name in names for name in one_of):
                refuse(code, f"{first} is required, or {others} instead")
            refuse(code, f"give {first} or {others}, not both")
        return [
            (row.name, row.read if row.name in names else row.refuse_missing, row.takes_null)
            for row in self.rows
            if row.name in names or row.default is REQUIRED
        ]

    def schema(self) -> Schema:
        """Return the JSON Schema of the request."""
        required = [row.name for row in self.rows if row.default is REQUIRED]
        schema: Schema = {
            "type": "object",
            "properties": {row.name: row.full_schema() for row in self.rows},
            "additionalProperties": False,
        }
        if required:
            schema["required"] = required
        if self._one_of:
            schema["oneOf"] = [{"required": [name]} for name in self._one_of]
        return schema

    def page_table(self, *, besides: tuple[Field, ...] = ()) -> str:
        """Return the table of docs/api.md, required fields first; the page shows the rows *besides* in another table."""
        rows = sorted((row for row in self.rows if row not in besides), key=lambda row: row.default is not REQUIRED)
        return "\n".join(["| field | default | rule |", "|---|---|---|", *(row.page_row() for row in rows)])


def integer(name: str, low: int, high: int, *, default: int, rule: str) -> Field:
    """Return a field for an integer from *low* to *high*; *rule* is what follows those words."""
    code = f"invalid_{name}"

    def read(value: Any, _found: dict[str, Any], _rules: Rules) -> int:
        if type(value) is float and value.is_integer():
            value = int(value)  # JSON has one kind of number: 1.0 is the integer 1
        if type(value) is not int or not low <= value <= high:
            refuse(code, f"{name} must be an integer from {low} to {high}")
        return value

    return Field(
        name=name,
        read=read,
        schema={"type": "integer", "minimum": low, "maximum": high},
        rule=f"integer {low}–{high}{rule}",
        code=code,
        means=f"{name} is not an integer from {low} to {high}.",
        default=default,
    )


def url(name: str, *, default: Any = REQUIRED, rule: str, characters_max: int) -> Field:
    """Return a field for a URL that the egress policy judges; null is taken where there is a default."""

    def read(value: Any, _found: dict[str, Any], rules: Rules) -> str:
        if type(value) is not str:
            refuse("invalid_url", f"{name} must be a string" if value is not None else f"{name} is required")
        try:
            return rules.check_url(value)
        except UrlRefused as error:
            raise bad(error.code, name + error.message.removeprefix("url")) from None

    return Field(
        name=name,
        read=read,
        schema={
            "type": "string",
            "format": "uri",
            "minLength": 1,
            "maxLength": characters_max,
            "examples": ["https://example.com/api/charge"],
        },
        rule=rule,
        code="invalid_url",
        means="url or webhook_url is not an absolute http(s) URL.",
        default=default,
        takes_null=default is None,
    )
