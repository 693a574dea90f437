"""The metrics: declared once, separate for each process, and what a scraper sees."""

from __future__ import annotations

import re
from typing import get_type_hints

import pytest

from libs.egress.outcome import Outcome
from libs.runtime.telemetry.metric_table import LABEL_VALUES, TABLE, page
from libs.runtime.telemetry.metrics import Metrics, status_class
from services.api.metrics import ApiMetrics
from services.dispatcher.metrics import DispatcherMetrics
from services.webhooks.metrics import WebhooksMetrics


def test_every_row_is_a_field_and_is_exposed() -> None:
    """The table, the attributes and the exposition are the same metrics."""
    metrics = Metrics(version="1.2.3")
    text = metrics.exposition().decode()
    assert sorted(row.field for row in TABLE) == sorted(get_type_hints(Metrics))
    for row in TABLE:
        assert f"# TYPE {row.name} {row.kind}\n" in text
        assert f"| `{row.name}` | {row.kind} |" in page()
    assert 'fliq_build_info{python="' in text
    assert 'version="1.2.3"} 1.0' in text
    assert "process_cpu_seconds_total" in text


def test_observations_arrive() -> None:
    """Counters count, gauges stand, histograms sort into their buckets."""
    metrics = Metrics(version="x")
    metrics.attempts.labels("success", status_class(204), "none").inc()
    metrics.in_flight.set(3)
    metrics.dispatch_lateness_seconds.observe(0.004)
    text = metrics.exposition().decode()
    assert 'fliq_attempts_total{outcome="success",reason="none",status_class="2xx"} 1.0' in text
    assert "fliq_in_flight 3.0" in text
    assert 'fliq_dispatch_lateness_seconds_bucket{le="0.003"} 0.0' in text
    assert 'fliq_dispatch_lateness_seconds_bucket{le="0.005"} 1.0' in text


def test_two_processes_in_one_do_not_meet() -> None:
    """Each Metrics has a registry of its own."""
    one, other = Metrics(version="x"), Metrics(version="x")
    one.claims.inc()
    assert "fliq_claims_total 1.0" in one.exposition().decode()
    assert "fliq_claims_total 0.0" in other.exposition().decode()


@pytest.mark.parametrize(("code", "label"), [(200, "2xx"), (599, "5xx"), (None, "none"), (0, "none"), (999, "none")])
def test_status_classes_are_few(code: int | None, label: str) -> None:
    """Whatever a target answers, the label has six values."""
    assert status_class(code) == label


def test_names_follow_the_conventions() -> None:
    """`fliq_` in front, base units behind, `_total` on counters and on nothing else; every metric says what it means."""
    for row in TABLE:
        assert re.fullmatch(r"fliq_[a-z]+(_[a-z]+)*", row.name), row.name
        assert (row.kind == "counter") == row.name.endswith("_total"), row.name
        assert not re.search(r"_(ms|milliseconds|minutes|kb|mb|percent)(_|$)", row.name), row.name
        assert row.kind != "histogram" or row.name.endswith(("_seconds", "_bytes", "_rows")), row.name
        assert row.meaning
        assert row.meaning[-1] != "."
        assert row.by in ("", "api", "scheduler", "dispatcher", "webhooks")


def test_labels_are_few_and_known() -> None:
    """Every label is documented with what it may say, and none is of a kind that grows with the users."""
    used = {label for row in TABLE for label in row.labels}
    assert used == set(LABEL_VALUES)
    grows = re.compile(r"account|tenant|url|host|target|path|id$|job|schedule|execution|part|token|key|node")
    assert [label for label in used if grows.search(label)] == []


def test_a_target_cannot_choose_our_labels() -> None:
    """A thousand statuses, errors and methods make a few series."""
    metrics = Metrics(version="x")
    calls, told, answers = DispatcherMetrics(metrics), WebhooksMetrics(metrics), ApiMetrics(metrics)
    for status in range(1000):
        for error in (f"HTTP {status:03d}", f"word{status}"):
            outcome = Outcome(ok=False, status_code=status, error=error, duration_ms=1, retry_after_ms=None, sent_at=0)
            calls.call_ended(lateness_ms=1, lead_ms=1, outcome=outcome)
            calls.call_not_made(error)
            told.webhook_ended(error)
        answers("unknown", f"M{status}", 404, 0.001)
    lines = [line for line in metrics.exposition().decode().splitlines() if line.startswith("fliq_")]
    assert len([line for line in lines if line.startswith("fliq_attempts_total")]) < 30
    assert len([line for line in lines if line.startswith("fliq_webhook_attempts_total")]) < 5
    assert len([line for line in lines if line.startswith("fliq_http_requests_total")]) == 3
