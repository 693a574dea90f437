"""
Validation: parsed JSON to requests. `request_fields.py` has the rules of the fields. Pure. For schedules see schedules/requests.py.

`check_schedulable` says whether `scheduled_at` lies in the past. It is a question of its own, because the repeat of an accepted
request with its idempotency key is answered after that instant too.
"""

from hashlib import blake2b
from typing import Any, Final

import msgspec
import orjson

from libs.events import Spec
from libs.events.retry_policy import RetryPolicy
from services.api.contract.api_error import refuse
from services.api.contract.field import Rules
from services.api.contract.fields.capture_fields import capture_of, shown_capture
from services.api.contract.fields.key_fields import JobKey, key_of
from services.api.contract.fields.retry_fields import shown_policy
from services.api.contract.instants import LATEST
from services.api.contract.request_fields import BATCH, JOB, NOTHING, TOKEN
from services.api.contract.token_text import SCOPES

_NO_URLS: Final = Rules(str)  # for requests without a field that is a URL


class JobRequest(msgspec.Struct, frozen=True, gc=False):
    """
    A job as asked for, normalised.

    Args:
        fire_at: ms since 1970; 0 as long as *delay_ms* is not resolved (see `resolved`).
        delay_ms: from the instant of the request to *fire_at*; None if *fire_at* was given.
        retry, success_on: None if left out, or the default.
        expires_at: ms since 1970.
        expires_in_ms: from *fire_at* to *expires_at*; None if resolved, or not given.
        key: of which the account has one job at a time.
        labels: None if there are none.
    """

    spec: Spec
    fire_at: int
    max_retries: int
    idempotency_key: str | None
    delay_ms: int | None = None
    retry: RetryPolicy | None = None
    success_on: tuple[str, ...] | None = None
    expires_at: int | None = None
    expires_in_ms: int | None = None
    key: JobKey | None = None
    labels: dict[str, str] | None = None


class TokenRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A token as asked for; *expires_at* in ms since 1970."""

    name: str
    scopes: tuple[str, ...]
    expires_at: int | None


def job_request(data: Any, rules: Rules, *, traceparent: str | None = None) -> JobRequest:
    """
    Return the job that *data*, a parsed JSON document, asks for; its calls belong to the trace of *traceparent*.

    Raises:
        ApiError: 400 with the code of the first rule that is broken.
    """
    header = rules.key_header
    if header is not None and type(data) is dict and data.get("idempotency_key") is None:
        data = data | {"idempotency_key": header}
    found = JOB.read(data, rules)
    return JobRequest(
        spec_of(found, traceparent),
        found["scheduled_at"] or 0,
        retries_of(data, found),
        found["idempotency_key"],
        found["delay_seconds"],
        found["retry"],
        found["success_on"],
        *_expiry(found),
        key_of(found),
        found["labels"],
    )


def resolved(job: JobRequest, created_at: int) -> JobRequest:
    """Return *job* with its instants, as it was taken at *created_at*: what was given as a delay becomes an instant."""
    if job.delay_ms is None and job.expires_in_ms is None:
        return job
    fire_at = job.fire_at if job.delay_ms is None else min(created_at + job.delay_ms, LATEST)
    expires_at = job.expires_at if job.expires_in_ms is None else min(fire_at + job.expires_in_ms, LATEST)
    return msgspec.structs.replace(job, fire_at=fire_at, expires_at=expires_at)


def retries_of(data: dict[str, Any], found: dict[str, Any]) -> int:
    """Return how often a job may be tried again; `max_retries` and `retry.max_retries` must not contradict each other."""
    policy: RetryPolicy | None = found["retry"]
    count: int = found["max_retries"]
    if policy is None:
        return count
    if "max_retries" in data and count != policy.max_retries:
        refuse("invalid_retry", "max_retries and retry.max_retries must be equal: leave one of them out")
    return policy.max_retries


def _expiry(found: dict[str, Any]) -> tuple[int | None, int | None]:
    at, in_ms, fire_at = found["expires_at"], found["expires_in_seconds"], found["scheduled_at"]
    if at is not None and in_ms is not None:
        refuse("invalid_expires_at", "give expires_at or expires_in_seconds, not both")
    if at is not None and fire_at is not None and at <= fire_at:
        refuse("invalid_expires_at", "expires_at must be after scheduled_at")
    return at, in_ms


def batch_items(data: Any) -> list[Any]:
    """
    Return the items of a batch, each to be judged on its own.

    Raises:
        ApiError: 400 when the batch itself is not one.
    """
    items: list[Any] = BATCH.read(data, _NO_URLS)["jobs"]
    return items


def spec_of(found: dict[str, Any], traceparent: str | None) -> Spec:
    """Return what the fields *found* say about the call."""
    return Spec(
        url=found["url"],
        method=found["http_method"],
        headers=found["headers"],
        body=found["body"],
        timeout_ms=found["timeout_seconds"] * 1000,
        webhook_url=found["webhook_url"],
        webhook_headers=found["webhook_headers"],
        webhook_retry=found["webhook_retry"],
        capture=capture_of(found),
        traceparent=traceparent,
    )


def fields_of(spec: Spec) -> dict[str, Any]:
    """Return the fields of a request that say *spec*: what a change is laid over. The inverse of `spec_of`."""
    return {
        "url": spec.url,
        "http_method": spec.method,
        "headers": spec.headers,
        "body": spec.body,
        "timeout_seconds": spec.timeout_ms // 1000,
        "webhook_url": spec.webhook_url,
        "webhook_headers": spec.webhook_headers,
        "webhook_retry": shown_policy(spec.webhook_retry),
        **shown_capture(spec.capture),
    }


def token_request(data: Any, now: int) -> TokenRequest:
    """
    Return the token that *data* asks for.

    Raises:
        ApiError: 400 with the code of the first rule that is broken.
    """
    found = TOKEN.read(data, _NO_URLS._replace(now=now))
    scopes = tuple(scope for scope in SCOPES if scope in found["scopes"])
    return TokenRequest(name=found["name"], scopes=scopes, expires_at=found["expires_at"])


def empty_request(data: Any) -> None:
    """Refuse a body that says anything, on routes that take none (`{}` says nothing)."""
    NOTHING.read(data, _NO_URLS)


def check_schedulable(job: JobRequest, now: int) -> None:
    """
    Refuse jobs whose instant does not lie between *now* and the end of the year 9999, or that would expire before it.

    Raises:
        ApiError: 400 `invalid_scheduled_at` or `invalid_expires_at`.
    """
    if job.delay_ms is None:
        if job.fire_at <= now:
            refuse("invalid_scheduled_at", "scheduled_at must be in the future")
        if job.fire_at > LATEST:
            refuse("invalid_scheduled_at", "scheduled_at must be at most 9999-12-31T23:59:59.999Z")
    elif job.expires_at is not None and job.expires_at <= now + job.delay_ms:
        refuse("invalid_expires_at", "expires_at must be after the instant that delay_seconds gives")


def request_hash(request: JobRequest) -> bytes:
    """Return 16 bytes that are equal for requests which ask for the same, however they were spelled."""
    when = request.fire_at if request.delay_ms is None else f"in {request.delay_ms} ms"
    return digest(asked_for(request, when) + asked_besides(request))


def asked_besides(request: JobRequest) -> list[Any]:
    """Return what a plain request does not ask for; nothing for a plain one, whose hash must stay what it was."""
    given = (request.retry, request.success_on, request.expires_at, request.expires_in_ms)
    besides = [] if given == (None, None, None, None) else [msgspec.json.encode(given).decode()]
    return besides if request.labels is None else [*besides, {"labels": request.labels}]


def replay_hash(job_id: str) -> bytes:
    """Return the same for the request to replay *job_id*."""
    return digest(["replay", job_id])


def asked_for(request: Any, when: int | str) -> list[Any]:
    """Return what the request for a job or a schedule says, in one spelling."""
    spec = request.spec
    return [
        *(spec.url, spec.method, when, _sorted_headers(spec.headers), spec.body),
        *(request.max_retries, spec.timeout_ms, spec.webhook_url, _sorted_headers(spec.webhook_headers)),
        *(() if spec.webhook_retry is None else (msgspec.json.encode(spec.webhook_retry).decode(),)),
        *(() if spec.capture is None else ({"capture": msgspec.json.encode(spec.capture).decode()},)),
    ]


def digest(parts: list[Any]) -> bytes:
    """Return 16 bytes that stand for *parts*."""
    return blake2b(orjson.dumps(parts), digest_size=16).digest()


def _sorted_headers(headers: dict[str, str] | None) -> list[tuple[str, str]] | None:
    return None if headers is None else sorted((name.lower(), value) for name, value in headers.items())
