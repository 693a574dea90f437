"""
Call: what is sent for one method of the client, and how its answer is read, as data. Pure.

`api.py` describes calls, `exchange.py` says when they are sent again, and the two edges (`edges.py`) send them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """
    One HTTP request, without the parts that are the same in all of them.

    Args:
        method: upper case.
        path: begins with `/v1/`; ids in it are percent-encoded.
        query: names and values, not encoded.
        headers: names and values.
        content: the JSON document; None is no body.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, bytes], ...] = ()
    content: bytes | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One HTTP answer; *headers* by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """No answer; *was_sent* says whether the request may have arrived."""

    reason: str
    was_sent: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Call(Generic[T]):
    """
    One call.

    Args:
        request: what is sent, each time the same.
        read: makes the result of an answer with status 200 to 299; raises msgspec.ValidationError or UnexpectedAnswer.
        is_repeatable: sending it twice does what sending it once does.
        gone_is_done: it removes something, so a 404 for a repeat means that the request before did it.
    """

    request: Request
    read: Callable[[Answer], T]
    is_repeatable: bool = True
    gone_is_done: bool = False


def path(*parts: str) -> str:
    """Return the path of *parts* below `/v1`; raises ValueError if one is empty or climbs."""
    for part in parts:
        if part in ("", ".", ".."):
            raise ValueError(f"{part!r} is no id")
    return "/".join(["/v1", *[quote(part, safe="") for part in parts]])


def query(**parameters: object) -> tuple[tuple[str, str], ...]:
    """Return the parameters that are not None; raises ValueError if an instant has no time zone."""
    return tuple((name, _text(name, value)) for name, value in parameters.items() if value is not None)


def _text(name: str, value: object) -> str:
    if not isinstance(value, datetime):
        return str(value)
    if value.tzinfo is None:
        raise ValueError(f"{name} has no time zone: pass an aware datetime, such as datetime.now(UTC)")
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def document(value: Mapping[str, Any]) -> bytes:
    """
    Return *value* as JSON.

    Raises:
        ValueError: an instant has no time zone: which one was meant is not for the client to guess.
        TypeError: something in it has no form in JSON.
    """
    for name, each in value.items():
        if isinstance(each, datetime) and each.tzinfo is None:
            raise ValueError(f"{name} has no time zone: pass an aware datetime, such as datetime.now(UTC)")
    return msgspec.json.encode(value)


def key_header(key: str) -> tuple[tuple[str, bytes], ...]:
    """Return the Idempotency-Key header; raises ValueError if a header cannot carry *key*."""
    if not key.isprintable() or key != key.strip():
        raise ValueError(f"{key!r} is no key: printable characters, without spaces at its ends")
    return (("Idempotency-Key", key.encode()),)
