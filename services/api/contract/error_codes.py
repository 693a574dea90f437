"""
Error codes: the words that clients may rely on, each with its HTTP status and its meaning. Pure.

The codes of single fields come from their rows in `request_fields.py`. The OpenAPI document and docs/api.md show this table.
"""

from collections.abc import Mapping
from typing import Final

from services.api.contract.endpoints.fields import ENDPOINT, ROTATION
from services.api.contract.endpoints.recovery import RECOVERY
from services.api.contract.query import LIMIT_MAX
from services.api.contract.request_fields import BATCH, JOB, TOKEN
from services.api.contract.schedules.backfill import BACKFILL
from services.api.contract.schedules.fields import PAUSE, PREVIEW, RESUME, SCHEDULE

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
    "invalid_limit": (400, f"limit is not a number from 1 to {LIMIT_MAX}."),
    "invalid_status": (400, "status is not one of the statuses of what is listed: jobs, schedules or deliveries."),
    "invalid_cursor": (400, "cursor is not one that this list handed out."),
    "invalid_last_event_id": (400, "Last-Event-ID is not one that a stream of this account had."),
    "invalid_if_match": (400, "If-Match is not one entity tag as ETag gives it, or *; or If-None-Match is not *."),
    "interval_too_short": (400, "every.seconds is less than the operator allows (`FLIQ_MIN_INTERVAL_SECONDS`)."),
    "url_not_allowed": (400, "url or webhook_url points where Fliq does not go."),
    "reserved_header": (400, "A header that Fliq or the HTTP connection sets itself."),
    **{
        row.code: (400, row.means)
        for table in (JOB, SCHEDULE, PREVIEW, PAUSE, RESUME, BACKFILL, BATCH, TOKEN, ENDPOINT, ROTATION, RECOVERY)
        for row in table.rows
    },
    "unauthorized": (401, "The API token is missing, malformed, unknown, expired or revoked."),
    "forbidden": (403, "The token's scopes do not cover this request."),
    "not_found": (404, "There is no such resource in this account, or no such route."),
    "no_response": (404, "Nothing was kept of the answer to this attempt, or the attempt has not ended yet."),
    "method_not_allowed": (405, "The route does not know this method; Allow lists those it knows."),
    "request_timeout": (408, "The body did not arrive in time."),
    "job_already_fired": (409, "The job's first attempt was admitted as due: it cannot be cancelled any more."),
    "job_expired": (
        409,
        "The job's expiry came before its first attempt: it never fires, and is not cancelled either.",
    ),
    "job_not_waiting": (409, "The job ended before its first attempt: it cannot be changed."),
    "job_not_failed": (409, "Only a failed job can be replayed."),
    "spec_shredded": (
        409,
        "What the job, schedule or endpoint sends, or the secret, cannot be opened any more: its key is gone.",
    ),
    "schedule_never_fires": (409, "The schedule's rule has no instant within the next five years."),
    "key_taken": (409, "Another schedule has this key."),
    "rule_not_known": (409, "This process does not know the schedule's rule or time zone; a newer one does."),
    "last_token": (409, "No token of the account could create or revoke tokens any more."),
    "too_many_tokens": (409, "The account has 1,000 tokens that are neither revoked nor expired."),
    "delivery_pending": (409, "The webhook delivery is not at its end: Fliq tries it again by itself."),
    "recovery_running": (409, "A recovery of the webhook endpoint is running."),
    "endpoint_disabled": (409, "The webhook endpoint is disabled: nothing is sent to it."),
    "too_many_endpoints": (409, "The account has 100 webhook endpoints."),
    "too_many_signing_secrets": (
        409,
        "The signing secret was replaced so often that ten sign at once; try again later.",
    ),
    "idempotency_key_reused": (409, "The idempotency key stands for another request."),
    "too_old": (410, "The log does not begin so early any more: begin the stream anew."),
    "response_forgotten": (410, "What was kept of this answer is forgotten."),
    "version_conflict": (
        412,
        "What is to be changed is at another version than If-Match asks for, or is there already.",
    ),
    "payload_too_large": (413, "The body is longer than 1 MiB, or the job too large for one record."),
    "uri_too_long": (414, "The request line is too long."),
    "rate_limit_exceeded": (
        429,
        "The account made more requests a second than it may; RateLimit says how many are left.",
    ),
    "too_many_connections": (429, "The account has as many connections to this server as it may have."),
    "too_many_streams": (429, "The account has as many streams of events to this server as it may have."),
    "waiting_jobs_limit_reached": (429, "The account has as many waiting jobs as it may have."),
    "stored_bytes_limit_reached": (429, "The account's waiting jobs would send more bytes than they may."),
    "daily_limit_reached": (429, "The account's daily executions are used up."),
    "headers_too_large": (431, "The request's headers are too many or too long."),
    "internal_error": (500, "Something went wrong on our end."),
    "unavailable": (503, "The log or the tables cannot be reached in time; nothing is known to have happened. Retry."),
    "outcome_unknown": (503, "The request stands in the log but its decision was not seen in time. Repeat it."),
}
