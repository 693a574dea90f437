"""
The Grafana dashboards of deploy/grafana/dashboards, from the short description below: `make docs` writes them again.

Two of them: `fliq-jobs` answers a job owner (do calls leave on time, how do they end), `fliq-operation` the operator (who serves
what, how far is whom behind, what is full). Every query is run by a test on a real Prometheus that scrapes a running Fliq.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

DATASOURCE: Final = {"type": "prometheus", "uid": "prometheus"}
WIDTH: Final = 24
HEIGHT: Final = 8


class Panel(NamedTuple):
    """
    One picture.

    Args:
        title, about: what it shows, and how to read it.
        queries: legend -> PromQL.
        unit: Grafana's name of the unit.
        kind: `timeseries`, `stat` or `table`.
        width: of 24 columns.
        limits: values from which it turns orange and red (stat).
        is_rare: whether no data is an ordinary answer, such as failures of which there were none.
    """

    title: str
    about: str
    queries: dict[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    limits: tuple[float, float] | None = None
    is_rare: bool = False


def _quantiles(metric: str, by: str = "") -> dict[str, str]:
    rate = f"sum by (le{by}) (rate({metric}_bucket[$__rate_interval]))"
    return {name: f"histogram_quantile({q}, {rate})" for name, q in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))}


JOBS: Final = (
    Panel(
        "On time",
        "Share of the calls of the last five minutes that left within a second of the instant asked for.",
        {"on time": "1 - fliq:dispatch_late:ratio_rate5m"},
        unit="percentunit",
        kind="stat",
        width=6,
    ),
    Panel(
        "Lateness p99",
        "99 of 100 calls left within this of the instant asked for.",
        {"p99": "fliq:dispatch_lateness_seconds:p99_rate5m"},
        unit="s",
        kind="stat",
        width=6,
        limits=(0.1, 1),
    ),
    Panel(
        "Succeeded",
        "Share of the calls of the last five minutes that were answered with 2xx.",
        {"succeeded": 'outcome:fliq_attempts:rate5m{outcome="success"} / on() (sum(outcome:fliq_attempts:rate5m) > 0)'},
        unit="percentunit",
        kind="stat",
        width=6,
    ),
    Panel(
        "Heartbeat",
        "How long ago Fliq's own job last came through.",
        {"age": "fliq:heartbeat_age_seconds:min"},
        unit="s",
        kind="stat",
        width=6,
        limits=(90, 150),
    ),
    Panel(
        "Lateness",
        "From the instant asked for until the request leaves, including waits for a slot; retries count too.",
        _quantiles("fliq_dispatch_lateness_seconds"),
        unit="s",
        width=12,
    ),
    Panel(
        "Calls a second, by how they ended",
        "Attempts, retries included; one heartbeat a minute is among them.",
        {"{{outcome}} {{reason}}": "sum by (outcome, reason) (rate(fliq_attempts_total[$__rate_interval]))"},
        unit="reqps",
        width=12,
    ),
    Panel(
        "Calls a second, by connection",
        "On a new connection, on one that had served before, or on such a one first and then on a new one.",
        {"{{use}}": "sum by (use) (rate(fliq_connections_total[$__rate_interval]))"},
        unit="reqps",
    ),
    Panel(
        "Answers",
        "By class of the status; none: no answer.",
        {"{{status_class}}": "sum by (status_class) (rate(fliq_attempts_total[$__rate_interval]))"},
        unit="reqps",
    ),
    Panel(
        "How long targets take",
        "From sending a request to the end of its answer.",
        _quantiles("fliq_attempt_duration_seconds"),
        unit="s",
    ),
    Panel(
        "Webhooks a second, by how they ended",
        "One for each job that reached its end and has a webhook_url.",
        {"{{outcome}}": "sum by (outcome) (rate(fliq_webhook_attempts_total[$__rate_interval]))"},
        unit="reqps",
        is_rare=True,
    ),
    Panel(
        "Webhook endpoints",
        "Calls of the accounts' endpoints, by how they ended, and endpoints that were disabled because they took nothing.",
        {
            "{{outcome}}": "sum by (outcome) (rate(fliq_webhook_deliveries_total[$__rate_interval]))",
            "disabled: {{reason}}": "sum by (reason) (increase(fliq_webhook_endpoints_disabled_total[$__rate_interval]))",
        },
        is_rare=True,
    ),
    Panel(
        "How long webhooks take",
        "From sending one to the end of its answer; ten seconds are the most.",
        _quantiles("fliq_webhook_duration_seconds"),
        unit="s",
    ),
    Panel(
        "Schedules",
        "Jobs that schedules made, ticks that were passed over after an outage, next runs that newer zone data moved.",
        {
            "ticks": "sum(rate(fliq_schedule_ticks_total[$__rate_interval]))",
            "missed": "sum(rate(fliq_schedule_missed_total[$__rate_interval]))",
            "realigned": "sum(rate(fliq_schedules_realigned_total[$__rate_interval]))",
        },
        unit="ops",
    ),
    Panel(
        "Requests to the API, by status",
        "",
        {"{{status}}": "sum by (status) (rate(fliq_http_requests_total[$__rate_interval]))"},
        unit="reqps",
    ),
    Panel(
        "How long the API takes",
        "By route, 99 of 100 requests.",
        {
            "{{route}}": "histogram_quantile(0.99, sum by (le, route)"
            " (rate(fliq_http_request_seconds_bucket[$__rate_interval])))"
        },
        unit="s",
    ),
)

OPERATION: Final = (
    Panel("Processes", "How many of each role answer.", {"{{role}}": "role:fliq_up:sum"}, kind="stat", width=8),
    Panel(
        "Unserved and halted partitions",
        "Both should be 0.",
        {
            "unserved, {{role}}": "min by (role) (fliq_partitions_unassigned)",
            "halted, {{role}}": "sum by (role) (fliq_partitions_halted)",
        },
        kind="stat",
        width=8,
        limits=(1, 1),
    ),
    Panel(
        "Alerts",
        "Those that fire.",
        {"{{alertname}}": 'sum by (alertname) (ALERTS{alertname=~"Fliq.+", alertstate="firing"})'},
        kind="stat",
        width=8,
        is_rare=True,
    ),
    Panel(
        "Reachable",
        "Processes that reach the database and the log.",
        {"database": "sum(fliq_database_up)", "log": "sum(fliq_log_up)"},
        width=6,
    ),
    Panel(
        "Behind the log, in records",
        "The readers of each role, and the tables.",
        {"{{role}}": "sum by (role) (fliq_log_lag_records)", "tables": "max(fliq_fold_lag_records)"},
        width=6,
    ),
    Panel(
        "Behind the log, in time",
        "How long the tables, and the oldest job that is due and not decided, have been waiting.",
        {"tables": "max(fliq_projection_lag_seconds)", "oldest due job": "max(fliq_oldest_due_age_seconds)"},
        unit="s",
        width=6,
    ),
    Panel("Partitions by process", "Who serves how many.", {"{{role}} {{instance}}": "fliq_leases_held"}, width=6),
    Panel(
        "From deciding to sending",
        "A due event is written ahead of its instant (FLIQ_FIRE_LEAD_MS); more than that is late.",
        _quantiles("fliq_dispatch_lead_seconds"),
        unit="s",
    ),
    Panel("Appends to the log", "Until they are durable.", _quantiles("fliq_log_append_seconds"), unit="s"),
    Panel("Flushes of the tables", "", _quantiles("fliq_flush_seconds"), unit="s"),
    Panel(
        "Appends a second",
        "And those that failed.",
        {
            "appends": "sum(rate(fliq_log_append_seconds_count[$__rate_interval]))",
            "{{kind}}": "sum by (kind) (rate(fliq_log_append_errors_total[$__rate_interval]))",
        },
        unit="ops",
    ),
    Panel(
        "Rows a flush writes",
        "On average.",
        {
            "rows": "sum(rate(fliq_flush_rows_sum[$__rate_interval]))"
            " / (sum(rate(fliq_flush_rows_count[$__rate_interval])) > 0)"
        },
        is_rare=True,
    ),
    Panel(
        "Event loop p99",
        "How late it is, by process. Calls are late by as much.",
        {"{{job}} {{instance}}": "instance:fliq_loop_delay_seconds:p99_rate5m"},
        unit="s",
    ),
    Panel(
        "In memory",
        "Timers, attempts held, webhooks held.",
        {"timers": "sum(fliq_wheel_size)", "attempts": "sum(fliq_in_flight)", "webhooks": "sum(fliq_webhooks_held)"},
    ),
    Panel(
        "Webhooks pending",
        "Ended jobs whose webhook has no outcome yet, and for how long the oldest has waited; what failed for the last time.",
        {
            "pending": "sum(fliq_webhooks_pending)",
            "oldest, in seconds": "max(fliq_webhooks_pending_oldest_seconds)",
            "waiting for another try": "sum(fliq_webhook_deliveries_waiting)",
            "failed for good: {{told_by}}": "sum by (told_by)"
            " (increase(fliq_webhook_deliveries_exhausted_total[$__rate_interval]))",
        },
    ),
    Panel(
        "History",
        "Forgotten jobs that were deleted, a second; whether there is too little room for what the settings say.",
        {
            "deleted": "sum(rate(fliq_history_deleted_total[$__rate_interval]))",
            "decisions": "sum(increase(fliq_history_decisions_total[$__rate_interval]))",
            "shortened": "max(fliq_history_shortened)",
        },
    ),
    Panel(
        "The log's length",
        "Rows carried over, and records deleted; for how long it should have been done in the partition furthest behind.",
        {
            "carried": "sum(increase(fliq_log_carried_rows_total[$__rate_interval]))",
            "deleted": "sum(increase(fliq_log_trimmed_records_total[$__rate_interval]))",
            "overdue, in seconds": "max(fliq_log_carry_overdue_seconds)",
        },
    ),
    Panel(
        "Waiting by limit",
        "Due jobs for a slot of their partition; due calls for a slot of their host or of all.",
        {
            "slot of the partition": "sum(fliq_jobs_due)",
            "accounts, for the next day": "max(fliq_accounts_over_daily_limit)",
            "put off for their address, a second": "sum(rate(fliq_calls_put_off_total[$__rate_interval]))",
            "slots": "sum(fliq_calls_waiting)",
            "under way": "sum(fliq_calls_active)",
        },
    ),
    Panel(
        "Claims and resignations",
        "Partitions taken over, and given up by reason.",
        {
            "claims": "sum(increase(fliq_claims_total[$__rate_interval]))",
            "{{reason}}": "sum by (reason) (increase(fliq_resignations_total[$__rate_interval]))",
        },
    ),
    Panel(
        "Records that changed nothing, and defects",
        "Void decisions follow a change of owner; the others mean a defect or damage.",
        {
            "void": "sum(increase(fliq_void_decisions_total[$__rate_interval]))",
            "illegal": "sum(increase(fliq_illegal_decisions_total[$__rate_interval]))",
            "unreadable": "sum(increase(fliq_poison_records_total[$__rate_interval]))",
            "of a newer build": "sum(increase(fliq_skipped_records_total[$__rate_interval]))",
            "overdue": "sum(increase(fliq_attempts_overdue_total[$__rate_interval]))",
            "webhooks overdue": "sum(increase(fliq_webhooks_overdue_total[$__rate_interval]))",
        },
    ),
    Panel(
        "CPU",
        "Cores used, by process.",
        {"{{job}} {{instance}}": 'rate(process_cpu_seconds_total{job=~"fliq-.+"}[$__rate_interval])'},
    ),
    Panel(
        "Memory",
        "Resident, by process.",
        {"{{job}} {{instance}}": 'process_resident_memory_bytes{job=~"fliq-.+"}'},
        unit="bytes",
    ),
    Panel(
        "File descriptors",
        "Open, as a share of what is allowed.",
        {"{{job}} {{instance}}": 'process_open_fds{job=~"fliq-.+"} / process_max_fds'},
        unit="percentunit",
    ),
    Panel(
        "Disk of the data directory",
        "Free, as a share.",
        {"{{instance}}": "fliq_data_dir_free_bytes / (fliq_data_dir_size_bytes > 0)"},
        unit="percentunit",
    ),
    Panel(
        "Clocks", "This machine's minus the database's.", {"{{job}} {{instance}}": "fliq_clock_skew_seconds"}, unit="s"
    ),
    Panel(
        "Versions",
        "Which versions run.",
        {"{{version}}": "sum by (version, python) (fliq_build_info)"},
        kind="table",
        width=24,
    ),
)

DASHBOARDS: Final = {"fliq-jobs": ("Fliq: jobs", JOBS), "fliq-operation": ("Fliq: operation", OPERATION)}


def page(uid: str) -> str:
    """Return the dashboard's JSON as it stands in deploy/grafana/dashboards."""
    title, panels = DASHBOARDS[uid]
    document = {
        "uid": uid,
        "title": title,
        "tags": ["fliq"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "utc",
        "templating": {"list": []},
        "annotations": {"list": []},
        "links": [{"type": "dashboards", "tags": ["fliq"], "title": "Fliq", "asDropdown": False}],
        "panels": list(_placed(panels)),
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _placed(panels: tuple[Panel, ...]) -> Iterator[dict[str, Any]]:
    x = y = 0
    for number, panel in enumerate(panels, start=1):
        if x + panel.width > WIDTH:
            x, y = 0, y + HEIGHT
        yield _panel(number, panel, {"x": x, "y": y, "w": panel.width, "h": HEIGHT})
        x += panel.width


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    is_instant = panel.kind == "table"
    targets = [
        {
            "refId": chr(ord("A") + index),
            "datasource": DATASOURCE,
            "expr": query,
            "legendFormat": legend,
            **({"instant": True, "range": False, "format": "table"} if is_instant else {"range": True}),
        }
        for index, (legend, query) in enumerate(panel.queries.items())
    ]
    defaults: dict[str, Any] = {"unit": panel.unit, "min": None if panel.title == "Clocks" else 0}
    if panel.limits is not None:
        steps = [("green", None), ("orange", panel.limits[0]), ("red", panel.limits[1])]
        defaults["thresholds"] = {"mode": "absolute", "steps": [{"color": c, "value": v} for c, v in steps]}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": DATASOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": targets,
    }
