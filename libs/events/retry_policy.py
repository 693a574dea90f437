"""
Retry policy: how the request object `retry` stands in records and rows. What follows from it is in libs/domain/retry_policy.py.

Fields that are left at their defaults are not written, so a policy takes some 40 bytes. Every duration is in milliseconds.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from libs.events.fields import DurationMs, Retries

Backoff = Literal["fixed", "linear", "exponential", "list"]
Jitter = Literal["none", "proportional", "full", "equal"]
Outcome = Literal["success", "failure", "free", "snoozed", "stopped", "not_retryable", "too_late"]
EndedBy = Literal[
    "success", "exhausted", "not_retryable", "stopped_by_target", "expired", "max_elapsed", "stopped", "replaced"
]
StopReason = Literal["stopped", "replaced"]

HOUR_MS: Final = 3_600_000
TRY_CLASSES: Final = ("network", "timeout", "dns", "tls", "2xx", "3xx", "4xx", "5xx")
STATUS_CLASSES: Final = ("2xx", "3xx", "4xx", "5xx")

# A class of TRY_CLASSES or a status of three digits.
TryClass = Annotated[str, Meta(pattern=r"\A(network|timeout|dns|tls|[2-5]xx|[1-9][0-9]{2})\Z")]
StatusClass = Annotated[str, Meta(pattern=r"\A([2-5]xx|[1-9][0-9]{2})\Z")]
StatusClasses = Annotated[tuple[StatusClass, ...], Meta(min_length=1, max_length=20)]


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    When and how often something that failed is tried again.

    Args:
        max_retries: tries after the first. In a job's policy the job's own `max_retries` says the same.
        backoff: how the delay grows with the number of charged failures.
        delay_ms: the delay after the first failure; None means the operator's (`FLIQ_RETRY_BASE_SECONDS`). Not for `list`.
        factor: the growth of `exponential`.
        delays_ms: the delays of `list`; the last one repeats.
        max_delay_ms: no back-off is longer.
        jitter: where in which window the delay is drawn.
        max_elapsed_ms: no try starts later than this after the first try's instant; None means no such bound.
        retry_on: classes of failures, and statuses, after which another try follows; None means all of them.
        heeds_retry_after: whether the delay that an answer asks for counts.
        retry_after_max_ms: an answer's longer delay is cut to this.
        retry_after_is_free: whether a 429 or 503 that asks for a delay uses up no retry.
    """

    max_retries: Retries = 0
    backoff: Backoff = "exponential"
    delay_ms: DurationMs | None = None
    factor: Annotated[float, Meta(ge=1, le=10)] = 2.0
    delays_ms: Annotated[tuple[DurationMs, ...], Meta(min_length=1, max_length=50)] | None = None
    max_delay_ms: DurationMs = HOUR_MS
    jitter: Jitter = "proportional"
    max_elapsed_ms: DurationMs | None = None
    retry_on: tuple[TryClass, ...] | None = None
    heeds_retry_after: bool = True
    retry_after_max_ms: DurationMs = HOUR_MS
    retry_after_is_free: bool = True


class JobTerms(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    What the jobs of a schedule inherit besides its request.

    Args:
        expires_in_ms: from the job's instant to the one at or after which no try starts.
    """

    retry: RetryPolicy | None = None
    success_on: StatusClasses | None = None
    expires_in_ms: DurationMs | None = None
