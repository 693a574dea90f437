"""
Models: the objects of the API. Written by `make docs` from the tables of the API. Pure.

Words such as a status are `str`, so that one that a newer Fliq adds can be read. Fields that are not known are ignored.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

__all__ = [
    "Account",
    "AccountLimits",
    "AccountToken",
    "AccountUse",
    "Activity",
    "ActivityHour",
    "ActivityJobs",
    "ActivityLateness",
    "Answered",
    "Backfill",
    "BackfillStop",
    "ComingRun",
    "CreatedJob",
    "CreatedSchedule",
    "Delivery",
    "DeliveryAttempt",
    "DeliveryDetail",
    "DeliveryList",
    "Endpoint",
    "EndpointFilter",
    "EndpointItem",
    "EndpointItemRetry",
    "EndpointItemRetryRetryAfter",
    "EndpointList",
    "EndpointRetry",
    "EndpointRetryRetryAfter",
    "Execution",
    "Executions",
    "Finding",
    "Findings",
    "Job",
    "JobItem",
    "JobItemRetry",
    "JobItemRetryRetryAfter",
    "JobItemWebhookRetry",
    "JobItemWebhookRetryRetryAfter",
    "JobList",
    "JobRetry",
    "JobRetryRetryAfter",
    "JobWaitingFor",
    "JobWebhookRetry",
    "JobWebhookRetryRetryAfter",
    "ManualRun",
    "Member",
    "NewToken",
    "Owner",
    "Partition",
    "Preview",
    "Recovery",
    "ReplayedJob",
    "Response",
    "Schedule",
    "ScheduleDst",
    "ScheduleEvery",
    "ScheduleItem",
    "ScheduleItemDst",
    "ScheduleItemEvery",
    "ScheduleItemRetry",
    "ScheduleItemRetryRetryAfter",
    "ScheduleItemSpread",
    "ScheduleItemWebhookRetry",
    "ScheduleItemWebhookRetryRetryAfter",
    "ScheduleList",
    "ScheduleRetry",
    "ScheduleRetryRetryAfter",
    "ScheduleSpread",
    "ScheduleWebhookRetry",
    "ScheduleWebhookRetryRetryAfter",
    "SentTest",
    "SigningSecret",
    "System",
    "Token",
    "TokenList",
    "WebhookPayload",
]

SECRETS = frozenset({"token", "secret", "previous_secrets", "headers", "webhook_headers"})


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """
    What every object has besides its own fields.

    Args:
        is_stale: the log could not be asked, so the object may lack what was accepted before.
        is_replayed: it was made by an earlier request with the same key.
        existing: the job had the request's `waiting_key` or `singleton_key` already, and was `kept`, `replaced` or `extended`.
        change: what a `put` did, or would do: `created`, `updated` or `unchanged`.
    """

    is_stale: bool = False
    is_replayed: bool = False
    existing: str | None = None
    change: str | None = None

    def __repr__(self) -> str:
        """Show the fields, but no secret: objects end up in logs."""
        shown = [
            f"{name}={'...' if name in SECRETS and value else repr(value)}"
            for name, value in msgspec.structs.asdict(self).items()
            if value or name not in ("is_stale", "is_replayed", "existing", "change")
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


class CreatedJob(Answered, frozen=True, kw_only=True):
    """The API's `CreatedJob`."""

    id: str
    url: str
    http_method: str
    scheduled_at: datetime
    max_retries: int
    status: str  # scheduled, running, success, failed, cancelled
    created_at: datetime


class ReplayedJob(Answered, frozen=True, kw_only=True):
    """The API's `ReplayedJob`."""

    id: str
    url: str
    http_method: str
    scheduled_at: datetime
    max_retries: int
    status: str  # scheduled, running, success, failed, cancelled
    created_at: datetime
    replay_of: str


class JobWebhookRetryRetryAfter(Answered, frozen=True, kw_only=True):
    """The API's `JobWebhookRetryRetryAfter`."""

    honour: bool
    max_seconds: float | None = None
    free: bool


class JobWebhookRetry(Answered, frozen=True, kw_only=True):
    """The API's `JobWebhookRetry`."""

    max_retries: int | None = None
    backoff: str  # exponential, fixed, linear, list
    delay_seconds: float | None = None
    factor: float | None = None
    delays_seconds: list[float] | None = None
    max_delay_seconds: float | None = None
    jitter: str  # proportional, none, full, equal
    max_elapsed_seconds: float | None = None
    retry_on: list[str | int] | None = None
    retry_after: JobWebhookRetryRetryAfter


class JobRetryRetryAfter(Answered, frozen=True, kw_only=True):
    """The API's `JobRetryRetryAfter`."""

    honour: bool
    max_seconds: float | None = None
    free: bool


class JobRetry(Answered, frozen=True, kw_only=True):
    """The API's `JobRetry`."""

    max_retries: int | None = None
    backoff: str  # exponential, fixed, linear, list
    delay_seconds: float | None = None
    factor: float | None = None
    delays_seconds: list[float] | None = None
    max_delay_seconds: float | None = None
    jitter: str  # proportional, none, full, equal
    max_elapsed_seconds: float | None = None
    retry_on: list[str | int] | None = None
    retry_after: JobRetryRetryAfter


class JobWaitingFor(Answered, frozen=True, kw_only=True):
    """The API's `JobWaitingFor`."""

    blocked_on: str  # daily_limit
    not_before: datetime


class Job(Answered, frozen=True, kw_only=True):
    """The API's `Job`."""

    id: str
    url: str
    http_method: str
    scheduled_at: datetime
    max_retries: int
    status: str  # scheduled, running, success, failed, cancelled
    created_at: datetime
    execution_count: int
    idempotency_key: str | None = None
    webhook_url: str | None = None
    schedule_id: str | None = None
    next_attempt_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    last_status_code: int | None = None
    last_error: str | None = None
    capture: str | None = None
    redact: list[str] | None = None
    webhook_retry: JobWebhookRetry | None = None
    retry: JobRetry | None = None
    success_on: list[str] | None = None
    expires_at: datetime | None = None
    waiting_key: str | None = None
    singleton_key: str | None = None
    labels: dict[str, str] | None = None
    # success, exhausted, not_retryable, stopped_by_target, expired, max_elapsed, stopped, replaced
    ended_by: str | None = None
    waiting_for: JobWaitingFor | None = None
    headers: dict[str, str] | None = None
    body: str | None = None
    webhook_headers: dict[str, str] | None = None


class JobItemWebhookRetryRetryAfter(Answered, frozen=True, kw_only=True):
    """The API's `JobItemWebhookRetryRetryAfter`."""

    honour: bool
    max_seconds: float | None = None
    free: bool


class JobItemWebhookRetry(Answered, frozen=True, kw_only=True):
    """The API's `JobItemWebhookRetry`."""

    max_retries: int | None = None
    backoff: str  # exponential, fixed, linear, list
    delay_seconds: float | None = None
    factor: float | None = None
    delays_seconds: list[float] | None = None
    max_delay_seconds: float | None = None
    jitter: str  # proportional, none, full, equal
    max_elapsed_seconds: float | None = None
    retry_on: list[str | int] | None = None
    retry_after: JobItemWebhookRetryRetryAfter


class JobItemRetryRetryAfter(Answered, frozen=True, kw_only=True):
    """The API's `JobItemRetryRetryAfter`."""

    honour: bool
    max_seconds: float | None = None
    free: bool


class JobItemRetry(Answered, frozen=True, kw_only=True):
    """The API's `JobItemRetry`."""

    max_retries: int | None = None
    backoff: str  # exponential, fixed, linear, list
    delay_seconds: float | None = None
    factor: float | None = None
    delays_seconds: list[float] | None = None
    max_delay_seconds: float | None = None
    jitter: str  # proportional, none, full, equal
    max_elapsed_seconds: float | None = None
    retry_on: list[str | int] | None = None
    retry_after: JobItemRetryRetryAfter


class JobItem(Answered, frozen=True, kw_only=True):
    """The API's `JobItem`."""

    id: str
    url: str
    http_method: str
    scheduled_at: datetime
    max_retries: int
    status: str  # scheduled, running, success, failed, cancelled
    created_at: datetime
    execution_count: int
    idempotency_key: str | None = None
    webhook_url: str | None = None
    schedule_id: str | None = None
    next_attempt_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    last_status_code: int | None = None
    last_error: str | None = None
    capture: str | None = None
    redact: list[str] | None = None
    webhook_retry: JobItemWebhookRetry | None = None
    retry: JobItemRetry | None = None
    success_on: list[str] | None = None
    expires_at: datetime | None = None
    waiting_key: str | None = None
    singleton_key: str | None = None
    labels: dict[str, str] | None = None
    # success, exhausted, not_retryable, stopped_by_target, expired, max_elapsed, stopped, replaced
    ended_by: str | None = None


class JobList(Answered, frozen=True, kw_only=True):
    """The API's `JobList`."""

    jobs: list[JobItem]
    next_cursor: str | None = None
    partial: bool | None = None


class Execution(Answered, frozen=True, kw_only=True):
    """The API's `Execution`."""

    id: str
    attempt_num: int
    status: str | None = None  # success, failed
    status_code: int | None = None
    duration_ms: int | None = None
    executed_at: datetime
    error: str | None = None
    error_detail: str | None = None
    resent: bool | None = None


class Executions(Answered, frozen=True, kw_only=True):
    """The API's `Executions`."""

    executions: list[Execution]


class Response(Answered, frozen=True, kw_only=True):
    """The API's `Response`."""

    status_code: int | None = None
    headers: dict[str, str]
    length: int
    sha256: str
    head: str | None = None
    tail: str | None = None
    truncated: bool
    redacted: int


class CreatedSchedule(Answered, frozen=True, kw_only=True):
    """The API's `CreatedSchedule`."""

    id: str
    url: str
    cron: str | None = None
    status: str  # active, paused, finished
    created_at: datetime
    next_run_at: datetime | None = None


class ScheduleEvery(Answered, frozen=True, kw_only=True):
    """The API's `ScheduleEvery`."""

    seconds: int
    anchor: datetime


class ScheduleDst(Answered, frozen=True, kw_only=True):
    """The API's `ScheduleDst`."""

    gap: str
    fold: str


class ScheduleSpread(Answered, frozen=True, kw_only=True):
    """The API's `ScheduleSpread`."""

    seconds: int
    by: str


class ScheduleRetryRetryAfter(Answered, frozen=True, kw_only=True):
    """The API's `ScheduleRetryRetryAfter`."""

    honour: bool
    max_seconds: float | None = None
    free: bool


class ScheduleRetry(Answered, frozen=True, kw_only=True):
    """The API's `ScheduleRetry`."""

    max_retries: int | None = None
    backoff: str  # exponential, fixed, linear, list
    delay_seconds: float | None = None
    factor: float | None = None
    delays_seconds: list[float] | None = None
    max_delay_seconds: float | None = None
    jitter: str  # proportional, none, full, equal
    max_elapsed_seconds: float | None = None
    retry_on: list[str | int] | None = None
    retry_after: ScheduleRetryRetryAfter


class ScheduleWebhookRetryRetryAfter(Answered, frozen=True, kw_only=True):
    """The API's `ScheduleWebhookRetryRetryAfter`."""

    honour: bool
    max_seconds: float | None = None
    free: bool


class ScheduleWebhookRetry(Answered, frozen=True, kw_only=True):
    """The API's `ScheduleWebhookRetry`."""

    max_retries: int | None = None
    backoff: str  # exponential, fixed, linear, list
    delay_seconds: float | None = None
    factor: float | None = None
    delays_seconds: list[float] | None = None
    max_delay_seconds: float | None = None
    jitter: str  # proportional, none, full, equal
    max_elapsed_seconds: float | None = None
    retry_on: list[str | int] | None = None
    retry_after: ScheduleWebhookRetryRetryAfter


class Schedule(Answered, frozen=True, kw_only=True):
    """The API's `Schedule`."""

    id: str
    url: str
    cron: str | None = None
    status: str  # active, paused, finished
    created_at: datetime
    next_run_at: datetime | None = None
    http_method: str
    max_retries: int
    timeout_seconds: int
    webhook_url: str | None = None
    last_run_at: datetime | None = None
    every: ScheduleEvery | None = None
    timezone: str | None = None
    dst: ScheduleDst | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    exclude: list[str]
    spread: ScheduleSpread | None = None
    max_runs: int | None = None
    misfire: str
    catchup_window_seconds: int | None = None
    catchup_max: int | None = None
    overlap: str
    buffer_max: int | None = None
    overlap_grace_seconds: int
    pause_after_failures: int
    next_tick_at: datetime | None = None
    run_count: int | None = None
    missed_count: int | None = None
    skipped_count: int | None = None
    failures_in_row: int | None = None
    active_jobs: list[str]
    overlap_grace_until: datetime | None = None
    buffered: list[datetime]
    zone_data: str | None = None
    version: int
    key: str | None = None
    paused_until: datetime | None = None
    note: str | None = None
    retry: ScheduleRetry | None = None
    success_on: list[str]
    expires_in_seconds: float | None = None
    webhook_retry: ScheduleWebhookRetry | None = None
    labels: dict[str, str] | None = None
    capture: str | None = None
    redact: list[str] | None = None
    headers: dict[str, str] | None = None
    body: str | None = None
    webhook_headers: dict[str, str] | None = None
    warning: str | None = None  # slower_than_interval


class ScheduleItemEvery(Answered, frozen=True, kw_only=True):
    """The API's `ScheduleItemEvery`."""

    seconds: int
    anchor: datetime


class ScheduleItemDst(Answered, frozen=True, kw_only=True):
    """The API's `ScheduleItemDst`."""

    gap: str
    fold: str


class ScheduleItemSpread(Answered, frozen=True, kw_only=True):
    """The API's `ScheduleItemSpread`."""

    seconds: int
    by: str


class ScheduleItemRetryRetryAfter(Answered, frozen=True, kw_only=True):
    """The API's `ScheduleItemRetryRetryAfter`."""

    honour: bool
    max_seconds: float | None = None
    free: bool


class ScheduleItemRetry(Answered, frozen=True, kw_only=True):
    """The API's `ScheduleItemRetry`."""

    max_retries: int | None = None
    backoff: str  # exponential, fixed, linear, list
    delay_seconds: float | None = None
    factor: float | None = None
    delays_seconds: list[float] | None = None
    max_delay_seconds: float | None = None
    jitter: str  # proportional, none, full, equal
    max_elapsed_seconds: float | None = None
    retry_on: list[str | int] | None = None
    retry_after: ScheduleItemRetryRetryAfter


class ScheduleItemWebhookRetryRetryAfter(Answered, frozen=True, kw_only=True):
    """The API's `ScheduleItemWebhookRetryRetryAfter`."""

    honour: bool
    max_seconds: float | None = None
    free: bool


class ScheduleItemWebhookRetry(Answered, frozen=True, kw_only=True):
    """The API's `ScheduleItemWebhookRetry`."""

    max_retries: int | None = None
    backoff: str  # exponential, fixed, linear, list
    delay_seconds: float | None = None
    factor: float | None = None
    delays_seconds: list[float] | None = None
    max_delay_seconds: float | None = None
    jitter: str  # proportional, none, full, equal
    max_elapsed_seconds: float | None = None
    retry_on: list[str | int] | None = None
    retry_after: ScheduleItemWebhookRetryRetryAfter


class ScheduleItem(Answered, frozen=True, kw_only=True):
    """The API's `ScheduleItem`."""

    id: str
    url: str
    cron: str | None = None
    status: str  # active, paused, finished
    created_at: datetime
    next_run_at: datetime | None = None
    http_method: str
    max_retries: int
    timeout_seconds: int
    webhook_url: str | None = None
    last_run_at: datetime | None = None
    every: ScheduleItemEvery | None = None
    timezone: str | None = None
    dst: ScheduleItemDst | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    exclude: list[str]
    spread: ScheduleItemSpread | None = None
    max_runs: int | None = None
    misfire: str
    catchup_window_seconds: int | None = None
    catchup_max: int | None = None
    overlap: str
    buffer_max: int | None = None
    overlap_grace_seconds: int
    pause_after_failures: int
    next_tick_at: datetime | None = None
    run_count: int | None = None
    missed_count: int | None = None
    skipped_count: int | None = None
    failures_in_row: int | None = None
    active_jobs: list[str]
    overlap_grace_until: datetime | None = None
    buffered: list[datetime]
    zone_data: str | None = None
    version: int
    key: str | None = None
    paused_until: datetime | None = None
    note: str | None = None
    retry: ScheduleItemRetry | None = None
    success_on: list[str]
    expires_in_seconds: float | None = None
    webhook_retry: ScheduleItemWebhookRetry | None = None
    labels: dict[str, str] | None = None
    capture: str | None = None
    redact: list[str] | None = None


class ScheduleList(Answered, frozen=True, kw_only=True):
    """The API's `ScheduleList`."""

    schedules: list[ScheduleItem]
    next_cursor: str | None = None
    partial: bool | None = None


class ManualRun(Answered, frozen=True, kw_only=True):
    """The API's `ManualRun`."""

    id: str
    url: str
    http_method: str
    scheduled_at: datetime
    max_retries: int
    status: str  # scheduled, running, success, failed, cancelled
    created_at: datetime
    schedule_id: str


class Backfill(Answered, frozen=True, kw_only=True):
    """The API's `Backfill`."""

    schedule_id: str
    version: int
    dry_run: bool
    ticks: int
    ran: int
    jobs: int
    first_call_at: datetime | None = None
    last_call_at: datetime | None = None


class BackfillStop(Answered, frozen=True, kw_only=True):
    """The API's `BackfillStop`."""

    schedule_id: str
    jobs: int


class ComingRun(Answered, frozen=True, kw_only=True):
    """The API's `ComingRun`."""

    at: datetime
    tick_at: datetime
    local: str
    nominal_local: str
    note: str | None = None  # gap, fold


class Preview(Answered, frozen=True, kw_only=True):
    """The API's `Preview`."""

    runs: list[ComingRun]
    text: str
    zone_data: str | None = None
    warnings: list[str]


class EndpointFilter(Answered, frozen=True, kw_only=True):
    """The API's `EndpointFilter`."""

    schedule_ids: list[str] | None = None
    labels: list[str] | None = None
    hosts: list[str] | None = None
    status_codes: list[int] | None = None


class EndpointRetryRetryAfter(Answered, frozen=True, kw_only=True):
    """The API's `EndpointRetryRetryAfter`."""

    honour: bool
    max_seconds: float | None = None
    free: bool


class EndpointRetry(Answered, frozen=True, kw_only=True):
    """The API's `EndpointRetry`."""

    max_retries: int | None = None
    backoff: str  # exponential, fixed, linear, list
    delay_seconds: float | None = None
    factor: float | None = None
    delays_seconds: list[float] | None = None
    max_delay_seconds: float | None = None
    jitter: str  # proportional, none, full, equal
    max_elapsed_seconds: float | None = None
    retry_on: list[str | int] | None = None
    retry_after: EndpointRetryRetryAfter


class Endpoint(Answered, frozen=True, kw_only=True):
    """The API's `Endpoint`."""

    id: str
    url: str
    events: list[str]
    filter: EndpointFilter | None = None
    format: str  # standard, flat, cloudevents
    description: str
    include_response: bool
    ordering: str  # none, job
    disabled: bool
    retry: EndpointRetry
    disabled_reason: str | None = None  # requested, gone, failing
    created_at: datetime
    changed_at: datetime
    version: int
    headers: dict[str, str] | None = None


class Delivery(Answered, frozen=True, kw_only=True):
    """The API's `Delivery`."""

    id: str
    endpoint_id: str | None = None
    event: str
    job_id: str | None = None
    url: str | None = None
    status: str  # pending, delivered, exhausted, dropped
    attempt_count: int
    last_status_code: int | None = None
    last_error: str | None = None
    created_at: datetime
    next_attempt_at: datetime | None = None
    ended_at: datetime | None = None


class DeliveryList(Answered, frozen=True, kw_only=True):
    """The API's `DeliveryList`."""

    deliveries: list[Delivery]
    next_cursor: str | None = None
    partial: bool | None = None


class DeliveryAttempt(Answered, frozen=True, kw_only=True):
    """The API's `DeliveryAttempt`."""

    is_redelivery: bool
    status: str | None = None  # success, failed
    status_code: int | None = None
    error: str | None = None
    duration_ms: int | None = None
    executed_at: datetime


class DeliveryDetail(Answered, frozen=True, kw_only=True):
    """The API's `DeliveryDetail`."""

    id: str
    endpoint_id: str | None = None
    event: str
    job_id: str | None = None
    url: str | None = None
    status: str  # pending, delivered, exhausted, dropped
    attempt_count: int
    last_status_code: int | None = None
    last_error: str | None = None
    created_at: datetime
    next_attempt_at: datetime | None = None
    ended_at: datetime | None = None
    attempts: list[DeliveryAttempt]
    body: str | None = None


class Recovery(Answered, frozen=True, kw_only=True):
    """The API's `Recovery`."""

    endpoint_id: str
    status: str  # running, completed, stopped
    since: datetime
    until: datetime
    recovered_count: int
    created_at: datetime
    ended_at: datetime | None = None


class SentTest(Answered, frozen=True, kw_only=True):
    """The API's `SentTest`."""

    delivery_id: str


class EndpointItemRetryRetryAfter(Answered, frozen=True, kw_only=True):
    """The API's `EndpointItemRetryRetryAfter`."""

    honour: bool
    max_seconds: float | None = None
    free: bool


class EndpointItemRetry(Answered, frozen=True, kw_only=True):
    """The API's `EndpointItemRetry`."""

    max_retries: int | None = None
    backoff: str  # exponential, fixed, linear, list
    delay_seconds: float | None = None
    factor: float | None = None
    delays_seconds: list[float] | None = None
    max_delay_seconds: float | None = None
    jitter: str  # proportional, none, full, equal
    max_elapsed_seconds: float | None = None
    retry_on: list[str | int] | None = None
    retry_after: EndpointItemRetryRetryAfter


class EndpointItem(Answered, frozen=True, kw_only=True):
    """The API's `EndpointItem`."""

    id: str
    url: str
    events: list[str]
    filter: EndpointFilter | None = None
    format: str  # standard, flat, cloudevents
    description: str
    include_response: bool
    ordering: str  # none, job
    disabled: bool
    retry: EndpointItemRetry
    disabled_reason: str | None = None  # requested, gone, failing
    created_at: datetime
    changed_at: datetime
    version: int


class EndpointList(Answered, frozen=True, kw_only=True):
    """The API's `EndpointList`."""

    endpoints: list[EndpointItem]


class AccountLimits(Answered, frozen=True, kw_only=True):
    """The API's `AccountLimits`."""

    requests_per_second: int | None = None
    connections: int | None = None
    waiting_jobs: int | None = None
    stored_bytes: int | None = None
    calls_per_second: int | None = None
    executions_per_day: int | None = None


class AccountUse(Answered, frozen=True, kw_only=True):
    """The API's `AccountUse`."""

    executions_today: int
    waiting_jobs: int | None = None
    stored_bytes: int | None = None


class AccountToken(Answered, frozen=True, kw_only=True):
    """The API's `AccountToken`."""

    id: str
    scopes: list[str]


class Account(Answered, frozen=True, kw_only=True):
    """The API's `Account`."""

    account: str
    limits: AccountLimits
    use: AccountUse
    token: AccountToken


class ActivityHour(Answered, frozen=True, kw_only=True):
    """The API's `ActivityHour`."""

    at: datetime
    success: int
    failed: int
    cancelled: int


class ActivityLateness(Answered, frozen=True, kw_only=True):
    """The API's `ActivityLateness`."""

    calls: int
    p50_ms: int
    p99_ms: int
    max_ms: int


class ActivityJobs(Answered, frozen=True, kw_only=True):
    """The API's `ActivityJobs`."""

    scheduled: int
    running: int
    success: int
    failed: int
    cancelled: int


class Activity(Answered, frozen=True, kw_only=True):
    """The API's `Activity`."""

    hours: list[ActivityHour]
    due: int
    oldest_due_at: datetime | None = None
    lateness: ActivityLateness | None = None
    partial: bool
    jobs: ActivityJobs


class Owner(Answered, frozen=True, kw_only=True):
    """The API's `Owner`."""

    role: str
    node: str | None = None


class Partition(Answered, frozen=True, kw_only=True):
    """The API's `Partition`."""

    partition: int
    end: int | None = None
    lag: int | None = None
    owners: list[Owner]


class Member(Answered, frozen=True, kw_only=True):
    """The API's `Member`."""

    node: str
    role: str
    version: str | None = None
    live: bool
    draining: bool
    partitions: int
    seen_seconds: float


class System(Answered, frozen=True, kw_only=True):
    """The API's `System`."""

    version: str
    partitions: list[Partition]
    members: list[Member]


class Finding(Answered, frozen=True, kw_only=True):
    """The API's `Finding`."""

    check: str
    state: str  # ok, warning, wrong
    text: str
    advice: str | None = None


class Findings(Answered, frozen=True, kw_only=True):
    """The API's `Findings`."""

    findings: list[Finding]


class NewToken(Answered, frozen=True, kw_only=True):
    """The API's `NewToken`."""

    id: str
    name: str
    # operator, read, read:jobs, read:payloads, read:secrets, read:tokens, read:webhooks, write, write:jobs,
    # write:payloads, write:secrets, write:tokens, write:webhooks
    scopes: list[str]
    last_four: str
    created_at: datetime
    expires_at: datetime | None = None
    parent: str | None = None
    token: str


class Token(Answered, frozen=True, kw_only=True):
    """The API's `Token`."""

    id: str
    name: str
    # operator, read, read:jobs, read:payloads, read:secrets, read:tokens, read:webhooks, write, write:jobs,
    # write:payloads, write:secrets, write:tokens, write:webhooks
    scopes: list[str]
    last_four: str
    created_at: datetime
    expires_at: datetime | None = None
    parent: str | None = None


class TokenList(Answered, frozen=True, kw_only=True):
    """The API's `TokenList`."""

    tokens: list[Token]


class SigningSecret(Answered, frozen=True, kw_only=True):
    """The API's `SigningSecret`."""

    secret: str
    previous_secrets: list[str]


class WebhookPayload(Answered, frozen=True, kw_only=True):
    """The API's `WebhookPayload`."""

    job_id: str
    status: str  # completed, failed, cancelled
    status_code: int | None = None
    last_error: str | None = None
    completed_at: datetime
    attempt_num: int
