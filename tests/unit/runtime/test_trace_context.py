"""W3C trace contexts: what is accepted, what is ignored, and what is handed on; spans when configured, nothing when not."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from libs.runtime.telemetry.trace_context import accept, child, trace_id
from libs.runtime.telemetry.tracing import NO_TRACING, open_tracing

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("value", "accepted"),
    [
        (GOOD, GOOD),
        (f" {GOOD}\t", GOOD),
        (f"00-{TRACE}-{SPAN}-00", f"00-{TRACE}-{SPAN}-00"),
        (f"00-{TRACE}-{SPAN}-03", f"00-{TRACE}-{SPAN}-03"),
        # A later version is read as far as this one knows it.
        (f"01-{TRACE}-{SPAN}-01", GOOD),
        (f"cc-{TRACE}-{SPAN}-ff-what-the-future-will-be-like", GOOD),
        (f"cc-{TRACE}-{SPAN}-01.what", None),
        (f"00-{TRACE}-{SPAN}-01-", None),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (GOOD.upper(), None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE[1:]}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN[1:]}-01", None),
        (f"00-{TRACE}-{SPAN}-1", None),
        (f"0-{TRACE}-{SPAN}-01", None),
        ("", None),
        ("x" * 10_000, None),
        (f"cc-{TRACE}-{SPAN}-01-" + "x" * 10_000, None),
        (f"00-{TRACE}-{SPAN}-01\n", None),
    ],
)
def test_what_is_malformed_is_ignored(value: str, accepted: str | None) -> None:
    """As section 3.2 of the standard says."""
    assert accept([value]) == accepted


def test_two_headers_are_none() -> None:
    """Which of them is meant cannot be told."""
    assert accept([GOOD, GOOD]) is None
    assert accept([]) is None


def test_a_call_gets_a_span_of_its_own() -> None:
    """The same trace and flags, another span; the same for the same seed, whoever makes it."""
    one, other = child(GOOD, "exec_1"), child(GOOD, "exec_2")
    assert one != other
    assert child(GOOD, "exec_1") == one
    assert one is not None
    assert re.fullmatch(rf"00-{TRACE}-[0-9a-f]{{16}}-01", one)
    assert one[36:52] != SPAN
    assert accept([one]) == one
    assert trace_id(one) == TRACE
    assert child(None, "x") is child("what an old spec holds", "x") is trace_id(None) is None


def test_without_configuration_nothing_is_kept_or_imported() -> None:
    """No endpoint, no package: a Fliq that is not asked for spans does not know OpenTelemetry."""
    assert open_tracing({}, service="fliq", version="1") is NO_TRACING
    off = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"}
    assert open_tracing(off, service="fliq", version="1") is NO_TRACING
    span = NO_TRACING.start("x", "client", parent=GOOD, seed="exec_1", attributes={})
    assert (span.traceparent, span.trace_id) == (child(GOOD, "exec_1"), TRACE)
    program = (
        "import sys, services.process.run; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


async def test_spans_are_sent_when_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """OTLP over HTTP to the endpoint that the environment names: names, parents, kinds and what went wrong."""
    received: list[ExportTraceServiceRequest] = []

    async def traces(request: web.Request) -> web.Response:
        received.append(ExportTraceServiceRequest.FromString(await request.read()))
        return web.Response(content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/traces", traces)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{runner.addresses[0][1]}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    try:
        tracing = open_tracing(os.environ, service="fliq-dispatcher", version="1.2.3")
        assert tracing.is_on
        request = tracing.start("request", "server", parent=GOOD, seed="", attributes={})
        attempt = tracing.start(
            "attempt", "client", parent=request.traceparent, seed="", attributes={"fliq.job_id": "job_1"}
        )
        assert request.trace_id == attempt.trace_id == TRACE
        attempt.end(error="timeout", http__response__status_code=None)
        request.end(name="POST /v1/jobs", http__response__status_code=201)
        assert tracing.start("new", "client", parent=None, seed="", attributes={}).trace_id not in (None, TRACE)
        await asyncio.to_thread(tracing.stop)
    finally:
        await runner.cleanup()
    resources = [each for batch in received for each in batch.resource_spans]
    named = {entry.key: entry.value.string_value for entry in resources[0].resource.attributes}
    assert (named["service.name"], named["service.version"]) == ("fliq-dispatcher", "1.2.3")
    spans = {span.name: span for each in resources for scope in each.scope_spans for span in scope.spans}
    assert set(spans) == {"POST /v1/jobs", "attempt"}
    assert spans["POST /v1/jobs"].parent_span_id.hex() == SPAN
    assert spans["attempt"].parent_span_id == spans["POST /v1/jobs"].span_id
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE}
    assert spans["attempt"].status.code == 2
    assert {entry.key for entry in spans["attempt"].attributes} == {"fliq.job_id", "error.type"}
