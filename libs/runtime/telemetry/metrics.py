"""
The metrics of one process, made from the table in metric_table.py.

Each process makes one Metrics with a registry of its own; nothing is global, so that tests and several services in
one process do not meet. To add one: a field of `MetricFields` (metric_table.py), and `make docs`.
An observation costs 0.3–1 µs; `.labels(...)` adds 0.7 µs, so hot paths keep the child they need.
"""

from __future__ import annotations

import platform
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from libs.runtime.telemetry.metric_table import TABLE, Metric, MetricFields

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Metrics(MetricFields):
    """The metrics of one process, and the registry that shows them."""

    def __init__(self, *, version: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for every counter and histogram, which nobody asks for
        self.registry = CollectorRegistry()
        for metric in TABLE:
            setattr(self, metric.field, _make(metric, self.registry))
        self.build_info.labels(version, platform.python_version()).set(1)
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format; serve it as CONTENT_TYPE."""
        return generate_latest(self.registry)


def status_class(status_code: int | None) -> str:
    """Return the label for a status: `2xx` … `5xx`, or `none` where there was no answer."""
    return f"{status_code // 100}xx" if status_code is not None and 100 <= status_code <= 599 else "none"


def _make(metric: Metric, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    # A help text becomes a line of the exposition; the client adds `_total` to a counter's name by itself.
    if metric.kind == "counter":
        return Counter(metric.name, metric.meaning, metric.labels, registry=registry)
    if metric.kind == "gauge":
        return Gauge(metric.name, metric.meaning, metric.labels, registry=registry)
    return Histogram(metric.name, metric.meaning, metric.labels, registry=registry, buckets=metric.buckets)
