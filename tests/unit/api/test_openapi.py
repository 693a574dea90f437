"""The OpenAPI document and the routes say the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import services.api
from libs.domain.calendar import rule_fields
from services.api.contract.endpoints.fields import ENDPOINT, ROTATION
from services.api.contract.error_codes import CODES
from services.api.contract.request_fields import JOB
from services.api.contract.routes import ROUTES
from services.api.contract.token_text import SCOPES
from services.api.openapi.document import document
from services.api.openapi.schemas import SCHEMAS

DOCUMENT = document("1.2.3")
READ_BY_POST = {"previewRule"}  # a rule has too many fields for a query


def test_routes() -> None:
    """Every route is described under a name of its own; a token is asked for where the route says."""
    assert len({route.name for route in ROUTES}) == len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)
    for route in ROUTES:
        operation = DOCUMENT["paths"][route.path][route.method.lower()]
        assert (operation.get("security") == []) == (route.scope == "")


def test_scopes() -> None:
    """What reads needs a part of `read`, what changes a part of `write`, unless it is an operator's; the document names it."""
    for route in ROUTES:
        reads = route.method == "GET" or route.name in READ_BY_POST
        assert route.scope in ("", "operator") or route.scope.partition(":")[0] == ("read" if reads else "write")
        assert not route.scope or route.scope in SCOPES
        security = document("1")["paths"][route.path][route.method.lower()]["security"]
        assert security == ([{"token": [route.scope]}] if route.scope else [])


def test_references() -> None:
    """Every reference leads somewhere, and every schema is used."""
    used: set[str] = set()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if "$ref" in value:
                used.add(value["$ref"].removeprefix("#/components/schemas/"))
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(DOCUMENT)

    assert used | {"JobRequest"} == set(SCHEMAS)
    assert DOCUMENT["openapi"] == "3.1.0"
    assert DOCUMENT["info"]["version"] == "1.2.3"


def test_every_code_is_declared_and_used() -> None:
    """A code that the API answers with stands in CODES, and the other way round, with the status it is raised with."""
    raised: set[str] = set()
    for path in Path(services.api.__file__).parent.rglob("*.py"):
        if path.name not in ("error_codes.py", "api_error.py"):
            text = path.read_text()
            raised |= set(re.findall(r'(?:\brefuse|\bbad)\(\s*"([a-z_]+)"', text))
            for status, code in re.findall(r'(?:ApiError|LastError)\(\s*(\d+),\s*"([a-z_]+)"', text):
                assert CODES[code][0] == int(status), code
                raised.add(code)

    rules = Path(rule_fields.__file__).read_text()
    raised |= {code for code in re.findall(r'"(in[a-z_]+)"', rules) if code in CODES}
    # The readers of integers, words and flags raise their rows' own codes; the others come from functions in api_error.py and the
    # egress policy.
    rows = (*JOB.rows, *ENDPOINT.rows, *ROTATION.rows)
    raised |= {row.code for row in rows if "enum" in row.schema}
    raised |= {row.code for row in rows if row.schema["type"] in ("boolean", "integer", "number", "object", "array")}
    raised |= {"not_found", "unavailable", "outcome_unknown", "unknown_field", "url_not_allowed", "invalid_url"}
    assert raised == set(CODES)
