"""What `make docs` writes for the client from a schema of the API. No I/O."""

from __future__ import annotations

from typing import Any

import pytest

from scripts import client_modules

TEXT = {"type": "string"}
NULL = {"type": "null"}


@pytest.mark.parametrize(
    ("schema", "answered", "asked"),
    [
        (TEXT, "str", "str"),
        (TEXT | {"format": "date-time"}, "datetime", "datetime"),
        (TEXT | {"enum": ["a", "b"]}, "str", 'Literal["a", "b"]'),
        ({"type": "integer"}, "int", "int"),
        ({"type": "number"}, "float", "float"),
        ({"type": "boolean"}, "bool", "bool"),
        ({"anyOf": [TEXT, NULL]}, "str | None", "str | None"),
        ({"oneOf": [TEXT, {"type": "integer"}, TEXT]}, "str | int", "str | int"),
        ({"$ref": "#/components/schemas/Job"}, "Job", "Job"),
        ({"type": "array", "items": TEXT}, "list[str]", "Sequence[str]"),
        (
            {"type": "array", "items": {"type": "object", "properties": {}}},
            "list[FlowRatesItem]",
            "Sequence[Mapping[str, Any]]",
        ),
        ({"type": "object", "additionalProperties": TEXT}, "dict[str, str]", "Mapping[str, str]"),
        ({"type": "object"}, "dict[str, Any]", "Mapping[str, Any]"),
        ({"type": "object", "properties": {"a": TEXT}}, "FlowRates", "Mapping[str, Any]"),
        ({}, "Any", "Any"),
        ({"const": 1}, "Any", "Any"),
    ],
)
def test_a_schema_has_a_type(schema: dict[str, Any], answered: str, asked: str) -> None:
    """In an answer and in a request; what no rule knows is `Any`, so that a new shape stops nobody."""
    assert client_modules._type(schema, parent="Flow", key="rates") == answered
    assert client_modules._type(schema, parent="", key="rates", is_request=True) == asked


def test_what_may_be_missing_may_be_none() -> None:
    """An object of an older Fliq can be read."""
    schema = {"properties": {"a": TEXT, "b": TEXT, "c": {"anyOf": [TEXT, NULL]}}, "required": ["a", "c"]}
    assert list(client_modules._struct_fields("Flow", schema)) == [
        "    a: str",
        "    b: str | None = None",
        "    c: str | None = None",
    ]


def test_an_object_inside_stands_before_the_one_that_has_it() -> None:
    """Both become classes."""
    classes: dict[str, Any] = {}
    inner = {"type": "object", "properties": {"rate": {"type": "object", "properties": {"limit": TEXT}}}}
    client_modules._collect("FlowList", {"properties": {"flows": {"type": "array", "items": inner}}}, classes)
    assert list(classes) == ["FlowListFlowsItemRate", "FlowListFlowsItem", "FlowList"]
