"""
What each alert is for, as time series: the world in which it fires, beside a world in which all is well.

Values are in promtool's notation: `1x9` is 1 and nine more of it, `0+2x9` counts up by 2, `_x9` is nothing scraped.
One value is a minute. A case begins well (`GOOD` values), goes wrong (`BAD`), and is well again (`AFTER`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

STEP_S = 60
GOOD, BAD, AFTER = 12, 10, 22  # values: calm, wrong, calm again

JOBS = ("fliq-api", "fliq-scheduler", "fliq-dispatcher", "fliq-webhooks")
HEALTHY: dict[str, str] = {f'up{{job="{job}",instance="{job}:9090"}}': "1" for job in JOBS}
for _job in JOBS:
    _at = f'job="{_job}",instance="{_job}:9090"'
    HEALTHY |= {
        f"fliq_database_up{{{_at}}}": "1",
        f"fliq_log_up{{{_at}}}": "1",
        f"fliq_partitions{{{_at}}}": "4",
        f"fliq_oldest_due_age_seconds{{{_at}}}": "0",
        f"fliq_projection_lag_seconds{{{_at}}}": "0",
        f'fliq_partitions_unassigned{{{_at},role="scheduler"}}': "0",
        f'fliq_partitions_unassigned{{{_at},role="dispatcher"}}': "0",
        f"fliq_clock_skew_seconds{{{_at}}}": "0",
        f"fliq_data_dir_free_bytes{{{_at}}}": "50",
        f"fliq_data_dir_size_bytes{{{_at}}}": "100",
        f"process_open_fds{{{_at}}}": "50",
        f"process_max_fds{{{_at}}}": "1000",
        f'fliq_loop_delay_seconds_bucket{{{_at},le="0.01"}}': "+120",
        f'fliq_loop_delay_seconds_bucket{{{_at},le="1.0"}}': "+120",
        f'fliq_loop_delay_seconds_bucket{{{_at},le="+Inf"}}': "+120",
        f'fliq_log_append_errors_total{{{_at},kind="failed"}}': "+0",
        f"fliq_poison_records_total{{{_at}}}": "+0",
    }
DISPATCHER = 'job="fliq-dispatcher",instance="fliq-dispatcher:9090"'
SCHEDULER = 'job="fliq-scheduler",instance="fliq-scheduler:9090"'
WEBHOOKS = 'job="fliq-webhooks",instance="fliq-webhooks:9090"'
API = 'job="fliq-api",instance="fliq-api:9090"'
HEALTHY |= {
    f'fliq_dispatch_lateness_seconds_bucket{{{DISPATCHER},le="1.0"}}': "+300",
    f'fliq_dispatch_lateness_seconds_bucket{{{DISPATCHER},le="+Inf"}}': "+300",
    f"fliq_dispatch_lateness_seconds_count{{{DISPATCHER}}}": "+300",
    f"fliq_attempts_overdue_total{{{DISPATCHER}}}": "+0",
    f'fliq_partitions_halted{{{DISPATCHER},role="dispatcher"}}': "0",
    f'fliq_webhook_endpoints_disabled_total{{{DISPATCHER},reason="failing"}}': "+0",
    f'fliq_webhook_endpoints_disabled_total{{{DISPATCHER},reason="gone"}}': "+0",
    f"fliq_heartbeat_period_seconds{{{DISPATCHER}}}": "60",
    f"fliq_heartbeat_timestamp_seconds{{{DISPATCHER}}}": "beats",
    f"fliq_illegal_decisions_total{{{SCHEDULER}}}": "+0",
    f"fliq_schedule_missed_total{{{SCHEDULER}}}": "+0",
    f'fliq_resignations_total{{{SCHEDULER},reason="log"}}': "+0",
    f"fliq_webhooks_pending{{{WEBHOOKS}}}": "0",
    f"fliq_webhooks_pending_oldest_seconds{{{WEBHOOKS}}}": "0",
    f"fliq_webhooks_overdue_total{{{WEBHOOKS}}}": "+0",
    f'fliq_webhook_deliveries_exhausted_total{{{WEBHOOKS},told_by="webhook_url"}}': "+0",
    f'fliq_webhook_deliveries_exhausted_total{{{WEBHOOKS},told_by="endpoint"}}': "+0",
    f'fliq_log_lag_records{{{WEBHOOKS},role="webhooks"}}': "0",
    f'fliq_http_requests_total{{{API},method="POST",route="/v1/jobs",status="201"}}': "+300",
    f'fliq_http_requests_total{{{API},method="POST",route="/v1/jobs",status="503"}}': "+0",
}


@dataclass(frozen=True)
class Case:
    """
    One alert's case.

    Args:
        alert: fires at the end of the bad time, and only it.
        bad: what the series are then; `_` is not scraped. A plain number stands, `+n` grows by n each step.
        slight: something like it that is no reason to fire, held for just as long.
        calm_s: how long after the end of the bad time nothing fires any more.
        bad_steps, after_steps: how long the bad time is, and the calm behind it.
    """

    alert: str
    bad: dict[str, str]
    slight: dict[str, str] = field(default_factory=dict)
    calm_s: int = 1200
    bad_steps: int = BAD
    after_steps: int = AFTER


def gone(*jobs: str) -> dict[str, str]:
    """Return what Prometheus sees when processes are killed: their targets fail, their series end."""
    found = {}
    for series in HEALTHY:
        job = series.partition('job="')[2].partition('"')[0]
        if job in jobs:
            found[series] = "0" if series.startswith("up{") else "_"
    return found


def at_all(name: str, value: str) -> dict[str, str]:
    """Return *value* for the metric in every process."""
    return {series: value for series in HEALTHY if series.startswith(name + "{")}


LATE = {f'fliq_dispatch_lateness_seconds_bucket{{{DISPATCHER},le="1.0"}}': "+150"}
SECOND = 'job="fliq-dispatcher",instance="other:9090"'
CASES = [
    Case("FliqDown", gone(*JOBS), gone()),
    Case("FliqApiDown", gone("fliq-api")),
    Case("FliqSchedulerDown", gone("fliq-scheduler") | at_all("fliq_oldest_due_age_seconds", "300")),
    Case(
        "FliqDispatcherDown", gone("fliq-dispatcher") | {f'fliq_partitions_unassigned{{{API},role="dispatcher"}}': "4"}
    ),
    Case("FliqWebhooksDown", gone("fliq-webhooks")),
    Case("FliqProcessDown", {f"up{{{SECOND}}}": "0"}, {f"up{{{SECOND}}}": "1"}),
    Case(
        "FliqDatabaseUnreachable",
        at_all("fliq_database_up", "0") | at_all("fliq_log_up", "0") | at_all("fliq_projection_lag_seconds", "400"),
    ),
    Case("FliqLogUnreachable", at_all("fliq_log_up", "0") | at_all("fliq_oldest_due_age_seconds", "100")),
    Case(
        "FliqDispatchLate",
        LATE,
        {f'fliq_dispatch_lateness_seconds_bucket{{{DISPATCHER},le="1.0"}}': "+298"},
        calm_s=1200,
    ),
    Case(
        "FliqDispatchLateSlowly",
        {f'fliq_dispatch_lateness_seconds_bucket{{{DISPATCHER},le="1.0"}}': "+297"},
        {f'fliq_dispatch_lateness_seconds_bucket{{{DISPATCHER},le="1.0"}}': "+299.9"},
        bad_steps=30,
        calm_s=2400,
        after_steps=45,
    ),
    Case(
        "FliqHeartbeatStale",
        {f"fliq_heartbeat_timestamp_seconds{{{DISPATCHER}}}": "stands"},
        {
            f"fliq_heartbeat_timestamp_seconds{{{DISPATCHER}}}": "stands",
            f"fliq_heartbeat_period_seconds{{{DISPATCHER}}}": "0",
        },
    ),
    Case("FliqJobsOverdue", at_all("fliq_oldest_due_age_seconds", "90"), at_all("fliq_oldest_due_age_seconds", "30")),
    Case(
        "FliqProjectionLagging",
        at_all("fliq_projection_lag_seconds", "45"),
        at_all("fliq_projection_lag_seconds", "10"),
    ),
    Case(
        "FliqPartitionsUnassigned",
        {series: "1" for series in at_all("fliq_partitions_unassigned", "1") if 'role="dispatcher"' in series},
        {f'fliq_partitions_unassigned{{{API},role="dispatcher"}}': "1"},
    ),
    Case("FliqPartitionHalted", at_all("fliq_partitions_halted", "1")),
    Case("FliqIllegalDecisions", at_all("fliq_illegal_decisions_total", "+1")),
    Case("FliqPoisonRecords", at_all("fliq_poison_records_total", "+1")),
    Case("FliqAttemptsOverdue", at_all("fliq_attempts_overdue_total", "+1")),
    Case(
        "FliqLogAppendsFailing",
        at_all("fliq_log_append_errors_total", "+3"),
        {f'fliq_log_append_errors_total{{{API},kind="refused"}}': "+30"},
    ),
    Case("FliqOwnersResigning", at_all("fliq_resignations_total", "+2"), at_all("fliq_resignations_total", "+0.2")),
    Case(
        "FliqWebhookBacklog",
        {f"fliq_webhooks_pending{{{WEBHOOKS}}}": "3000"},
        {f"fliq_webhooks_pending{{{WEBHOOKS}}}": "300", f"fliq_webhooks_pending_oldest_seconds{{{WEBHOOKS}}}": "600"},
    ),
    Case("FliqWebhooksOverdue", at_all("fliq_webhooks_overdue_total", "+1")),
    Case(
        "FliqWebhooksExhausted",
        {f'fliq_webhook_deliveries_exhausted_total{{{WEBHOOKS},told_by="webhook_url"}}': "+5"},
        {f'fliq_webhook_deliveries_exhausted_total{{{WEBHOOKS},told_by="webhook_url"}}': "+0.1"},
    ),
    Case(
        "FliqWebhooksExhausted",
        {f'fliq_webhook_deliveries_exhausted_total{{{WEBHOOKS},told_by="endpoint"}}': "+5"},
        {f'fliq_webhook_deliveries_exhausted_total{{{WEBHOOKS},told_by="endpoint"}}': "+0.1"},
    ),
    Case(
        "FliqWebhookEndpointsDisabled",
        {f'fliq_webhook_endpoints_disabled_total{{{DISPATCHER},reason="failing"}}': "+1"},
        {f'fliq_webhook_endpoints_disabled_total{{{DISPATCHER},reason="gone"}}': "+1"},
    ),
    Case("FliqSchedulesMissed", at_all("fliq_schedule_missed_total", "+1")),
    Case(
        "FliqApiErrors",
        {f'fliq_http_requests_total{{{API},method="POST",route="/v1/jobs",status="503"}}': "+100"},
        {f'fliq_http_requests_total{{{API},method="POST",route="/v1/jobs",status="503"}}': "+5"},
    ),
    Case(
        "FliqLoopSlow",
        {f'fliq_loop_delay_seconds_bucket{{{API},le="0.01"}}': "+100"},
        {f'fliq_loop_delay_seconds_bucket{{{API},le="0.01"}}': "+119"},
        bad_steps=20,
    ),
    Case(
        "FliqClockSkewed",
        {f"fliq_clock_skew_seconds{{{DISPATCHER}}}": "-2"}
        | {series: "4" for series in HEALTHY if "unassigned" in series and 'role="dispatcher"' in series},
        {f"fliq_clock_skew_seconds{{{API}}}": "0.15"},
    ),
    Case(
        "FliqLogNotCarried",
        {f"fliq_log_carry_overdue_seconds{{{SCHEDULER}}}": "90000"},
        {f"fliq_log_carry_overdue_seconds{{{SCHEDULER}}}": "3600"},
    ),
    Case("FliqDiskFilling", {f"fliq_data_dir_free_bytes{{{API}}}": "4"}, {f"fliq_data_dir_free_bytes{{{API}}}": "15"}),
    Case("FliqFilesRunningOut", {f"process_open_fds{{{API}}}": "950"}, {f"process_open_fds{{{API}}}": "700"}),
]
