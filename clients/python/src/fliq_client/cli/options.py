"""Options: what stands on the command line, read into the fields of a request. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from fliq_client.cli.exits import UsageError

_UNITS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(s|m|h|d|)")


def seconds(text: str) -> float:
    """Return a duration such as `90`, `1.5h` or `7d` in seconds; raises UsageError."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is not a duration: write 90s, 15m, 2h or 7d")
    return float(found[1]) * _UNITS[found[2]]


def instant(text: str) -> datetime:
    """Return an instant such as `2027-01-31T09:00:00Z`; raises UsageError, also for one without a time zone."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is not an instant: write 2027-01-31T09:00:00Z") from None
    if found.tzinfo is None:
        raise UsageError(f"{text!r} has no time zone: put Z (UTC) or an offset such as +01:00 behind it")
    return found


def shown_instant(at: datetime | None) -> str | None:
    """Return *at*, an instant in UTC, as the API writes it, such as `2027-01-31T09:00:00Z`."""
    return None if at is None else at.isoformat().replace("+00:00", "Z")


def headers(texts: Iterable[str]) -> dict[str, str]:
    """Return headers from texts like `X-Tenant: acme`; raises UsageError."""
    found: dict[str, str] = {}
    for text in texts:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise UsageError(f"{text!r} is not a header: write 'Name: value'")
        found[name.strip()] = value.strip()
    return found


def labels(texts: Iterable[str]) -> dict[str, str]:
    """Return labels from texts like `tenant:acme`; raises UsageError."""
    found: dict[str, str] = {}
    for text in texts:
        name, colon, value = text.partition(":")
        if not colon or not name or not value:
            raise UsageError(f"{text!r} is not a label: write name:value, such as tenant:acme")
        if found.setdefault(name, value) != value:
            raise UsageError(f"nothing has two values of the label {name!r}")
    return found


def shown_labels(labels: Mapping[str, str] | None) -> str | None:
    """Return *labels* as `--label` takes them; None if there are none."""
    return " ".join(f"{name}:{value}" for name, value in (labels or {}).items()) or None


def settings(texts: Iterable[str]) -> dict[str, Any]:
    """
    Return fields of the API from texts like `max_retries=3` or `retry={"max_retries": 3}`.

    A value that is JSON is read as such; every other one is a text. Raises UsageError.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"{text!r} does not set a field: write name=value, such as timeout_seconds=60")
        try:
            found[name] = msgspec.json.decode(value)
        except msgspec.DecodeError:
            found[name] = value
    return found


def body(text: str | None, json: str | None) -> dict[str, Any]:
    """Return the argument of a create for `--body` or `--json-body`; raises UsageError."""
    if text is not None and json is not None:
        raise UsageError("--body and --json-body are both given: a request has one body")
    if json is not None:
        try:
            return {"json": msgspec.json.decode(json)}
        except msgspec.DecodeError as error:
            raise UsageError(f"--json-body is not JSON: {error}") from None
    return {} if text is None else {"body": text}


def given(**fields: Any) -> dict[str, Any]:
    """Return the fields that were given on the command line."""
    return {name: value for name, value in fields.items() if value is not None and value != []}
