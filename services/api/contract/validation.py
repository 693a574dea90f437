"""
Validation: parsed JSON to requests, with every rule of the contract. Pure: now and the URL policy are arguments.

What has a default may be left out. `null` is taken where `GET` may show `null` (headers, body, idempotency_key,
webhook_url, webhook_headers) and means the same as leaving the field out; elsewhere it is refused. Unknown and repeated
names are refused. A `GET` or `HEAD` job with a body is refused: proxies drop or reject such bodies, so a caller would
be promised what nobody keeps.

Whether `scheduled_at` lies in the past is a question of its own (`check_schedulable`): a repeat of an accepted request
with its idempotency key is answered after that instant too.
"""

from collections.abc import Callable, Set
from hashlib import blake2b
from typing import Any, Final

import msgspec
import orjson

from libs.domain import cron
from libs.egress.policy import UrlRefused
from libs.events import Spec
from libs.runtime.telemetry.trace_context import accept
from services.api.contract.errors import bad, refuse
from services.api.contract.header_rules import check_headers
from services.api.contract.instants import parse_instant, ten_years_after
from services.api.contract.json_body import Duplicated

METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
BODILESS: Final = frozenset({"GET", "HEAD"})
BODY_MAX: Final = 262_144  # bytes of UTF-8
RETRIES_MAX: Final = 20
TIMEOUT_DEFAULT_S: Final = 30
TIMEOUT_MAX_S: Final = 3600
KEY_MAX: Final = 255  # characters
BATCH_MAX: Final = 1000
NAME_MAX: Final = 100  # characters of a token's name
SCOPES: Final = ("read", "write")

_NINE_YEARS_MS: Final = 9 * 365 * 86_400_000
_COMMON: Final = frozenset(
    {"url", "http_method", "headers", "body", "max_retries", "timeout_seconds", "webhook_url", "webhook_headers"}
)
JOB_FIELDS: Final = _COMMON | {"scheduled_at", "idempotency_key"}
SCHEDULE_FIELDS: Final = _COMMON | {"cron"}
TOKEN_FIELDS: Final = frozenset({"name", "scopes", "expires_at"})

CheckUrl = Callable[[str], str]


class JobRequest(msgspec.Struct, frozen=True, gc=False):
    """A job as asked for, normalised; *fire_at* in ms since 1970."""

    spec: Spec
    fire_at: int
    max_retries: int
    idempotency_key: str | None


class ScheduleRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A schedule as asked for, normalised; *first_run_at* in ms since 1970."""

    spec: Spec
    cron: str
    first_run_at: int
    max_retries: int


class TokenRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A token as asked for; *expires_at* in ms since 1970."""

    name: str
    scopes: tuple[str, ...]
    expires_at: int | None


def job_request(
    data: Any, check_url: CheckUrl, *, key_header: str | None = None, traceparent: str | None = None
) -> JobRequest:
    """
    Return the job that *data*, a parsed JSON document, asks for.

    Args:
        check_url: the egress policy's judge: returns the normalised URL or raises `UrlRefused`.
        key_header: the `Idempotency-Key` header, where there is one.
        traceparent: the W3C header, kept when it is well-formed.

    Raises:
        ApiError: 400 with the code of the first rule that is broken.
    """
    fields = _object(data, JOB_FIELDS)
    spec = _spec(fields, check_url, traceparent)
    text = fields.get("scheduled_at")
    fire_at = parse_instant(text) if type(text) is str else None
    if fire_at is None:
        message = "must be RFC 3339 with Z or an offset, such as 2026-04-01T09:00:00Z"
        refuse("invalid_scheduled_at", f"scheduled_at {message if 'scheduled_at' in fields else 'is required'}")
    key = fields.get("idempotency_key")
    if key is not None or key_header is not None:
        key = _key(key, key_header)
    return JobRequest(spec, fire_at, _retries(fields), key)


def check_schedulable(fire_at: int, now: int) -> None:
    """
    Refuse instants that are not between *now* and ten years from it.

    Raises:
        ApiError: 400 `invalid_scheduled_at`.
    """
    if fire_at <= now:
        refuse("invalid_scheduled_at", "scheduled_at must be in the future")
    if fire_at - now > _NINE_YEARS_MS and fire_at > ten_years_after(now):
        refuse("invalid_scheduled_at", "scheduled_at must be within ten years from now")


def batch_items(data: Any) -> list[Any]:
    """
    Return the items of a batch, each to be judged on its own.

    Raises:
        ApiError: 400 when the batch itself is not one.
    """
    fields = _object(data, {"jobs"})
    jobs = fields.get("jobs")
    if type(jobs) is not list or not 1 <= len(jobs) <= BATCH_MAX:
        refuse("invalid_jobs", f"jobs must be a list of 1 to {BATCH_MAX:,} job requests")
    return jobs


def schedule_request(data: Any, check_url: CheckUrl, now: int, *, traceparent: str | None = None) -> ScheduleRequest:
    """
    Return the schedule that *data* asks for, with the first instant after *now* at which it runs.

    Raises:
        ApiError: 400 with the code of the first rule that is broken.
    """
    fields = _object(data, SCHEDULE_FIELDS)
    spec = _spec(fields, check_url, traceparent)
    text = fields.get("cron")
    if type(text) is not str:
        refuse("invalid_cron", "cron must be a string of five fields" if "cron" in fields else "cron is required")
    try:
        first_run_at = cron.next_after(cron.parse(text), now)
    except cron.CronError as error:
        raise bad("invalid_cron", f"cron: {error}") from None
    if first_run_at is None:
        refuse("invalid_cron", "cron never fires within 5 years")
    return ScheduleRequest(spec=spec, cron=text, first_run_at=first_run_at, max_retries=_retries(fields))


def token_request(data: Any, now: int) -> TokenRequest:
    """
    Return the token that *data* asks for.

    Raises:
        ApiError: 400 with the code of the first rule that is broken.
    """
    fields = _object(data, TOKEN_FIELDS)
    name = fields.get("name", "API token")
    if type(name) is not str or not 1 <= len(name) <= NAME_MAX or not name.isprintable():
        refuse("invalid_name", f"name must be 1 to {NAME_MAX} printable characters")
    scopes = fields.get("scopes", list(SCOPES))
    if type(scopes) is not list or not scopes or any(scope not in SCOPES for scope in scopes):
        refuse("invalid_scopes", "scopes must be a list of `read` and `write`")
    text = fields.get("expires_at")
    expires_at = None
    if text is not None:
        expires_at = parse_instant(text) if type(text) is str else None
        if expires_at is None or expires_at <= now or expires_at > ten_years_after(now):
            refuse("invalid_expires_at", "expires_at must be RFC 3339, in the future and within ten years")
    return TokenRequest(name=name, scopes=tuple(scope for scope in SCOPES if scope in scopes), expires_at=expires_at)


def empty_request(data: Any) -> None:
    """Refuse a body that says anything, on routes that take none (`{}` says nothing)."""
    _object(data, frozenset())


def request_hash(request: JobRequest) -> bytes:
    """Return 16 bytes that are equal for requests which ask for the same, however they were spelled."""
    spec = request.spec
    return _digest(
        [
            spec.url,
            spec.method,
            request.fire_at,
            _sorted_headers(spec.headers),
            spec.body,
            request.max_retries,
            spec.timeout_ms,
            spec.webhook_url,
            _sorted_headers(spec.webhook_headers),
        ]
    )


def replay_hash(job_id: str) -> bytes:
    """Return the same for the request to replay *job_id*."""
    return _digest(["replay", job_id])


def _digest(parts: list[Any]) -> bytes:
    return blake2b(orjson.dumps(parts), digest_size=16).digest()


def _sorted_headers(headers: dict[str, str] | None) -> list[tuple[str, str]] | None:
    return None if headers is None else sorted((name.lower(), value) for name, value in headers.items())


def _object(data: Any, known: Set[str]) -> dict[str, Any]:
    if type(data) is not dict:
        if type(data) is Duplicated:
            refuse("duplicate_field", f"the field {data.name[:40]!r} stands twice in one object")
        refuse("invalid_json", "a JSON object is expected here")
    if not data.keys() <= known:
        unknown = next(name for name in data if name not in known)
        refuse("unknown_field", f"unknown field {unknown[:40]!r}")
    return data


def _spec(fields: dict[str, Any], check_url: CheckUrl, traceparent: str | None) -> Spec:
    get = fields.get
    url = _url("url", get("url"), check_url)
    method = get("http_method", "POST")
    if method not in METHODS if type(method) is str else True:
        method = method.upper() if type(method) is str and len(method) <= 7 and method.isascii() else ""
        if method not in METHODS:
            refuse("invalid_http_method", "http_method must be one of GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS")
    headers = get("headers")
    if headers is not None:
        headers = _headers("headers", headers)
    body = get("body")
    if body is not None:
        _check_body(body, method)
    timeout = get("timeout_seconds", TIMEOUT_DEFAULT_S)
    if type(timeout) is not int or not 1 <= timeout <= TIMEOUT_MAX_S:
        refuse("invalid_timeout_seconds", f"timeout_seconds must be an integer from 1 to {TIMEOUT_MAX_S}")
    webhook_url = get("webhook_url")
    if webhook_url is not None:
        webhook_url = _url("webhook_url", webhook_url, check_url)
    webhook_headers = get("webhook_headers")
    if webhook_headers is not None:
        webhook_headers = _headers("webhook_headers", webhook_headers)
    if traceparent is not None:
        traceparent = accept((traceparent,))
    return Spec(
        url=url,
        method=method,
        headers=headers,
        body=body,
        timeout_ms=timeout * 1000,
        webhook_url=webhook_url,
        webhook_headers=webhook_headers,
        traceparent=traceparent,
    )


def _url(field: str, value: Any, check_url: CheckUrl) -> str:
    if type(value) is not str:
        refuse("invalid_url", f"{field} must be a string" if value is not None else f"{field} is required")
    try:
        return check_url(value)
    except UrlRefused as error:
        raise bad(error.code, f"{field}: {error.message}") from None


def _headers(field: str, value: Any) -> dict[str, str] | None:
    if type(value) is Duplicated:
        refuse("duplicate_field", f"{field}: the name {value.name[:40]!r} stands there twice")
    return check_headers(field, value)


def _check_body(body: Any, method: str) -> None:
    if type(body) is not str:
        refuse("invalid_body", "body must be a string")
    if method in BODILESS:
        refuse("invalid_body", f"a {method} job cannot have a body")
    # ASCII and short texts need no encoding to be measured: four bytes a character are the most there can be.
    if len(body) * (1 if body.isascii() else 4) > BODY_MAX and len(body.encode()) > BODY_MAX:
        refuse("invalid_body", f"body must be at most {BODY_MAX:,} bytes of UTF-8")


def _retries(fields: dict[str, Any]) -> int:
    retries = fields.get("max_retries", 0)
    if type(retries) is not int or not 0 <= retries <= RETRIES_MAX:
        refuse("invalid_max_retries", f"max_retries must be an integer from 0 to {RETRIES_MAX}")
    return retries


def _key(key: Any, header: str | None) -> str:
    if key is not None and header is not None and key != header:
        refuse("invalid_idempotency_key", "idempotency_key and the Idempotency-Key header name two different keys")
    return check_key(header if key is None else key)


def check_key(key: Any) -> str:
    """
    Return *key* when it is an idempotency key.

    Raises:
        ApiError: 400 `invalid_idempotency_key`.
    """
    if type(key) is not str or not 1 <= len(key) <= KEY_MAX or not key.isprintable():
        refuse("invalid_idempotency_key", f"idempotency_key must be 1 to {KEY_MAX} printable characters")
    return key
