"""
Tracing: what services need of a tracer: OpenTelemetry if it is configured, else one that keeps no spans.

Configured means that OTEL_EXPORTER_OTLP_ENDPOINT (or ..._TRACES_ENDPOINT) is set and the extra `fliq[otel]` is installed. The other
OTEL_* variables mean what OpenTelemetry says. If it is not configured, no package of OpenTelemetry is imported: Fliq passes on a
request's `traceparent`, with a span id of its own for every call, and does nothing else.

A span says what was done and how it ended: ids of ours, method, host, status. Never a path, a header, a body or an account.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, Protocol

import structlog

from libs.runtime.telemetry.trace_context import child, trace_id

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
Kind = Literal["server", "client"]


_log = structlog.get_logger("tracing")


class Span(Protocol):
    """One piece of work under way."""

    @property
    def traceparent(self) -> str | None:
        """What is sent along, so that what others do for it belongs to it; None when nobody traces."""

    @property
    def trace_id(self) -> str | None:
        """For log lines."""

    def end(self, *, name: str | None = None, error: str | None = None, **attributes: str | int | None) -> None:
        """Say how it ended; *error* is a short word, None when all went well. Once."""


class Tracing(Protocol):
    """Where spans come from."""

    @property
    def is_on(self) -> bool:
        """Whether anybody keeps them."""

    def start(
        self, name: str, kind: Kind, *, parent: str | None, seed: str, attributes: Mapping[str, str | int]
    ) -> Span:
        """
        Begin a span.

        Args:
            parent: the traceparent of what asked for it, as `trace_context.accept` returned it.
            seed: what the span's id is made of when nobody keeps it.
        """

    def stop(self) -> None:
        """Send what is left; bounded, and blocking: called from a thread."""


class _Passed:
    """A span that nobody keeps."""

    __slots__ = ("traceparent",)

    def __init__(self, traceparent: str | None) -> None:
        self.traceparent = traceparent

    @property
    def trace_id(self) -> str | None:
        return trace_id(self.traceparent)

    def end(self, *, name: str | None = None, error: str | None = None, **attributes: str | int | None) -> None:
        pass


_NOTHING: Final = _Passed(None)


class NoTracing:
    """Hands trace contexts on, and keeps nothing."""

    is_on = False

    def start(
        self, name: str, kind: Kind, *, parent: str | None, seed: str, attributes: Mapping[str, str | int]
    ) -> Span:
        return _NOTHING if parent is None else _Passed(child(parent, seed))

    def stop(self) -> None:
        pass


NO_TRACING: Final = NoTracing()


def open_tracing(environ: Mapping[str, str], *, service: str, version: str) -> Tracing:
    """Return what *environ* asks for; *service* is the default of OTEL_SERVICE_NAME."""
    if not any(environ.get(name, "").strip() for name in ENDPOINTS):
        return NO_TRACING
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return NO_TRACING
    try:
        from libs.runtime.telemetry.open_telemetry import OpenTelemetry
    except ImportError as error:
        _log.warning("open_telemetry_not_installed", reason=f"{error}: pip install 'fliq[otel]'")
        return NO_TRACING
    return OpenTelemetry(service=environ.get("OTEL_SERVICE_NAME", "").strip() or service, version=version)
