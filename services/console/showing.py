"""
Showing: how instants, lengths of time, URLs and ids read for a person. Pure.

All text that these return is plain text, escaped where it is put into a page.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_ID_HEAD: Final = 4  # characters of an id behind its prefix
_ID_TAIL: Final = 6


def instant_ms(text: str) -> int:
    """Return an instant of the API in ms since 1970."""
    moment = datetime.fromisoformat(text)
    return round(moment.timestamp() * 1000)


def iso(ms: int) -> str:
    """Return *ms* since 1970 as the API writes instants."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def utc(text: str) -> str:
    """Return an instant of the API to the second, in UTC, as a person reads it."""
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def duration(ms: float) -> str:
    """Return a length of time in its two largest units: `143 ms`, `2.5 s`, `4 min`, `3 h 20 min`."""
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < 10_000:
        return f"{ms / 1000:.1f} s".replace(".0 s", " s")
    left = round(ms / 1000)
    said = []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count:
            said.append(f"{count} {unit}")
        elif said:
            break
    return " ".join(said[:2])


def relative(text: str, now: int) -> str:
    """Return how far an instant of the API is from *now* (ms since 1970): `in 4 min`, `3 h ago`."""
    ms = instant_ms(text) - now
    if abs(ms) < 1000:
        return "now"
    said = duration(abs(ms) // 1000 * 1000)
    return f"in {said}" if ms > 0 else f"{said} ago"


def host(url: str) -> str:
    """Return the host of *url*, with its port if it has one."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2] or url
    except ValueError:
        return url


def short(item_id: str) -> str:
    """Return an id short enough for a table: its kind, its beginning and its end."""
    kind, mark, rest = item_id.partition("_")
    if not mark or len(rest) <= _ID_HEAD + _ID_TAIL + 1:
        return item_id
    return f"{kind}_{rest[:_ID_HEAD]}…{rest[-_ID_TAIL:]}"


def timeline_of(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return records of the log with their own fields, as `fields`, apart from those that all have."""
    shared = ("type", "at", "position", "partition")
    return [
        {
            **{name: event.get(name) for name in shared},
            "fields": {name: value for name, value in event.items() if name not in shared and value is not None},
        }
        for event in events
    ]


def call_of(job: Mapping[str, Any]) -> str:
    """Return the call that a job makes, as a command for a shell."""
    words = ["curl -i", f"-X {shlex.quote(str(job['http_method']))}", shlex.quote(str(job["url"]))]
    words += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in (job.get("headers") or {}).items()]
    body = job.get("body")
    if body is not None:
        words.append(f"--data-binary {shlex.quote(body)}" if len(body) <= 4096 else "--data-binary @body")
    return " ".join(words)
