"""
Field types shared by the events. Each is checked when a record is read, so that no malformed value reaches a table.

Every instant is an integer: milliseconds since 1970-01-01 UTC.

Fields that mean the same in every event (docs/events.md is made from this list and from the events' own):

    job_id: the job this is about.
    schedule_id: the schedule this is about; on a job's events, the one that spawned it.
    account: the account to which it belongs.
    at: the instant at which its writer made it.
    attempt: ordinal of the try, from 1.
    execution_id: the try's id. It is computed from job and attempt, so a call that is repeated carries the same id.
    fire_at: the instant at which the job is to be called.
    max_retries: tries after the first.
    ok: the answer counts as success: 200-299, unless the job says otherwise (`success_on`).
    status_code: the HTTP status that the receiver answered with; none if no answer arrived.
    error: a short, stable text; none on success.
    duration_ms: from the beginning of the call to its end.
    retry: when and how often what failed is tried again; see `RetryPolicy`.
    success_on: classes and statuses of answers that count as success; none means 2xx.
    expires_at: no try starts at or after this instant.
    has_webhook: a webhook is to be sent when the job ends.
    delivery_id: the id of a webhook delivery, which is its `webhook-id`. It is the job's, but for its beginning.
    spec: what to call, and where to send the webhook; see `Spec`.
    spec_id: the id under which the spec is kept.
    next_run_at: the instant of the next tick.
    labels: names and values by which a caller finds a job or schedule again; none means that there are none.
"""

from typing import Annotated, Literal

from msgspec import Meta

# Year 9999: the last instant that every database and language at hand can hold.
MAX_INSTANT = 253_402_300_799_999

Instant = Annotated[int, Meta(ge=0, le=MAX_INSTANT)]
DurationMs = Annotated[int, Meta(ge=0, le=10 * 366 * 86_400_000)]
# 101 charged tries, 1,000 free ones and 100 snoozes; the column holds no more than 32,767.
ATTEMPT_MAX = 9_999
AttemptNum = Annotated[int, Meta(ge=1, le=ATTEMPT_MAX)]
AttemptCount = Annotated[int, Meta(ge=0, le=ATTEMPT_MAX)]
Retries = Annotated[int, Meta(ge=0, le=999)]
Version = Annotated[int, Meta(ge=0, le=10**12)]
StatusCode = Annotated[int, Meta(ge=0, le=99_999)]
# PostgreSQL's text holds no NUL, so a record that carries one is refused when it is read.
Text = Annotated[str, Meta(max_length=4096, pattern=r"\A[^\x00]*\Z")]
# Why a schedule spawned a job: a tick in time, or one of the others.
Trigger = Literal["schedule", "catchup", "buffered", "manual", "backfill"]
Account = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"\A[A-Za-z0-9_.\-]+\Z")]
JobId = Annotated[str, Meta(pattern=r"\Ajob_[0-7][0-9a-hjkmnp-tv-z]{25}\Z")]
# Callers may set 16; names that begin with `fliq.` are Fliq's own.
LABELS_MAX = 32
LABEL_NAME = "[a-z0-9][a-z0-9._/-]{0,62}"
LABEL_VALUE_MAX = 128
LabelName = Annotated[str, Meta(pattern=rf"\A{LABEL_NAME}\Z")]
LabelValue = Annotated[str, Meta(min_length=1, max_length=LABEL_VALUE_MAX, pattern=r"\A[^\x00]*\Z")]
Labels = Annotated[dict[LabelName, LabelValue], Meta(min_length=1, max_length=LABELS_MAX)]
ScheduleId = Annotated[str, Meta(pattern=r"\Asched_[0-7][0-9a-hjkmnp-tv-z]{25}\Z")]
ExecutionId = Annotated[str, Meta(pattern=r"\Aexec_[0-7][0-9a-hjkmnp-tv-z]{25}\Z")]
DeliveryId = Annotated[str, Meta(pattern=r"\Awhd_[0-7][0-9a-hjkmnp-tv-z]{25}\Z")]
