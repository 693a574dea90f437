"""List filters: the query parameters of lists that say which jobs or schedules are wanted. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from services.api.contract.api_error import bad
from services.api.contract.fields.key_fields import KEY_MAX
from services.api.contract.fields.label_fields import LABELS_MAX, label_of
from services.api.contract.instants import parse_instant, why_no_instant

_PLACE: Final = ("limit", "cursor")  # which page, not of what


def labels_of(query: Any) -> tuple[tuple[str, str], ...]:
    """
    Return the labels that *query*, a MultiDict, asks for, each once.

    Raises:
        ApiError: 400 `invalid_labels`.
    """
    texts = query.getall("label", ())
    if len(texts) > LABELS_MAX:
        raise bad("invalid_labels", f"at most {LABELS_MAX} labels may be asked for")
    return tuple(dict.fromkeys(map(label_of, texts)))


def instant_of(query: Mapping[str, str], name: str) -> int | None:
    """
    Return the instant in the parameter *name*, in ms since 1970.

    Raises:
        ApiError: 400 `invalid_parameter`.
    """
    text = query.get(name)
    if text is None:
        return None
    at = parse_instant(text)
    if at is None:
        raise bad("invalid_parameter", f"{name} {why_no_instant(text)}")
    return at


def searched_text(query: Mapping[str, str]) -> str | None:
    """
    Return the parameter `q`.

    Raises:
        ApiError: 400 `invalid_parameter`.
    """
    text = query.get("q")
    if text is not None and (not 1 <= len(text) <= KEY_MAX or not text.isprintable()):
        raise bad("invalid_parameter", f"q must be an id or a key: 1 to {KEY_MAX} printable characters")
    return text


def listing_of(query: Any, first: str, *named: str) -> str:
    """
    Return what a cursor is bound to: the list *first*, and all parameters of *query* that say what is wanted.

    Args:
        named: parameters that *first* says already.
    """
    others = sorted((name, value) for name, value in query.items() if name not in (*_PLACE, *named))
    return " ".join([first, *(f"{name}={value!r}" for name, value in others)])
