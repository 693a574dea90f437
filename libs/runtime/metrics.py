"""
The metrics: every one in one table, from which the registry and docs/metrics.md are made.

Each process makes one Metrics with a registry of its own; nothing is global, so that tests and several services in
one process do not meet. To add one: a row in TABLE, a field of the same name in Metrics, and `make docs`.
An observation costs 0.3–1 µs; `.labels(...)` adds 0.7 µs, so hot paths keep the child they need.
"""

from __future__ import annotations

import platform
from typing import Final, Literal

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

# Seconds. Fine where the goals are (1–100 ms), coarse where only the order of magnitude matters.
_LATENESS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15, 60, 600)
_CALL = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
_STORAGE = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_ROWS = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000)


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One metric: the field of Metrics that holds it, its name and kind, and what a number of it means."""

    field: str
    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


def _counter(field: str, meaning: str, *labels: str) -> Metric:
    return Metric(field=field, name=f"fliq_{field}_total", kind="counter", meaning=meaning, labels=labels)


def _gauge(field: str, meaning: str, *labels: str) -> Metric:
    return Metric(field=field, name=f"fliq_{field}", kind="gauge", meaning=meaning, labels=labels)


def _histogram(field: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Metric:
    return Metric(field=field, name=f"fliq_{field}", kind="histogram", meaning=meaning, labels=labels, buckets=buckets)


TABLE: Final = (
    _histogram("dispatch_lateness_seconds", "when a request left minus when it was asked for", _LATENESS),
    _histogram(
        "dispatch_lead_seconds", "from writing a due event to sending its request, the lead time included", _LATENESS
    ),
    _counter("attempts", "finished attempts; status_class is 2xx … 5xx, or none", "outcome", "status_class"),
    _histogram("attempt_duration_seconds", "from sending a request to the end of its answer", _CALL),
    _counter(
        "attempts_overdue", "attempts under way long after their deadline that the watchdog took up; they mean a defect"
    ),
    _histogram("log_append_seconds", "from asking for an append to its being durable", _STORAGE),
    _gauge("fold_lag_records", "records in the log that the tables do not show yet", "part"),
    _histogram("flush_seconds", "one write of folded states into the tables", _STORAGE),
    _histogram("flush_rows", "rows in one such write", _ROWS),
    _counter("claims", "claims admitted: partitions taken over by this process"),
    _counter("resignations", "partitions given up by this process", "reason"),
    _counter("void_decisions", "decisions read that an older owner wrote after its time; they change nothing"),
    _counter("illegal_decisions", "decisions read that do not fit the state; they change nothing and mean a defect"),
    _counter("poison_records", "records that could not be read; they are kept and change nothing"),
    _gauge("wheel_size", "timers in memory"),
    _gauge("in_flight", "calls under way"),
    _gauge("jobs_due", "attempts that are due and not yet sent"),
    _counter("http_requests", "requests answered by the API", "route", "method", "status"),
    _histogram("http_request_seconds", "from a request's first byte to its answer", _STORAGE, "route"),
    _counter("webhook_attempts", "webhook calls made", "outcome"),
    _counter("schedule_ticks", "jobs spawned by schedules"),
    _counter("schedule_missed", "ticks passed over after an outage; the latest of each outage is fired"),
    _gauge("build_info", "always 1; the labels say what runs", "version", "python"),
)


class Metrics:
    """The metrics of one process, by the field names of TABLE, and the registry that shows them."""

    dispatch_lateness_seconds: Histogram
    dispatch_lead_seconds: Histogram
    attempts: Counter
    attempt_duration_seconds: Histogram
    attempts_overdue: Counter
    log_append_seconds: Histogram
    fold_lag_records: Gauge
    flush_seconds: Histogram
    flush_rows: Histogram
    claims: Counter
    resignations: Counter
    void_decisions: Counter
    illegal_decisions: Counter
    poison_records: Counter
    wheel_size: Gauge
    in_flight: Gauge
    jobs_due: Gauge
    http_requests: Counter
    http_request_seconds: Histogram
    webhook_attempts: Counter
    schedule_ticks: Counter
    schedule_missed: Counter
    build_info: Gauge

    def __init__(self, *, version: str) -> None:
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


def page() -> str:
    """The text of docs/metrics.md."""
    rows = "\n".join(
        f"| `{row.name}` | {row.kind} | {', '.join(f'`{label}`' for label in row.labels)} | {row.meaning} |"
        for row in TABLE
    )
    return (
        "# Metrics\n\n"
        "Generated by `make docs` from `libs/runtime/metrics.py`; a test fails when this page is stale.\n\n"
        "Served at `/metrics` of the admin port (`FLIQ_ADMIN_PORT`), with `process_*` and `python_gc_*` besides.\n"
        "Times are in seconds.\n\n"
        f"| Name | Kind | Labels | Meaning |\n|---|---|---|---|\n{rows}\n"
    )


def _make(metric: Metric, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    # A help text becomes a line of the exposition; the client adds `_total` to a counter's name by itself.
    if metric.kind == "counter":
        return Counter(metric.name, metric.meaning, metric.labels, registry=registry)
    if metric.kind == "gauge":
        return Gauge(metric.name, metric.meaning, metric.labels, registry=registry)
    return Histogram(metric.name, metric.meaning, metric.labels, registry=registry, buckets=metric.buckets)
