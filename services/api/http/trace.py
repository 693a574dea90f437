"""Trace: which trace a request belongs to. The calls and webhooks that follow from it belong to the same trace."""

from __future__ import annotations

from typing import Final

from aiohttp.web import BaseRequest

from libs.runtime.telemetry.trace_context import accept, trace_id
from libs.runtime.telemetry.tracing import Span
from services.api.http.known_head import of_head

_SPAN: Final = "fliq.span"
_NONE: Final[tuple[str, ...]] = ()


def note_span(request: BaseRequest, span: Span) -> None:
    """Let the work that *request* asks for belong to *span*."""
    request[_SPAN] = span.traceparent


def traceparent_of(request: BaseRequest) -> str | None:
    """Return the trace context for what *request* asks for: our own span's, else the caller's if it is well-formed."""
    noted: str | None = request.get(_SPAN) if len(request) else None  # a look-up that finds nothing costs an exception
    return _said(request) if noted is None else noted


@of_head
def _said(request: BaseRequest) -> str | None:
    """Return the caller's trace context."""
    return accept(request.headers.getall("traceparent", _NONE))


def trace_of(request: BaseRequest) -> str | None:
    """Return the trace id of *request* for a log line."""
    return trace_id(traceparent_of(request))
