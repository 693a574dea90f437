"""The OpenAPI document and the routes say the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import services.api
from services.api.contract.errors import CODES
from services.api.contract.openapi import OPERATIONS, document
from services.api.contract.openapi_schemas import SCHEMAS
from services.api.http.app import ROUTES

DOCUMENT = document("1.2.3")


def test_routes() -> None:
    """Every route is described and every description is a route; a token is asked for where the route says."""
    described = {(operation.method.upper(), operation.path): operation.name for operation in OPERATIONS}

    assert set(described) == {(route.method, route.path) for route in ROUTES}
    assert len(set(described.values())) == len(OPERATIONS)
    for route in ROUTES:
        operation = DOCUMENT["paths"][route.path][route.method.lower()]
        assert (operation.get("security") == []) == (route.scope == "")


def test_scopes() -> None:
    """What reads needs `read`, what changes needs `write`."""
    for route in ROUTES:
        assert route.scope in ({"GET": "read"}.get(route.method, "write"), "")


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
        if path.name not in ("errors.py", "openapi_schemas.py"):
            text = path.read_text()
            raised |= set(re.findall(r'(?:\brefuse|\bbad)\(\s*"([a-z_]+)"', text))
            for status, code in re.findall(r'(?:ApiError|BodyRefused)\(\s*(\d+),\s*"([a-z_]+)"', text):
                assert CODES[code][0] == int(status), code
                raised.add(code)

    # These come from functions in errors.py, and from the egress policy.
    raised |= {"not_found", "unavailable", "outcome_unknown", "url_not_allowed", "invalid_url"}
    assert raised == set(CODES)
