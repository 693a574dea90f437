"""
Errors: what the API refuses, in the contract's one shape `{"error": {"code", "message"}}`.

`CODES` is the list of codes that clients may rely on, with the statuses they come with; the OpenAPI document and the
tests read it.
"""

from collections.abc import Mapping
from typing import Final, NoReturn

CODES: Final[Mapping[str, tuple[int, str]]] = {
    "invalid_request": (
        400,
        "The request is not HTTP that this server takes, or its body is not framed as its header says.",
    ),
    "invalid_content_type": (400, "The body is not announced as application/json, or is compressed."),
    "invalid_json": (400, "The body is not a JSON document of the expected shape."),
    "duplicate_field": (400, "A name stands twice in one JSON object."),
    "unknown_field": (400, "A field that this request does not have."),
    "invalid_parameter": (400, "A query parameter that this route does not have, or that stands twice."),
    "invalid_limit": (400, "limit is not a number from 1 to 100."),
    "invalid_status": (400, "status is none of the five job statuses."),
    "invalid_cursor": (400, "cursor is not one that this list handed out."),
    "invalid_url": (400, "url or webhook_url is not an absolute http(s) URL."),
    "url_not_allowed": (400, "url or webhook_url points where Fliq does not go."),
    "invalid_http_method": (400, "http_method is none of the seven methods."),
    "invalid_scheduled_at": (400, "scheduled_at is not an instant between now and ten years from now."),
    "invalid_cron": (400, "cron is not a five-field expression that fires within five years."),
    "invalid_headers": (400, "headers or webhook_headers are not a map of sendable HTTP headers."),
    "reserved_header": (400, "A header that Fliq or the HTTP connection sets itself."),
    "invalid_body": (400, "body is not text that the job's method can carry, of at most 256 KiB."),
    "invalid_max_retries": (400, "max_retries is not an integer from 0 to 20."),
    "invalid_timeout_seconds": (400, "timeout_seconds is not an integer from 1 to 3600."),
    "invalid_idempotency_key": (400, "The key is not 1 to 255 printable characters, or body and header name two."),
    "invalid_jobs": (400, "jobs is not a list of 1 to 1,000 job requests."),
    "invalid_name": (400, "name is not 1 to 100 printable characters."),
    "invalid_scopes": (400, "scopes is not a list of `read` and `write`."),
    "invalid_expires_at": (400, "expires_at is not an instant in the future."),
    "unauthorized": (401, "The API token is missing, malformed, unknown, expired or revoked."),
    "forbidden": (403, "The token's scopes do not cover this request."),
    "not_found": (404, "There is no such resource in this account, or no such route."),
    "method_not_allowed": (405, "The route does not know this method; Allow lists those it knows."),
    "request_timeout": (408, "The body did not arrive in time."),
    "job_already_fired": (409, "The job's first attempt was admitted as due: it cannot be cancelled any more."),
    "job_not_failed": (409, "Only a failed job can be replayed."),
    "schedule_never_fires": (409, "The schedule's rule has no instant within the next five years."),
    "too_many_tokens": (409, "The account has 1,000 tokens that are neither revoked nor expired."),
    "too_many_signing_secrets": (
        409,
        "The signing secret was replaced so often that ten sign at once; try again later.",
    ),
    "idempotency_key_reused": (409, "The idempotency key stands for another request."),
    "payload_too_large": (413, "The body is longer than 1 MiB, or the job too large for one record."),
    "uri_too_long": (414, "The request line is too long."),
    "daily_limit_reached": (429, "The account's daily executions are used up."),
    "headers_too_large": (431, "The request's headers are too many or too long."),
    "internal_error": (500, "Something went wrong on our end."),
    "unavailable": (503, "The log or the tables cannot be reached in time; nothing is known to have happened. Retry."),
    "outcome_unknown": (503, "The request stands in the log but its decision was not seen in time. Repeat it."),
}

RETRY_AFTER_S: Final = 1  # what 503 answers ask for: outages of one part heal within seconds
_NO_HEADERS: Final[Mapping[str, str]] = {}


class ApiError(Exception):
    """
    A refusal.

    Args:
        status: the HTTP status.
        code: one of `CODES`.
        message: one sentence for a person; never holds a secret.
        headers: response headers besides the usual.
    """

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] = _NO_HEADERS) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers


def bad(code: str, message: str) -> ApiError:
    """Return the 400 for *code*."""
    return ApiError(400, code, message)


def refuse(code: str, message: str) -> NoReturn:
    """Raise the 400 for *code*."""
    raise ApiError(400, code, message)


def not_found(what: str) -> ApiError:
    """Return the 404 for a *what* that is missing or another account's: the two look alike."""
    return ApiError(404, "not_found", f"{what} not found")


def unavailable(message: str = "temporarily unavailable, try again") -> ApiError:
    """Return the 503 for a part of Fliq that does not answer in time."""
    return ApiError(503, "unavailable", message, {"Retry-After": str(RETRY_AFTER_S)})


def outcome_unknown(message: str) -> ApiError:
    """Return the 503 for a request that may have taken effect; repeating it is safe."""
    return ApiError(503, "outcome_unknown", message, {"Retry-After": str(RETRY_AFTER_S)})
