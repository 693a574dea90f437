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

import re
from functools import lru_cache
from typing import Annotated, Final, Literal, get_args

from msgspec import Meta
from msgspec.structs import fields

_REMEMBERED: Final = 4_096  # texts of one form: those of a job come with each of its records; about 150 bytes each


class Form:
    """
    What a text must look like, for the ids that every record has.

    The codec checks it: a `pattern` of msgspec's takes ten times as long, and was more than half of what it took to read a record.
    """

    def __init__(self, pattern: str) -> None:
        """Take texts in which *pattern*, a regular expression, is found; none of them may be long."""
        self.pattern = pattern
        self._find = re.compile(pattern).search
        self.check = lru_cache(_REMEMBERED)(self._check)  # which does not remember what is refused

    def _check(self, text: str) -> None:
        if self._find(text) is None:
            raise ValueError(f"Expected `str` matching regex {self.pattern!r}")


def forms_of(event: type) -> tuple[tuple[str, Form], ...]:
    """Return the fields of *event* that have a form; forms within a field's own parts are not found."""
    found = []
    for field in fields(event):
        for each in (field.type, *get_args(field.type)):
            found += [(field.name, form) for form in getattr(each, "__metadata__", ()) if isinstance(form, Form)]
    return tuple(found)


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
TEXT_MAX = 4096
Text = Annotated[str, Meta(max_length=TEXT_MAX, pattern=r"\A[^\x00]*\Z")]
# Why a schedule spawned a job: a tick in time, or one of the others.
Trigger = Literal["schedule", "catchup", "buffered", "manual", "backfill"]
Account = Annotated[str, Meta(min_length=1, max_length=64), Form(r"\A[A-Za-z0-9_.\-]+\Z")]
JobId = Annotated[str, Form(r"\Ajob_[0-7][0-9a-hjkmnp-tv-z]{25}\Z")]
# Callers may set 16; names that begin with `fliq.` are Fliq's own.
LABELS_MAX = 32
LABEL_NAME = "[a-z0-9][a-z0-9._/-]{0,62}"
LABEL_VALUE_MAX = 128
LabelName = Annotated[str, Meta(pattern=rf"\A{LABEL_NAME}\Z")]
LabelValue = Annotated[str, Meta(min_length=1, max_length=LABEL_VALUE_MAX, pattern=r"\A[^\x00]*\Z")]
Labels = Annotated[dict[LabelName, LabelValue], Meta(min_length=1, max_length=LABELS_MAX)]
ScheduleId = Annotated[str, Form(r"\Asched_[0-7][0-9a-hjkmnp-tv-z]{25}\Z")]
ExecutionId = Annotated[str, Form(r"\Aexec_[0-7][0-9a-hjkmnp-tv-z]{25}\Z")]
DeliveryId = Annotated[str, Form(r"\Awhd_[0-7][0-9a-hjkmnp-tv-z]{25}\Z")]
