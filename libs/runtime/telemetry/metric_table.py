"""
The table of metrics: every one that Fliq exports, from which the registry and docs/metrics.md are made.

Names follow Prometheus' conventions: `fliq_` in front, base units behind (`_seconds`, `_bytes`), `_total` on counters,
`_info` on what is always 1. Labels have few values, known when the program is written: no account, no id, no URL, no
host, no partition. What is measured of a partition is summed up, or its worst is shown.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

# Seconds. Fine where the goals are (1–100 ms), coarse where only the order of magnitude matters.
_LATENESS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15, 60, 600)
_CALL = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
_STORAGE = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_ROWS = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000)

# What the labels may say, where that is not an HTTP status or the version that runs; tests hold the services to it.
LABEL_VALUES: Final = {
    "outcome": "`success`, `failed`; of webhooks `ok`, `http_error` or why there was no answer",
    "reason": "why: `none`, `http_status`, `timeout`, `dns_error`, … of calls; a few fixed words of owners",
    "status_class": "`2xx` … `5xx`, `none` without an answer",
    "role": "`scheduler`, `dispatcher`, `webhooks`",
    "kind": "`failed`: the outcome is unknown; `unavailable`: nothing was written; `refused`: it does not fit",
    "route": "the route's template, such as `/v1/jobs/{job_id}`, or `unknown`",
    "method": "the HTTP method, or `other`",
    "status": "the HTTP status",
    "version": "Fliq's",
    "python": "Python's",
}


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One metric: the field of Metrics that holds it, its name and kind, and what a number of it means."""

    field: str
    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    by: str = ""  # the roles whose processes move it, empty for all


def _counter(by: str, field: str, meaning: str, *labels: str) -> Metric:
    return Metric(field=field, name=f"fliq_{field}_total", kind="counter", meaning=meaning, labels=labels, by=by)


def _gauge(by: str, field: str, meaning: str, *labels: str) -> Metric:
    return Metric(field=field, name=f"fliq_{field}", kind="gauge", meaning=meaning, labels=labels, by=by)


def _histogram(by: str, field: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Metric:
    return Metric(
        field=field, name=f"fliq_{field}", kind="histogram", meaning=meaning, labels=labels, buckets=buckets, by=by
    )


TABLE: Final = (
    # Calls.
    _histogram("dispatcher", "dispatch_lateness_seconds", "when a request left minus when it was asked for", _LATENESS),
    _histogram(
        "dispatcher",
        "dispatch_lead_seconds",
        "from writing a due event to sending its request, the lead time included",
        _LATENESS,
    ),
    _counter("dispatcher", "attempts", "finished attempts, by how they ended", "outcome", "status_class", "reason"),
    _histogram("dispatcher", "attempt_duration_seconds", "from sending a request to the end of its answer", _CALL),
    _counter(
        "dispatcher",
        "attempts_overdue",
        "attempts still under way long after their deadline; each means a defect",
    ),
    _gauge("dispatcher", "in_flight", "attempts held: loading, waiting, under way, or being recorded"),
    _gauge("dispatcher", "calls_active", "calls under way"),
    _gauge(
        "dispatcher",
        "calls_waiting",
        "attempts whose instant has come and that wait for a slot (FLIQ_DISPATCH_CONCURRENCY, FLIQ_DISPATCH_PER_HOST)",
    ),
    # Webhooks.
    _counter("webhooks", "webhook_attempts", "webhook calls made or given up", "outcome"),
    _histogram("webhooks", "webhook_duration_seconds", "from sending a webhook to the end of its answer", _CALL),
    _gauge("webhooks", "webhooks_held", "webhooks waiting, under way or being recorded"),
    # Deciding.
    _counter("scheduler", "claims", "claims appended: partitions taken over by this process"),
    _counter("scheduler", "resignations", "partitions given up by this process", "reason"),
    _counter("scheduler", "void_decisions", "decisions of an owner that was already replaced; they change nothing"),
    _counter(
        "scheduler",
        "illegal_decisions",
        "decisions that do not fit the state of their job; they change nothing, and each means a defect",
    ),
    _counter(
        "", "skipped_records", "records of a type or version that this build does not know, and that may be skipped"
    ),
    _counter("", "poison_records", "records that could not be read; they are kept and change nothing"),
    _gauge("scheduler", "wheel_size", "timers in memory"),
    _gauge("scheduler", "jobs_due", "due jobs that wait for a free slot of their partition"),
    _gauge(
        "", "oldest_due_age_seconds", "for how long the oldest job that has not fired has been due; 0 if there is none"
    ),
    _counter("scheduler", "schedule_ticks", "jobs created by schedules"),
    _counter(
        "scheduler", "schedule_missed", "ticks skipped after an outage; only the latest of each schedule is fired"
    ),
    # The log and the tables.
    _histogram("", "log_append_seconds", "from the call of an append until it is durable", _STORAGE),
    _counter("", "log_append_errors", "appends that did not succeed", "kind"),
    _gauge("", "log_up", "1 when the log answered the last time it was asked, else 0"),
    _gauge("", "log_lag_records", "records in the log that this process's readers have not reached yet", "role"),
    _gauge("", "database_up", "1 when the database answered the last time it was asked, else 0"),
    _gauge("", "fold_lag_records", "records in the log that the tables do not show yet, all partitions together"),
    _gauge("", "projection_lag_seconds", "for how long the partition that is furthest behind has been behind the log"),
    _histogram("scheduler", "flush_seconds", "one write of folded states into the tables", _STORAGE),
    _histogram("scheduler", "flush_rows", "rows in one such write", _ROWS),
    # Who serves what.
    _gauge("", "leases_held", "partitions that this process serves", "role"),
    _gauge("", "partitions", "partitions of the log"),
    _gauge("", "partitions_unassigned", "partitions that no process serves at the moment, as the tables say", "role"),
    _gauge(
        "",
        "partitions_halted",
        "partitions that this process cannot read on: a gap, or a record of a newer build",
        "role",
    ),
    # The API.
    _counter("api", "http_requests", "requests answered", "route", "method", "status"),
    _histogram("api", "http_request_seconds", "from a request's first byte to its answer", _STORAGE, "route"),
    # The whole way, and the process.
    _gauge(
        "dispatcher",
        "heartbeat_timestamp_seconds",
        "when the last heartbeat job had passed log, scheduler and dispatcher; before the first, when this process started",
    ),
    _gauge("dispatcher", "heartbeat_period_seconds", "how often a heartbeat comes, 0 when FLIQ_HEARTBEAT_SECONDS is 0"),
    _histogram("", "loop_delay_seconds", "how late the event loop was, measured four times a second", _LATENESS),
    _gauge("", "clock_skew_seconds", "this machine's clock minus the database's"),
    _gauge("", "data_dir_free_bytes", "room left on the file system of FLIQ_DATA_DIR"),
    _gauge("", "data_dir_size_bytes", "size of that file system"),
    _gauge("", "build_info", "always 1; the labels say what runs", "version", "python"),
)


def page() -> str:
    """The text of docs/metrics.md."""
    rows = "\n".join(
        f"| `{row.name}` | {row.kind} | {', '.join(f'`{label}`' for label in row.labels)} | {row.by or 'all'} "
        f"| {row.meaning} |"
        for row in TABLE
    )
    labels = "\n".join(f"| `{name}` | {values} |" for name, values in LABEL_VALUES.items())
    return (
        "# Metrics\n\n"
        "Generated by `make docs` from `libs/runtime/telemetry/metric_table.py`; a test fails when this page is stale.\n\n"
        "Served at `/metrics` of the admin port (`FLIQ_ADMIN_PORT`), with `process_*` (descriptors, memory, CPU) and\n"
        "`python_gc_*` besides. Times are in seconds. Every process exports all of them; the fourth column says whose\n"
        "work moves them.\n\n"
        "| Name | Kind | Labels | Moved by | Meaning |\n|---|---|---|---|---|\n"
        f"{rows}\n\n"
        "No label holds an account, a URL, a host or an id.\n\n"
        f"| Label | Says |\n|---|---|\n{labels}\n\n"
        "Heartbeat jobs (`FLIQ_HEARTBEAT_SECONDS`) are attempts like others: one a minute counts in the first four.\n"
        "There is no circuit breaker yet, and so no metric of one.\n"
    )
