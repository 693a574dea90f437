"""
OpenTelemetry's side of tracing.py; imported only when it is configured. Spans leave through a thread of the SDK, in batches, over
OTLP/HTTP; its queue is bounded, and what does not fit is dropped.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from libs.runtime.telemetry.tracing import Kind, Span

_SAID_EVERY_S: Final = 60.0
_KINDS: Final = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT}


class Seldom(logging.Filter):
    """Lets one line a minute pass: an exporter whose collector is away complains several times for every batch."""

    def __init__(self) -> None:
        super().__init__()
        self._next_s = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether *record* is written."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return False
        self._next_s = now_s + _SAID_EVERY_S
        return True


class OpenTelemetry:
    """Meets `Tracing`."""

    is_on = True

    def __init__(self, *, service: str, version: str) -> None:
        """Send spans to where OTEL_EXPORTER_OTLP_ENDPOINT says, sampled as OTEL_TRACES_SAMPLER says."""
        resource = Resource.create({"service.name": service, "service.version": version})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        logging.getLogger(OTLPSpanExporter.__module__).addFilter(Seldom())
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("fliq", version)
        self._propagator = TraceContextTextMapPropagator()

    def start(
        self, name: str, kind: Kind, *, parent: str | None, seed: str, attributes: Mapping[str, str | int]
    ) -> Span:
        """Begin a span; its id is random, whatever *seed* is."""
        context = self._propagator.extract({"traceparent": parent}) if parent is not None else None
        span = self._tracer.start_span(name, context=context, kind=_KINDS[kind], attributes=dict(attributes))
        return _Kept(span)

    def stop(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


class _Kept:
    """A span that is sent when it ends."""

    __slots__ = ("_span", "trace_id", "traceparent")

    def __init__(self, span: Any) -> None:
        self._span = span
        context = span.get_span_context()
        self.trace_id: str | None = f"{context.trace_id:032x}"
        self.traceparent: str | None = f"00-{self.trace_id}-{context.span_id:016x}-{int(context.trace_flags):02x}"

    def end(self, *, name: str | None = None, error: str | None = None, **attributes: str | int | None) -> None:
        """End it, with `a__b` written for the attribute `a.b`."""
        span = self._span
        if name is not None:
            span.update_name(name)
        for key, value in attributes.items():
            if value is not None:
                span.set_attribute(key.replace("__", "."), value)
        if error is not None:
            span.set_attribute("error.type", error)
            span.set_status(Status(StatusCode.ERROR))
        span.end()
