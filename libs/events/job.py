"""
The events of a job: from being asked for to its end.

    job.scheduled -> attempt.due -> attempt.finished -> job.retry_scheduled -> attempt.due -> ... -> job.finished
    job.scheduled -> job.cancel_requested -> job.cancelled
    job.scheduled -> job.change_requested -> job.changed | job.change_refused -> attempt.due
    job.scheduled -> job.merge_requested -> job.merged -> attempt.due
    ... -> job.stop_requested -> job.finished, or job.cancelled before the first attempt
"""

from typing import Literal

import msgspec

from libs.events.fields import (
    TEXT_MAX,
    Account,
    AttemptCount,
    AttemptNum,
    DurationMs,
    ExecutionId,
    Instant,
    JobId,
    Labels,
    Retries,
    ScheduleId,
    StatusCode,
    Text,
    Trigger,
    Version,
)
from libs.events.retry_policy import EndedBy, Outcome, RetryPolicy, StatusClasses, StopReason

MergeHow = Literal["replace", "extend"]
CaptureWhen = Literal["none", "on_failure", "always"]


class Sealed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    The secrets of a spec, encrypted (libs/sealing). The body comes last: the database cuts it off without reading it.

    Args:
        key: the id of the data key.
        url: the absolute URL to call, without its query.
        fields: the queries of both URLs and the values of all headers; none if there are none.
        body: the body; none if there is none.
    """

    key: str
    url: str
    fields: bytes | None = None
    body: bytes | None = None


class Capture(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    What is kept of the answers of a target (libs/domain/responses).

    Args:
        when: of which attempts; none: as the operator says.
        redact: names whose values are taken out.
    """

    when: CaptureWhen | None = None
    redact: tuple[str, ...] = ()


class Response(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    What was kept of an answer.

    Args:
        data: the JSON of `Captured` (libs/domain/responses/captured.py), sealed if there is a *key*.
        key: the id of the data key.
    """

    data: bytes
    key: Text | None = None


class Spec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    What to call, and where to send the webhook.

    Args:
        url: the absolute URL to call, normalised, and allowed by the egress policy; not there if the spec is sealed, so that a
            build that cannot open it calls nothing.
        method: upper-case HTTP method.
        capture: what is kept of the answers. It stands before the body, which the database cuts off.
        headers: the caller's own headers, names as given.
        body: text, sent as UTF-8; None sends no body.
        timeout_ms: the longest that one attempt may take in all.
        webhook_url: gets one POST when the job reaches its end.
        webhook_headers: the caller's own headers for that POST.
        traceparent: W3C trace context of the request that created the job or schedule.
        webhook_retry: when a webhook that fails is tried again; None: it is not (version 4; of `schedule.created` 2).
        sealed: values of headers, queries and body, which are empty then in the other fields.
    """

    url: str = ""
    method: str = "POST"
    capture: Capture | None = None
    headers: dict[str, str] | None = None
    body: str | None = None
    timeout_ms: DurationMs = 30_000
    webhook_url: str | None = None
    webhook_headers: dict[str, str] | None = None
    traceparent: str | None = None
    webhook_retry: RetryPolicy | None = None
    sealed: Sealed | None = None

    def __post_init__(self) -> None:
        """Refuse a spec that names nothing to call, or a key that no table can hold (as `Text`, which would take longer)."""
        if self.sealed is not None:
            if "\0" in self.sealed.key or len(self.sealed.key) > TEXT_MAX:
                raise ValueError("the name of a key is too long, or has a NUL")
        elif not self.url:
            raise ValueError("a spec without a URL")


class JobScheduled(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Fact: a job was asked for. First wins by *job_id*.

    Args:
        idempotency_key: the key under which the caller may repeat the request.
        replay_of: the failed job of which this one is a copy.
        spec_id: the id under which the whole spec is kept already (version 2): the copies of a job share its spec, and *spec* is
            without body and headers. Specs are kept by the 128 bits of an id; that of a schedule stands here as a job's.
        retry: (version 3).
        success_on: (version 3).
        expires_at: no try starts at or after this instant (version 3).
        schedule_id: the schedule of which this is a run that a caller asked for (version 5).
        waiting_key: of the jobs of an account with the same one at most one waits for its first attempt (version 6).
        singleton_key: of the jobs of an account with the same one at most one has not ended (version 6).
        tick_at: the tick that this run is for, if it is one of a back-fill: then it is the job's `scheduled_at` (version 7).
        local_time: what a clock on the wall shows at *tick_at*, if the schedule has a time zone (version 7).
        is_tracked: the schedule is told of this job's end (version 8).
        labels: (version 10).
    """

    job_id: JobId
    account: Account
    at: Instant
    spec: Spec
    fire_at: Instant
    max_retries: Retries = 0
    idempotency_key: Text | None = None
    replay_of: JobId | None = None
    spec_id: JobId | None = None
    retry: RetryPolicy | None = None
    success_on: StatusClasses | None = None
    expires_at: Instant | None = None
    schedule_id: ScheduleId | None = None
    waiting_key: Text | None = None
    singleton_key: Text | None = None
    tick_at: Instant | None = None
    local_time: Text | None = None
    is_tracked: bool = False
    labels: Labels | None = None


class JobCancelRequested(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Fact: a caller asks that the job does not fire. Only `job.cancelled`, the owner's decision, cancels it."""

    job_id: JobId
    at: Instant


class JobStopRequested(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Fact: the job is to end, in whatever it does. Only the owner's decision ends it: `job.finished`, or `job.cancelled` if the
    first attempt is not due yet. First wins.

    Args:
        reason: a caller stops it, or its schedule replaces it by the next run.
    """

    job_id: JobId
    at: Instant
    reason: StopReason = "stopped"


class JobChangeRequested(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Fact: a caller wants the job to be another one. Only `job.changed`, the owner's decision, makes it so. First wins by
    *request_id*.

    The job is described as a whole, because a change is made on the version that its caller saw.

    Args:
        request_id: random, so that its writer sees what became of it.
        version: of the job that is changed.
        spec: what to call; none: as before.
        new_spec_id: the id under which *spec* is kept.
    """

    job_id: JobId
    at: Instant
    request_id: Text
    version: Version
    fire_at: Instant
    max_retries: Retries = 0
    retry: RetryPolicy | None = None
    success_on: StatusClasses | None = None
    expires_at: Instant | None = None
    spec: Spec | None = None
    new_spec_id: JobId | None = None


class JobChanged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Decision: the job is as the request asked, and is called at *fire_at*.

    Args:
        request_id: of the request.
    """

    job_id: JobId
    at: Instant
    request_id: Text
    fire_at: Instant


class JobChangeRefused(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Decision: the job stays as it is, because it is at another version than the request says.

    Args:
        request_id: of the request.
    """

    job_id: JobId
    at: Instant
    request_id: Text


class JobMergeRequested(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Fact: a request with the `waiting_key` of this job, which waits, is to change it instead of making another job. Only
    `job.merged`, the owner's decision, makes it so. First wins by *request_id*.

    Args:
        request_id: random.
        how: `replace` makes the job what is described here; `extend` moves its instant, and only to a later one.
        spec: what to call; of `replace` alone.
        new_spec_id: the id under which *spec* is kept.
    """

    job_id: JobId
    at: Instant
    request_id: Text
    how: MergeHow
    fire_at: Instant
    max_retries: Retries = 0
    retry: RetryPolicy | None = None
    success_on: StatusClasses | None = None
    expires_at: Instant | None = None
    spec: Spec | None = None
    new_spec_id: JobId | None = None


class JobMerged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Decision: the job is as the requests to merge want it that stand before this and are not answered yet."""

    job_id: JobId
    at: Instant


class AttemptDue(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Decision: the *attempt*-th try is to be made at *not_before*. Once admitted, the job has fired.

    It carries everything that the dispatcher needs except the spec, which the dispatcher reads by *spec_id*: a body stands in
    the log once.

    Args:
        not_before: the call leaves at this instant, never earlier.
        scheduled_at: the instant that was asked for; sent along as `X-Fliq-Scheduled-At`.
        timeout_ms: the longest that the try may take.
        retry: by which the outcome is judged (version 2).
        success_on: by which the outcome is judged (version 2).
        too_late_at: the try must start before this instant, or not at all (version 2).
        previous_status_code: what the try before was answered with (version 2).
        max_attempts: how many tries the job has at most, those that are not charged left out (version 2).
        trigger: why its schedule spawned the job, if it was not a tick in time (version 3).
        local_time: what a clock on the wall shows at *scheduled_at*, if its schedule has a time zone (version 3).
    """

    job_id: JobId
    account: Account
    at: Instant
    attempt: AttemptNum
    execution_id: ExecutionId
    not_before: Instant
    scheduled_at: Instant
    timeout_ms: DurationMs
    spec_id: str
    schedule_id: ScheduleId | None = None
    retry: RetryPolicy | None = None
    success_on: StatusClasses | None = None
    too_late_at: Instant | None = None
    previous_status_code: StatusCode | None = None
    max_attempts: AttemptNum | None = None
    trigger: Trigger | None = None
    local_time: Text | None = None


class AttemptFinished(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Fact: how a try ended. First wins by (*job_id*, *attempt*).

    Args:
        started_at: when the request was handed to the socket; if it never was, when the try began.
        retry_after_ms: the delay that the answer asked for.
        error_detail: why an answer could not be read (version 2).
        outcome: what the result means, if it is neither success nor an ordinary failure (version 3): `free` and `snoozed` use up
            no retry; after `stopped`, `not_retryable` and `too_late` no try follows.
        resent: the connection had served before and ended before a byte of the answer came, so the request was sent a second time
            (version 4).
        response: what was kept of the answer (version 5).
    """

    job_id: JobId
    at: Instant
    attempt: AttemptNum
    execution_id: ExecutionId
    ok: bool
    started_at: Instant
    duration_ms: DurationMs
    status_code: StatusCode | None = None
    error: Text | None = None
    retry_after_ms: DurationMs | None = None
    error_detail: Text | None = None
    outcome: Outcome | None = None
    resent: bool = False
    response: Response | None = None


class JobRetryScheduled(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Decision: the job is tried again, as its *attempt*-th try, at *fire_at*.

    Args:
        attempt: ordinal of the try to come.
    """

    job_id: JobId
    at: Instant
    attempt: AttemptNum
    fire_at: Instant


class JobCancelled(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Decision: the job will never fire.

    Args:
        schedule_id: its schedule, if that is told of the job's end (version 2).
    """

    job_id: JobId
    account: Account
    at: Instant
    has_webhook: bool = False
    spec_id: str = ""
    schedule_id: ScheduleId | None = None


class JobFinished(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Decision: the job reached its end after *attempt* tries, maybe none.

    Args:
        status: how it ended.
        last_error: the last try's error; none on success.
        ended_by: why it ended (version 2); none if the status says it: `completed` by success, `failed` by its last try's failure.
        schedule_id: its schedule, if that is told of the job's end (version 3).
    """

    job_id: JobId
    account: Account
    at: Instant
    status: Literal["completed", "failed"]
    attempt: AttemptCount
    status_code: StatusCode | None = None
    last_error: Text | None = None
    has_webhook: bool = False
    spec_id: str = ""
    ended_by: EndedBy | None = None
    schedule_id: ScheduleId | None = None
