"""
Trace context: the W3C header `traceparent`, read and handed on. Pure.

    00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
    version, trace id, id of the span that asks, flags

Source: W3C Trace Context, sections 3.2 (format) and 4 (processing): what is malformed is ignored, a later version is read as far
as this one knows it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

_FORM: Final = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<span>(?!0{16})[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
    r"(?P<more>-.*)?"
)
_SAMPLED: Final = 1
_LENGTH_MAX: Final = 512  # of a later version; what is longer is no header that anybody meant


def accept(values: Sequence[str]) -> str | None:
    """Return the traceparent that a request's headers of that name say, as version 00; None when there is none to go by."""
    if len(values) != 1 or len(values[0]) > _LENGTH_MAX:
        return None
    found = _FORM.fullmatch(values[0].strip(" \t"))
    if found is None:
        return None
    if found["version"] == "00":
        return found[0] if found["more"] is None else None
    # Of a later version only the flag that this one knows can be passed on.
    return f"00-{found['trace']}-{found['span']}-{int(found['flags'], 16) & _SAMPLED:02x}"


def trace_id(traceparent: str | None) -> str | None:
    """Return the trace id of a traceparent that `accept` returned."""
    return None if traceparent is None else traceparent[3:35]


def child(traceparent: str | None, seed: str) -> str | None:
    """Return *traceparent* with a span id made of *seed*: whoever makes the same call again sends the same."""
    if traceparent is None or _FORM.fullmatch(traceparent) is None:
        return None
    span = blake2b(seed.encode(), digest_size=8).hexdigest()
    return f"{traceparent[:36]}{span if span.strip('0') else '1'.rjust(16, '0')}{traceparent[52:55]}"
