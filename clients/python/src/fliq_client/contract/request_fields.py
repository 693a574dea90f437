"""Request fields: what a request may ask for, by the API's names. Written by `make docs` from the tables of the API. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Required, TypedDict

__all__ = [
    "BackfillFields",
    "EndpointChange",
    "EndpointChangeFields",
    "EndpointFields",
    "EndpointRequest",
    "JobFields",
    "JobPatch",
    "JobPatchFields",
    "JobRequest",
    "PauseFields",
    "PreviewFields",
    "RecoveryFields",
    "ResumeFields",
    "RotationFields",
    "RunFields",
    "ScheduleFields",
    "SchedulePatch",
    "SchedulePatchFields",
    "ScheduleRequest",
    "TokenFields",
]


class BackfillFields(TypedDict, total=False):
    """What BackfillRequest may have."""

    # ticks from this instant on, which is in the past
    since: Required[datetime]
    # and before this one, also in the past; at most 1,000 ticks
    before: Required[datetime]
    # a tick that has a job already gets none (`skip`), or another one (`rerun`)
    existing: Literal["skip", "rerun"]
    # seconds between two calls, 0.1–3,600
    pace_seconds: float
    # only say how many jobs there would be
    dry_run: bool


class EndpointChangeFields(TypedDict, total=False):
    """What EndpointChange may have."""

    # a list of one or more of `job.completed`, `job.failed`, `job.cancelled`, `attempt.failed`, `attempt.finished`,
    # `schedule.missed`, `schedule.skipped`, `schedule.autopaused`, `endpoint.disabled`, `*`
    events: Sequence[
        Literal[
            "job.completed",
            "job.failed",
            "job.cancelled",
            "attempt.failed",
            "attempt.finished",
            "schedule.missed",
            "schedule.skipped",
            "schedule.autopaused",
            "endpoint.disabled",
            "*",
        ]
    ] | None
    # object with some of `schedule_ids`, `labels` (each `name:value`), `hosts` (of the job's `url`, without port) and
    # `status_codes`, each a list of 1 to 20 values: an event of a job is sent only if each of these lists has the job's
    # value, and `labels` has one for each name in it
    filter: Mapping[str, Any] | None
    # `standard`, `flat` or `cloudevents`, see below
    format: Literal["standard", "flat", "cloudevents"] | None
    # as the `headers` of a job; `Content-Type` is that of the format
    headers: Mapping[str, str] | None
    # object that says when and how often an event is sent again that was not taken, as a retry policy of at most 20
    # retries in 7 days; by default after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h and 10 h
    retry: Mapping[str, Any] | None
    # your own words, at most 200 printable characters
    description: str | None
    # `true` sends with each event of an attempt, or of the end of a job, as `response` what was kept of the target's
    # answer; needs the scope `read:payloads`
    include_response: bool | None
    # `job` sends the events of one job one after the other, in the order in which they happened: a later one waits
    # while an earlier one is pending; `none` sends each at once
    ordering: Literal["none", "job"] | None
    # `true` sends nothing until it is `false` again; Fliq sets it when the endpoint takes nothing
    disabled: bool | None


class EndpointChange(EndpointChangeFields, total=False):
    """The whole of EndpointChange."""

    # where events are sent, as the `url` of a job
    url: str


class EndpointFields(TypedDict, total=False):
    """What EndpointRequest may have."""

    # a list of one or more of `job.completed`, `job.failed`, `job.cancelled`, `attempt.failed`, `attempt.finished`,
    # `schedule.missed`, `schedule.skipped`, `schedule.autopaused`, `endpoint.disabled`, `*`
    events: Sequence[
        Literal[
            "job.completed",
            "job.failed",
            "job.cancelled",
            "attempt.failed",
            "attempt.finished",
            "schedule.missed",
            "schedule.skipped",
            "schedule.autopaused",
            "endpoint.disabled",
            "*",
        ]
    ]
    # object with some of `schedule_ids`, `labels` (each `name:value`), `hosts` (of the job's `url`, without port) and
    # `status_codes`, each a list of 1 to 20 values: an event of a job is sent only if each of these lists has the job's
    # value, and `labels` has one for each name in it
    filter: Mapping[str, Any] | None
    # `standard`, `flat` or `cloudevents`, see below
    format: Literal["standard", "flat", "cloudevents"]
    # as the `headers` of a job; `Content-Type` is that of the format
    headers: Mapping[str, str] | None
    # object that says when and how often an event is sent again that was not taken, as a retry policy of at most 20
    # retries in 7 days; by default after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h and 10 h
    retry: Mapping[str, Any] | None
    # your own words, at most 200 printable characters
    description: str
    # `true` sends with each event of an attempt, or of the end of a job, as `response` what was kept of the target's
    # answer; needs the scope `read:payloads`
    include_response: bool
    # `job` sends the events of one job one after the other, in the order in which they happened: a later one waits
    # while an earlier one is pending; `none` sends each at once
    ordering: Literal["none", "job"]
    # `true` sends nothing until it is `false` again; Fliq sets it when the endpoint takes nothing
    disabled: bool


class EndpointRequest(EndpointFields, total=False):
    """The whole of EndpointRequest."""

    # where events are sent, as the `url` of a job
    url: Required[str]


class JobPatchFields(TypedDict, total=False):
    """What JobPatch may have."""

    http_method: Literal["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"] | None
    headers: Mapping[str, str] | None
    body: str | None
    timeout_seconds: int | None
    webhook_url: str | None
    webhook_headers: Mapping[str, str] | None
    webhook_retry: Mapping[str, Any] | None
    capture: Literal["none", "on_failure", "always"] | None
    redact: Sequence[str] | None
    delay_seconds: float | None
    max_retries: int | None
    retry: Mapping[str, Any] | None
    success_on: Sequence[Literal["2xx", "3xx", "4xx", "5xx"] | int | str] | None
    expires_at: datetime | None
    expires_in_seconds: float | None


class JobPatch(JobPatchFields, total=False):
    """The whole of JobPatch."""

    url: str | None
    scheduled_at: datetime | None


class JobFields(TypedDict, total=False):
    """What JobRequest may have."""

    # `GET` `POST` `PUT` `PATCH` `DELETE` `HEAD` `OPTIONS`, in any letter case
    http_method: Literal["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]
    # object of strings: at most 50, names to 128 bytes, values to 4,096, 16,384 in all, printable ASCII; `X-Fliq-*`,
    # `webhook-*` and those of the connection are reserved
    headers: Mapping[str, str] | None
    # string, sent as UTF-8, at most 256 KiB; not with `GET` and `HEAD`
    body: str | None
    # integer 1–3600, for one attempt in all
    timeout_seconds: int
    # as `url`; called once when the job ends, see webhooks
    webhook_url: str | None
    # as `headers`
    webhook_headers: Mapping[str, str] | None
    # object like `retry`, of at most 20 retries in 7 days: a webhook that fails is sent again, see webhooks
    webhook_retry: Mapping[str, Any] | None
    # of which attempts the answer of the target is kept: `none`, `on_failure` or `always`; by default as the operator
    # says (`FLIQ_CAPTURE`), see answers of targets
    capture: Literal["none", "on_failure", "always"] | None
    # at most 20 names whose values are taken out of answers before these are kept, such as `password`: of JSON at any
    # depth, and of forms; 1–64 printable characters, in any letter case
    redact: Sequence[str] | None
    # 0.001–315,576,000; instead of `scheduled_at`, counted from the instant at which the API took the request
    delay_seconds: float
    # integer 0–20; a job has at most `max_retries + 1` attempts, see retries
    max_retries: int
    # object that says when and how often a failed attempt is tried again, see retry policy
    retry: Mapping[str, Any] | None
    # 1–20 of `2xx`, `3xx`, `4xx`, `5xx` and statuses of three digits; the answers that count as success, `["2xx"]` if
    # left out; all others are failures
    success_on: Sequence[Literal["2xx", "3xx", "4xx", "5xx"] | int | str] | None
    # an instant after `scheduled_at`: no attempt starts at or after it, see expiry
    expires_at: datetime | None
    # 1–31,536,000; the same, counted from the job's instant
    expires_in_seconds: float | None
    # 1–255 printable characters: of the account's jobs with this key at most one waits for its first attempt, see keys
    # of jobs
    waiting_key: str | None
    # `keep`, `replace` or `extend`: what becomes of the job that waits already; `keep` if left out
    on_waiting: Literal["keep", "replace", "extend"]
    # 1–31,536,000; with `extend`: no instant is moved further than this beyond the job's creation
    max_wait_seconds: float
    # 1–255 printable characters: of the account's jobs with this key at most one has not ended
    singleton_key: str | None
    # object of up to 16 names with values, by which lists find it again, see labels: names of 1–63 of the characters
    # `a-z 0-9 . _ / -`, the first a letter or digit, values of 1–128 printable characters; no secrets; names that begin
    # with `fliq.` are reserved, but for `fliq.owner`
    labels: Mapping[str, str] | None


class JobRequest(JobFields, total=False):
    """The whole of JobRequest."""

    # absolute `http` or `https` URL of at most 2,048 characters, without user info or fragment; its host must be
    # public, unless the operator allows others (`FLIQ_EGRESS_ALLOW`); judged again when it is called; stored normalised
    url: Required[str]
    # an instant in the future, up to the end of the year 9999; finer than a millisecond it is rounded up; or give
    # `delay_seconds`
    scheduled_at: datetime
    # 1–255 printable characters, see idempotency
    idempotency_key: str | None


class PauseFields(TypedDict, total=False):
    """What PauseRequest may have."""

    # 1–500 characters, for people: why
    note: str | None
    # the schedule goes on by itself at this instant, which is in the future and within ten years
    until: datetime | None


class PreviewFields(TypedDict, total=False):
    """What PreviewRequest may have."""

    # five fields: minute, hour, day of month, month, day of week; or a shorthand such as `@daily`; `CRON_TZ=Zone ` may
    # stand before them. Either `cron` or `every` is required
    cron: str | None
    # instead of `cron`: `{"seconds": 300, "anchor": instant}`, 1–31,536,000 s of elapsed time; the anchor is one of the
    # ticks, by default the second in which the schedule is created
    every: Mapping[str, Any] | None
    # whose wall clock `cron` speaks of: a name of the IANA time zones, such as `Europe/Berlin`; by default UTC
    timezone: str | None
    # what a cron at fixed times does when clocks change: `{"gap": "shift" or "skip", "fold": "first" or "both"}`; by
    # default `shift` and `first`; see clock changes
    dst: Mapping[str, Any] | None
    # no tick before this instant
    starts_at: datetime | None
    # no tick after this instant, which is in the future
    ends_at: datetime | None
    # at most 366 dates without ticks, `2026-12-24` or `2026-12-24/2026-12-26`, in the time zone
    exclude: Sequence[str] | None
    # calls are made up to so much later than their ticks: `{"seconds": 1–86,400, "by": "schedule"}` by the same delay
    # at each tick, `run` by another one; at the latest a second before the next tick
    spread: Mapping[str, Any] | None
    # how many runs to show, 1–100
    count: int
    # show the runs after this instant; by default now
    after: datetime | None


class RecoveryFields(TypedDict, total=False):
    """What RecoveryRequest may have."""

    # events from this instant on are sent again
    since: Required[datetime]
    # events before this instant; by default now
    until: datetime | None


class ResumeFields(TypedDict, total=False):
    """What ResumeRequest may have."""

    # the ticks since the last one that was decided, mostly those of the pause, are late ticks: `misfire` says which of
    # them are made up for
    catch_up: bool


class RotationFields(TypedDict, total=False):
    """What RotationRequest may have."""

    # integer 0–604800: for so long the secret before signs as well
    overlap_seconds: int


class RunFields(TypedDict, total=False):
    """What RunRequest may have."""

    # the body of this run, instead of that of the schedule
    body: str | None
    # the headers of this run, instead of those of the schedule
    headers: Mapping[str, str] | None


class SchedulePatchFields(TypedDict, total=False):
    """What SchedulePatch may have."""

    # `GET` `POST` `PUT` `PATCH` `DELETE` `HEAD` `OPTIONS`, in any letter case
    http_method: Literal["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]
    # object of strings: at most 50, names to 128 bytes, values to 4,096, 16,384 in all, printable ASCII; `X-Fliq-*`,
    # `webhook-*` and those of the connection are reserved
    headers: Mapping[str, str] | None
    # string, sent as UTF-8, at most 256 KiB; not with `GET` and `HEAD`
    body: str | None
    # integer 1–3600, for one attempt in all
    timeout_seconds: int
    # as `url`; called once when the job ends, see webhooks
    webhook_url: str | None
    # as `headers`
    webhook_headers: Mapping[str, str] | None
    # object like `retry`, of at most 20 retries in 7 days: a webhook that fails is sent again, see webhooks
    webhook_retry: Mapping[str, Any] | None
    # of which attempts the answer of the target is kept: `none`, `on_failure` or `always`; by default as the operator
    # says (`FLIQ_CAPTURE`), see answers of targets
    capture: Literal["none", "on_failure", "always"] | None
    # at most 20 names whose values are taken out of answers before these are kept, such as `password`: of JSON at any
    # depth, and of forms; 1–64 printable characters, in any letter case
    redact: Sequence[str] | None
    # five fields: minute, hour, day of month, month, day of week; or a shorthand such as `@daily`; `CRON_TZ=Zone ` may
    # stand before them. Either `cron` or `every` is required
    cron: str | None
    # instead of `cron`: `{"seconds": 300, "anchor": instant}`, 1–31,536,000 s of elapsed time; the anchor is one of the
    # ticks, by default the second in which the schedule is created
    every: Mapping[str, Any] | None
    # whose wall clock `cron` speaks of: a name of the IANA time zones, such as `Europe/Berlin`; by default UTC
    timezone: str | None
    # what a cron at fixed times does when clocks change: `{"gap": "shift" or "skip", "fold": "first" or "both"}`; by
    # default `shift` and `first`; see clock changes
    dst: Mapping[str, Any] | None
    # no tick before this instant
    starts_at: datetime | None
    # no tick after this instant, which is in the future
    ends_at: datetime | None
    # at most 366 dates without ticks, `2026-12-24` or `2026-12-24/2026-12-26`, in the time zone
    exclude: Sequence[str] | None
    # calls are made up to so much later than their ticks: `{"seconds": 1–86,400, "by": "schedule"}` by the same delay
    # at each tick, `run` by another one; at the latest a second before the next tick
    spread: Mapping[str, Any] | None
    # integer 1–1,000,000,000; the schedule is finished with this many ticks
    max_runs: int | None
    # what becomes of ticks that are more than a minute late, as after an outage: `fire_once` makes up for the latest,
    # `skip` for none, `fire_all` for all of them; by default `fire_once`
    misfire: Literal["skip", "fire_once", "fire_all"] | None
    # ticks older than this are not made up for, 60–31,536,000; not with `skip`; by default no limit with `fire_once`,
    # 86,400 with `fire_all`
    catchup_window_seconds: int | None
    # of ticks older than that at most so many, the newest, 1–500; only with `fire_all`; by default 100
    catchup_max: int | None
    # what becomes of a tick while a run is under way: `allow` runs both, `skip` leaves the tick out, `buffer_one` lets
    # the latest such tick wait, `buffer_all` up to `buffer_max`, `replace` stops the run and takes its place; by
    # default `allow`; see when runs overlap
    overlap: Literal["allow", "skip", "buffer_one", "buffer_all", "replace"] | None
    # ticks that may wait, 1–100; only with `buffer_all`; by default 10
    buffer_max: int | None
    # a run whose last call timed out counts as under way for so many seconds more, 0–3,600; only with `skip`,
    # `buffer_one` and `buffer_all`; by default 0
    overlap_grace_seconds: int | None
    # the schedule pauses itself after so many failed runs in a row, retries used up, 0–100; by default 0: never
    pause_after_failures: int | None
    # integer 0–20; a job has at most `max_retries + 1` attempts, see retries
    max_retries: int
    # object that says when and how often a failed attempt is tried again, see retry policy
    retry: Mapping[str, Any] | None
    # 1–20 of `2xx`, `3xx`, `4xx`, `5xx` and statuses of three digits; the answers that count as success, `["2xx"]` if
    # left out; all others are failures
    success_on: Sequence[Literal["2xx", "3xx", "4xx", "5xx"] | int | str] | None
    # 1–31,536,000; the same, counted from the job's instant
    expires_in_seconds: float | None
    # object of up to 16 names with values, by which lists find it again, see labels: names of 1–63 of the characters
    # `a-z 0-9 . _ / -`, the first a letter or digit, values of 1–128 printable characters; no secrets; names that begin
    # with `fliq.` are reserved, but for `fliq.owner`
    labels: Mapping[str, str] | None


class SchedulePatch(SchedulePatchFields, total=False):
    """The whole of SchedulePatch."""

    # absolute `http` or `https` URL of at most 2,048 characters, without user info or fragment; its host must be
    # public, unless the operator allows others (`FLIQ_EGRESS_ALLOW`); judged again when it is called; stored normalised
    url: str


class ScheduleFields(TypedDict, total=False):
    """What ScheduleRequest may have."""

    # `GET` `POST` `PUT` `PATCH` `DELETE` `HEAD` `OPTIONS`, in any letter case
    http_method: Literal["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]
    # object of strings: at most 50, names to 128 bytes, values to 4,096, 16,384 in all, printable ASCII; `X-Fliq-*`,
    # `webhook-*` and those of the connection are reserved
    headers: Mapping[str, str] | None
    # string, sent as UTF-8, at most 256 KiB; not with `GET` and `HEAD`
    body: str | None
    # integer 1–3600, for one attempt in all
    timeout_seconds: int
    # as `url`; called once when the job ends, see webhooks
    webhook_url: str | None
    # as `headers`
    webhook_headers: Mapping[str, str] | None
    # object like `retry`, of at most 20 retries in 7 days: a webhook that fails is sent again, see webhooks
    webhook_retry: Mapping[str, Any] | None
    # of which attempts the answer of the target is kept: `none`, `on_failure` or `always`; by default as the operator
    # says (`FLIQ_CAPTURE`), see answers of targets
    capture: Literal["none", "on_failure", "always"] | None
    # at most 20 names whose values are taken out of answers before these are kept, such as `password`: of JSON at any
    # depth, and of forms; 1–64 printable characters, in any letter case
    redact: Sequence[str] | None
    # five fields: minute, hour, day of month, month, day of week; or a shorthand such as `@daily`; `CRON_TZ=Zone ` may
    # stand before them. Either `cron` or `every` is required
    cron: str | None
    # instead of `cron`: `{"seconds": 300, "anchor": instant}`, 1–31,536,000 s of elapsed time; the anchor is one of the
    # ticks, by default the second in which the schedule is created
    every: Mapping[str, Any] | None
    # whose wall clock `cron` speaks of: a name of the IANA time zones, such as `Europe/Berlin`; by default UTC
    timezone: str | None
    # what a cron at fixed times does when clocks change: `{"gap": "shift" or "skip", "fold": "first" or "both"}`; by
    # default `shift` and `first`; see clock changes
    dst: Mapping[str, Any] | None
    # no tick before this instant
    starts_at: datetime | None
    # no tick after this instant, which is in the future
    ends_at: datetime | None
    # at most 366 dates without ticks, `2026-12-24` or `2026-12-24/2026-12-26`, in the time zone
    exclude: Sequence[str] | None
    # calls are made up to so much later than their ticks: `{"seconds": 1–86,400, "by": "schedule"}` by the same delay
    # at each tick, `run` by another one; at the latest a second before the next tick
    spread: Mapping[str, Any] | None
    # integer 1–1,000,000,000; the schedule is finished with this many ticks
    max_runs: int | None
    # what becomes of ticks that are more than a minute late, as after an outage: `fire_once` makes up for the latest,
    # `skip` for none, `fire_all` for all of them; by default `fire_once`
    misfire: Literal["skip", "fire_once", "fire_all"] | None
    # ticks older than this are not made up for, 60–31,536,000; not with `skip`; by default no limit with `fire_once`,
    # 86,400 with `fire_all`
    catchup_window_seconds: int | None
    # of ticks older than that at most so many, the newest, 1–500; only with `fire_all`; by default 100
    catchup_max: int | None
    # what becomes of a tick while a run is under way: `allow` runs both, `skip` leaves the tick out, `buffer_one` lets
    # the latest such tick wait, `buffer_all` up to `buffer_max`, `replace` stops the run and takes its place; by
    # default `allow`; see when runs overlap
    overlap: Literal["allow", "skip", "buffer_one", "buffer_all", "replace"] | None
    # ticks that may wait, 1–100; only with `buffer_all`; by default 10
    buffer_max: int | None
    # a run whose last call timed out counts as under way for so many seconds more, 0–3,600; only with `skip`,
    # `buffer_one` and `buffer_all`; by default 0
    overlap_grace_seconds: int | None
    # the schedule pauses itself after so many failed runs in a row, retries used up, 0–100; by default 0: never
    pause_after_failures: int | None
    # integer 0–20; a job has at most `max_retries + 1` attempts, see retries
    max_retries: int
    # object that says when and how often a failed attempt is tried again, see retry policy
    retry: Mapping[str, Any] | None
    # 1–20 of `2xx`, `3xx`, `4xx`, `5xx` and statuses of three digits; the answers that count as success, `["2xx"]` if
    # left out; all others are failures
    success_on: Sequence[Literal["2xx", "3xx", "4xx", "5xx"] | int | str] | None
    # 1–31,536,000; the same, counted from the job's instant
    expires_in_seconds: float | None
    # object of up to 16 names with values, by which lists find it again, see labels: names of 1–63 of the characters
    # `a-z 0-9 . _ / -`, the first a letter or digit, values of 1–128 printable characters; no secrets; names that begin
    # with `fliq.` are reserved, but for `fliq.owner`
    labels: Mapping[str, str] | None


class ScheduleRequest(ScheduleFields, total=False):
    """The whole of ScheduleRequest."""

    # absolute `http` or `https` URL of at most 2,048 characters, without user info or fragment; its host must be
    # public, unless the operator allows others (`FLIQ_EGRESS_ALLOW`); judged again when it is called; stored normalised
    url: Required[str]
    # 1–128 of the characters `A-Z a-z 0-9 . _ ~ -`: a name of your own, of which one schedule lives at a time; with
    # `PUT` it stands in the path
    key: str | None


class TokenFields(TypedDict, total=False):
    """What TokenRequest may have."""

    # 1–100 printable characters
    name: str
    # some of the scopes; a token cannot give what it lacks
    scopes: Sequence[
        Literal[
            "operator",
            "read",
            "read:jobs",
            "read:payloads",
            "read:secrets",
            "read:tokens",
            "read:webhooks",
            "write",
            "write:jobs",
            "write:payloads",
            "write:secrets",
            "write:tokens",
            "write:webhooks",
        ]
    ]
    # an instant in the future, at most ten years ahead, not after the end of the token that asks, which is the default
    expires_at: datetime | None
