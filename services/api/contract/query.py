"""Query: the parameters of a list, which stand behind its path. Pure."""

from collections.abc import Mapping
from typing import Final

from services.api.contract.errors import bad

LIMIT_DEFAULT: Final = 20
LIMIT_MAX: Final = 100


def list_parameters(query: Mapping[str, str], *names: str) -> dict[str, str]:
    """
    Return the query parameters of a list; *query* may hold a name twice; the list knows *names* besides limit and cursor.

    Raises:
        ApiError: 400 for one that is unknown or stands twice.
    """
    known = {"limit", "cursor", *names}
    found: dict[str, str] = {}
    for name, value in query.items():
        if name not in known:
            raise bad("invalid_parameter", f"unknown query parameter {name[:40]!r}")
        if name in found:
            raise bad("invalid_parameter", f"the query parameter {name!r} stands twice")
        found[name] = value
    return found


def limit_of(parameters: dict[str, str]) -> int:
    """Return the page size asked for; raises 400 `invalid_limit`."""
    text = parameters.get("limit")
    if text is None:
        return LIMIT_DEFAULT
    if not (text.isascii() and text.isdecimal() and len(text) <= 3 and 1 <= int(text) <= LIMIT_MAX):
        raise bad("invalid_limit", f"limit must be a number from 1 to {LIMIT_MAX}")
    return int(text)
