"""
API page: the tables of docs/api.md that come from the code: routes, request fields, error codes.

The rest of the page is written by hand. Each table stands between two markers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from services.api.contract.codes import CODES
from services.api.contract.request_fields import JOB, SCHEDULE, TOKEN
from services.api.contract.routes import ROUTES

PAGE: Final = Path(__file__).resolve().parents[1] / "docs/api.md"
_BLOCK: Final = re.compile(r"(<!-- table: ([a-z ]+), written by `make docs` -->\n).*?(\n<!-- end -->)", re.DOTALL)


def page() -> str:
    """Return the page with its tables written anew; raises KeyError if a marker names no table."""
    return _BLOCK.sub(lambda block: block[1] + _TABLES[block[2]]() + block[3], PAGE.read_text(encoding="utf-8"))


def _routes() -> str:
    rows = ["| route | scope | does |", "|---|---|---|"]
    for route in ROUTES:
        does = f"[{route.summary}](#{route.section.lower().replace(' ', '-')})" if route.section else route.summary
        rows.append(f"| `{route.method} {route.path}` | {route.scope or 'none'} | {does} |")
    return "\n".join(rows)


def _codes() -> str:
    rows = [f"| `{code}` | {status} | {meaning} |" for code, (status, meaning) in CODES.items()]
    return "\n".join(["| code | status | means |", "|---|---|---|", *rows])


_TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "routes": _routes,
    "fields of a job": JOB.page_table,
    "fields of a schedule": partial(SCHEDULE.page_table, besides=JOB.rows),
    "fields of a token": TOKEN.page_table,
    "error codes": _codes,
}
