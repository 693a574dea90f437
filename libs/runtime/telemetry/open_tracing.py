"""
Open tracing: OpenTelemetry if it is configured, else no tracer.

Configured means that OTEL_EXPORTER_OTLP_ENDPOINT (or ..._TRACES_ENDPOINT) is set and the extra `fliq[otel]` is installed. The other
OTEL_* variables mean what OpenTelemetry says. If it is not configured, no package of OpenTelemetry is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import structlog

from libs.runtime.telemetry.tracing import NO_TRACING, Tracing

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

_log = structlog.get_logger("tracing")


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
