"""Trace: which trace a request belongs to. What is asked for in it, calls and webhooks included, belongs to the same."""

from __future__ import annotations

from typing import Final

from aiohttp.web import BaseRequest

from libs.runtime.telemetry.trace_context import accept, trace_id
from libs.runtime.telemetry.tracing import Span

_SPAN: Final = "fliq.span"
_NONE: Final[tuple[str, ...]] = ()


def note_span(request: BaseRequest, span: Span) -> None:
    """Have what *request* asks for belong to *span*, which somebody keeps."""
    request[_SPAN] = span.traceparent


def traceparent_of(request: BaseRequest) -> str | None:
    """Return the trace context for what *request* asks for: our own span's, else the caller's, which may be malformed."""
    noted: str | None = request.get(_SPAN)
    if noted is not None:
        return noted
    values = request.headers.getall("traceparent", _NONE)
    return values[0] if len(values) == 1 else None


def trace_of(request: BaseRequest) -> str | None:
    """Return the trace id of *request* for a log line."""
    found = traceparent_of(request)
    return None if found is None else trace_id(accept((found,)))
