"""The metrics: declared once, separate for each process, and what a scraper sees."""

from __future__ import annotations

import pytest

from libs.runtime.metrics import TABLE, Metrics, page, status_class


def test_every_row_is_a_field_and_is_exposed() -> None:
    """The table, the attributes and the exposition are the same metrics."""
    metrics = Metrics(version="1.2.3")
    text = metrics.exposition().decode()
    assert sorted(row.field for row in TABLE) == sorted(Metrics.__annotations__)
    for row in TABLE:
        assert f"# TYPE {row.name} {row.kind}\n" in text
        assert f"| `{row.name}` | {row.kind} |" in page()
    assert 'fliq_build_info{python="' in text
    assert 'version="1.2.3"} 1.0' in text
    assert "process_cpu_seconds_total" in text


def test_observations_arrive() -> None:
    """Counters count, gauges stand, histograms sort into their buckets."""
    metrics = Metrics(version="x")
    metrics.attempts.labels("success", status_class(204)).inc()
    metrics.in_flight.set(3)
    metrics.dispatch_lateness_seconds.observe(0.004)
    text = metrics.exposition().decode()
    assert 'fliq_attempts_total{outcome="success",status_class="2xx"} 1.0' in text
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
