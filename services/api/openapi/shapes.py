"""Shapes: how schemas are put together, and those of what is kept of answers."""

from __future__ import annotations

from typing import Final

from services.api.contract.field import Schema

TEXT: Final[Schema] = {"type": "string"}
INTEGER: Final[Schema] = {"type": "integer"}


def ref(name: str) -> Schema:
    """Return a reference to the schema *name*."""
    return {"$ref": f"#/components/schemas/{name}"}


def nullable(schema: Schema) -> Schema:
    """Return *schema*, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def closed(properties: dict[str, Schema], *, optional: tuple[str, ...] = ()) -> Schema:
    """Return an object with exactly *properties*, of which those in *optional* may be missing."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "additionalProperties": False, "required": required}


# Of jobs and schedules that were given them.
CAPTURE_OUT: Final[dict[str, Schema]] = {"capture": TEXT, "redact": {"type": "array", "items": TEXT}}
RESPONSE: Final[Schema] = closed(
    {
        "status_code": nullable(INTEGER),
        "headers": {"type": "object", "additionalProperties": TEXT},
        "length": INTEGER,
        "sha256": TEXT,
        "head": nullable(TEXT),
        "tail": nullable(TEXT),
        "truncated": {"type": "boolean"},
        "redacted": INTEGER,
    }
)
