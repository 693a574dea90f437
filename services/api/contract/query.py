"""Query: the parameters of a list, which stand behind its path. Pure."""

from collections.abc import Collection, Mapping
from typing import Final

from services.api.contract.api_error import bad

LIMIT_DEFAULT: Final = 20
LIMIT_MAX: Final = 100
REPEATED: Final = frozenset({"label"})  # parameters that may stand several times: all of them count


def check_parameters(query: Mapping[str, str], known: Collection[str]) -> None:
    """
    Refuse a parameter of *query* that is not *known*, or stands twice: what would be ignored does not do what it says.

    Raises:
        ApiError: 400 `invalid_parameter`.
    """
    found: set[str] = set()
    for name, _ in query.items():  # a MultiDict gives a repeated name once as a key, twice as an item
        if name not in known:
            taken = ", ".join(known) or "none"
            raise bad("invalid_parameter", f"unknown query parameter {name[:40]!r}: this route takes {taken}")
        if name in found and name not in REPEATED:
            raise bad("invalid_parameter", f"the query parameter {name!r} stands twice")
        found.add(name)


def flag_of(parameters: Mapping[str, str], name: str) -> bool:
    """Return whether the parameter *name* is `true`; raises 400 `invalid_parameter` if it is neither `true` nor `false`."""
    text = parameters.get(name, "false")
    if text not in ("true", "false"):
        raise bad("invalid_parameter", f"{name} must be true or false")
    return text == "true"


def limit_of(parameters: Mapping[str, str]) -> int:
    """Return the page size asked for; raises 400 `invalid_limit`."""
    text = parameters.get("limit")
    if text is None:
        return LIMIT_DEFAULT
    if not (text.isascii() and text.isdecimal() and len(text) <= 3 and 1 <= int(text) <= LIMIT_MAX):
        raise bad("invalid_limit", f"limit must be a number from 1 to {LIMIT_MAX}")
    return int(text)
