"""
The table of metrics: every one that Fliq exports, from which the registry and docs/metrics.md are made.

Names follow Prometheus' conventions: `fliq_` in front, base units behind (`_seconds`, `_bytes`), `_total` on counters,
`_info` on what is always 1. Labels have few values, known when the program is written: no account, no id, no URL, no
host, no partition. What is measured of a partition is summed up, or its worst is shown.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, get_type_hints

import msgspec
from prometheus_client import Counter, Gauge, Histogram

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
    "use": "`new`, `reused`, `resent`",
    "kind": "`failed`: the outcome is unknown; `unavailable`: nothing was written; `refused`: it does not fit",
    "told_by": "`webhook_url` of the job, `endpoint` of the account",
    "route": "the route's template, such as `/v1/jobs/{job_id}`, or `unknown`",
    "method": "the HTTP method, or `other`",
    "status": "the HTTP status",
    "version": "Fliq's",
    "python": "Python's",
}


class MetricFields:
    """
    The metrics, a field for each; its exported name is the field's after `fliq_`, a counter's with `_total`.

    Each says which roles' processes move it (empty for all), what a number of it means, a histogram's buckets, and its labels.
    """

    # Calls.
    dispatch_lateness_seconds: Annotated[
        Histogram, "dispatcher", "when a request left minus when it was asked for", _LATENESS
    ]
    dispatch_lead_seconds: Annotated[
        Histogram, "dispatcher", "from writing a due event to sending its request, the lead time included", _LATENESS
    ]
    attempts: Annotated[
        Counter, "dispatcher", "finished attempts, by how they ended", "outcome", "status_class", "reason"
    ]
    attempt_duration_seconds: Annotated[
        Histogram, "dispatcher", "from sending a request to the end of its answer", _CALL
    ]
    connections: Annotated[
        Counter,
        "dispatcher",
        "calls by the connection they left on: a new one, one that had served before, or first such a one and then a new one",
        "use",
    ]
    attempts_overdue: Annotated[
        Counter, "dispatcher", "attempts still under way long after their deadline; each means a defect"
    ]
    in_flight: Annotated[Gauge, "dispatcher", "attempts held: loading, waiting, under way, or being recorded"]
    calls_active: Annotated[Gauge, "dispatcher", "calls under way"]
    calls_waiting: Annotated[
        Gauge,
        "dispatcher",
        "attempts whose instant has come and that wait for a slot (FLIQ_DISPATCH_CONCURRENCY, FLIQ_DISPATCH_PER_HOST)",
    ]
    calls_put_off: Annotated[
        Counter, "", "calls that waited because their account calls their address too often (a limit of the account)"
    ]
    # Webhooks.
    webhook_attempts: Annotated[Counter, "webhooks", "webhook calls made or given up", "outcome"]
    webhook_duration_seconds: Annotated[Histogram, "webhooks", "from sending a webhook to the end of its answer", _CALL]
    webhook_deliveries: Annotated[Counter, "dispatcher", "calls of webhook endpoints", "outcome"]
    webhook_endpoints_disabled: Annotated[
        Counter, "dispatcher", "webhook endpoints that Fliq disabled because they took nothing", "reason"
    ]
    webhooks_held: Annotated[Gauge, "webhooks", "webhooks waiting, under way or being recorded"]
    webhooks_pending: Annotated[
        Gauge, "webhooks", "ended jobs whose webhook has no outcome yet, in the tables half a minute ago at the most"
    ]
    webhooks_pending_oldest_seconds: Annotated[Gauge, "webhooks", "for how long the oldest of them has waited"]
    webhook_deliveries_waiting: Annotated[Gauge, "webhooks", "webhooks that failed and wait for another try"]
    webhook_deliveries_exhausted: Annotated[
        Counter, "webhooks", "webhooks and deliveries to endpoints whose last try failed", "told_by"
    ]
    webhooks_overdue: Annotated[
        Counter, "webhooks", "webhooks that were pending for long and that nobody knew of; each means a defect"
    ]
    # Deciding.
    claims: Annotated[Counter, "scheduler", "claims appended: partitions taken over by this process"]
    resignations: Annotated[Counter, "scheduler", "partitions given up by this process", "reason"]
    void_decisions: Annotated[
        Counter, "scheduler", "decisions of an owner that was already replaced; they change nothing"
    ]
    illegal_decisions: Annotated[
        Counter,
        "scheduler",
        "decisions that do not fit the state of their job; they change nothing, and each means a defect",
    ]
    skipped_records: Annotated[
        Counter, "", "records of a type or version that this build does not know, and that may be skipped"
    ]
    poison_records: Annotated[Counter, "", "records that could not be read; they are kept and change nothing"]
    history_decisions: Annotated[Counter, "scheduler", "decisions that ended jobs are forgotten"]
    history_deleted: Annotated[Counter, "scheduler", "forgotten jobs whose rows were deleted"]
    history_shortened: Annotated[
        Gauge, "scheduler", "1 while jobs are forgotten earlier than the settings say, because there is too little room"
    ]
    log_carried_rows: Annotated[Counter, "scheduler", "rows carried over to a later part of the log"]
    log_trimmed_records: Annotated[Counter, "scheduler", "records deleted from the log because they are needed no more"]
    log_carry_overdue_seconds: Annotated[
        Gauge,
        "scheduler",
        "for how long what lives should have been carried over, in the partition that is furthest behind",
    ]
    wheel_size: Annotated[Gauge, "scheduler", "timers in memory"]
    jobs_due: Annotated[Gauge, "scheduler", "due jobs that wait for a free slot of their partition"]
    accounts_over_daily_limit: Annotated[
        Gauge,
        "scheduler",
        "accounts whose executions of this UTC day are used up, and whose due jobs wait for it to end",
    ]
    oldest_due_age_seconds: Annotated[
        Gauge, "", "for how long the oldest job that has not fired has been due; 0 if there is none"
    ]
    schedule_ticks: Annotated[Counter, "scheduler", "jobs created by schedules"]
    schedule_missed: Annotated[
        Counter, "scheduler", "ticks skipped after an outage; only the latest of each schedule is fired"
    ]
    schedules_realigned: Annotated[Counter, "scheduler", "next runs that newer zone data moved to another instant"]
    # The log and the tables.
    log_append_seconds: Annotated[Histogram, "", "from the call of an append until it is durable", _STORAGE]
    log_append_errors: Annotated[Counter, "", "appends that did not succeed", "kind"]
    log_up: Annotated[Gauge, "", "1 when the log answered the last time it was asked, else 0"]
    log_lag_records: Annotated[Gauge, "", "records in the log that this process's readers have not reached yet", "role"]
    database_up: Annotated[Gauge, "", "1 when the database answered the last time it was asked, else 0"]
    fold_lag_records: Annotated[
        Gauge, "", "records in the log that the tables do not show yet, all partitions together"
    ]
    projection_lag_seconds: Annotated[
        Gauge, "", "for how long the partition that is furthest behind has been behind the log"
    ]
    flush_seconds: Annotated[Histogram, "scheduler", "one write of folded states into the tables", _STORAGE]
    flush_rows: Annotated[Histogram, "scheduler", "rows in one such write", _ROWS]
    # Who serves what.
    leases_held: Annotated[Gauge, "", "partitions that this process serves", "role"]
    partitions: Annotated[Gauge, "", "partitions of the log"]
    partitions_unassigned: Annotated[
        Gauge, "", "partitions that no process serves at the moment, as the tables say", "role"
    ]
    partitions_halted: Annotated[
        Gauge, "", "partitions that this process cannot read on: a gap, or a record of a newer build", "role"
    ]
    # The API.
    http_requests: Annotated[Counter, "api", "requests answered", "route", "method", "status"]
    http_request_seconds: Annotated[Histogram, "api", "from a request's first byte to its answer", _STORAGE, "route"]
    # The whole way, and the process.
    heartbeat_timestamp_seconds: Annotated[
        Gauge,
        "dispatcher",
        "when the last heartbeat job had passed log, scheduler and dispatcher; before the first, when this process started",
    ]
    heartbeat_period_seconds: Annotated[
        Gauge, "dispatcher", "how often a heartbeat comes, 0 when FLIQ_HEARTBEAT_SECONDS is 0"
    ]
    loop_delay_seconds: Annotated[Histogram, "", "how late the event loop was, measured four times a second", _LATENESS]
    clock_skew_seconds: Annotated[Gauge, "", "this machine's clock minus the database's"]
    data_dir_free_bytes: Annotated[Gauge, "", "room left on the file system of FLIQ_DATA_DIR"]
    data_dir_size_bytes: Annotated[Gauge, "", "size of that file system"]
    build_info: Annotated[Gauge, "", "always 1; the labels say what runs", "version", "python"]


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One metric: the field of `MetricFields`, its name and kind, and the rest as the field says it."""

    field: str
    name: str
    kind: str  # counter, gauge or histogram
    meaning: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...]
    by: str


def _row(field: str, kind: type, by: str, meaning: str, *more: Any) -> Metric:
    buckets = more[0] if kind is Histogram else ()
    return Metric(
        field=field,
        name=f"fliq_{field}_total" if kind is Counter else f"fliq_{field}",
        kind=kind.__name__.lower(),
        meaning=meaning,
        labels=more[1:] if kind is Histogram else more,
        buckets=buckets,
        by=by,
    )


TABLE: Final = tuple(
    _row(field, hint.__origin__, *hint.__metadata__)
    for field, hint in get_type_hints(MetricFields, include_extras=True).items()
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
