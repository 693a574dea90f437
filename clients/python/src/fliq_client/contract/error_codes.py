"""Error codes: an exception class for each. Written by `make docs` from the tables of the API. Pure."""

from __future__ import annotations

from typing import Final

from fliq_client.errors import ApiError, BadRequest, Conflict

__all__ = [
    "DailyLimitReached",
    "DeliveryPending",
    "DuplicateField",
    "EndpointDisabled",
    "Forbidden",
    "HeadersTooLarge",
    "IdempotencyKeyReused",
    "InternalError",
    "IntervalTooShort",
    "InvalidAfter",
    "InvalidBackfill",
    "InvalidBody",
    "InvalidCapture",
    "InvalidCatchUp",
    "InvalidContentType",
    "InvalidCount",
    "InvalidCron",
    "InvalidCursor",
    "InvalidDelaySeconds",
    "InvalidDescription",
    "InvalidDisabled",
    "InvalidDst",
    "InvalidEvents",
    "InvalidEvery",
    "InvalidExclude",
    "InvalidExpiresAt",
    "InvalidFilter",
    "InvalidFormat",
    "InvalidHeaders",
    "InvalidHttpMethod",
    "InvalidIdempotencyKey",
    "InvalidIfMatch",
    "InvalidIncludeResponse",
    "InvalidJobs",
    "InvalidJson",
    "InvalidKey",
    "InvalidLabels",
    "InvalidLastEventId",
    "InvalidLimit",
    "InvalidMaxRetries",
    "InvalidMaxRuns",
    "InvalidMisfire",
    "InvalidName",
    "InvalidNote",
    "InvalidOrdering",
    "InvalidOverlap",
    "InvalidOverlapSeconds",
    "InvalidParameter",
    "InvalidPauseAfterFailures",
    "InvalidRedact",
    "InvalidRequest",
    "InvalidRetry",
    "InvalidScheduledAt",
    "InvalidScopes",
    "InvalidSince",
    "InvalidSingletonKey",
    "InvalidSpread",
    "InvalidStatus",
    "InvalidSuccessOn",
    "InvalidTimeoutSeconds",
    "InvalidTimezone",
    "InvalidUntil",
    "InvalidUrl",
    "InvalidWaitingKey",
    "InvalidWebhookRetry",
    "InvalidWindow",
    "JobAlreadyFired",
    "JobExpired",
    "JobNotFailed",
    "JobNotWaiting",
    "KeyTaken",
    "LastToken",
    "MethodNotAllowed",
    "NoResponse",
    "NotFound",
    "OutcomeUnknown",
    "PayloadTooLarge",
    "RateLimitExceeded",
    "RecoveryRunning",
    "RequestTimeout",
    "ReservedHeader",
    "ResponseForgotten",
    "RuleNotKnown",
    "ScheduleNeverFires",
    "SpecShredded",
    "StoredBytesLimitReached",
    "TooManyConnections",
    "TooManyEndpoints",
    "TooManySigningSecrets",
    "TooManyStreams",
    "TooManyTokens",
    "TooOld",
    "Unauthorized",
    "Unavailable",
    "UnknownField",
    "UriTooLong",
    "UrlNotAllowed",
    "VersionConflict",
    "WaitingJobsLimitReached",
]


class InvalidRequest(BadRequest):
    """
    400 `invalid_request`. The request is not HTTP that this server takes, or its body is not framed as its header says.
    """

    status = 400
    code = "invalid_request"


class InvalidContentType(BadRequest):
    """400 `invalid_content_type`. The body is not announced as application/json, or is compressed."""

    status = 400
    code = "invalid_content_type"


class InvalidJson(BadRequest):
    """400 `invalid_json`. The body is not a JSON document of the expected shape."""

    status = 400
    code = "invalid_json"


class DuplicateField(BadRequest):
    """400 `duplicate_field`. A name stands twice in one JSON object."""

    status = 400
    code = "duplicate_field"


class UnknownField(BadRequest):
    """400 `unknown_field`. A field that this request does not have."""

    status = 400
    code = "unknown_field"


class InvalidParameter(BadRequest):
    """400 `invalid_parameter`. A query parameter that this route does not have, or that stands twice."""

    status = 400
    code = "invalid_parameter"


class InvalidLimit(BadRequest):
    """400 `invalid_limit`. limit is not a number from 1 to 100."""

    status = 400
    code = "invalid_limit"


class InvalidStatus(BadRequest):
    """400 `invalid_status`. status is not one of the statuses of what is listed: jobs, schedules or deliveries."""

    status = 400
    code = "invalid_status"


class InvalidCursor(BadRequest):
    """400 `invalid_cursor`. cursor is not one that this list handed out."""

    status = 400
    code = "invalid_cursor"


class InvalidLastEventId(BadRequest):
    """400 `invalid_last_event_id`. Last-Event-ID is not one that a stream of this account had."""

    status = 400
    code = "invalid_last_event_id"


class InvalidIfMatch(BadRequest):
    """400 `invalid_if_match`. If-Match is not one entity tag as ETag gives it, or *; or If-None-Match is not *."""

    status = 400
    code = "invalid_if_match"


class IntervalTooShort(BadRequest):
    """400 `interval_too_short`. every.seconds is less than the operator allows (`FLIQ_MIN_INTERVAL_SECONDS`)."""

    status = 400
    code = "interval_too_short"


class UrlNotAllowed(BadRequest):
    """400 `url_not_allowed`. url or webhook_url points where Fliq does not go."""

    status = 400
    code = "url_not_allowed"


class ReservedHeader(BadRequest):
    """400 `reserved_header`. A header that Fliq or the HTTP connection sets itself."""

    status = 400
    code = "reserved_header"


class InvalidUrl(BadRequest):
    """400 `invalid_url`. url or webhook_url is not an absolute http(s) URL."""

    status = 400
    code = "invalid_url"


class InvalidHttpMethod(BadRequest):
    """400 `invalid_http_method`. http_method is not one of the seven methods."""

    status = 400
    code = "invalid_http_method"


class InvalidHeaders(BadRequest):
    """400 `invalid_headers`. headers or webhook_headers are not a map of sendable HTTP headers."""

    status = 400
    code = "invalid_headers"


class InvalidBody(BadRequest):
    """400 `invalid_body`. body is not text that the job's method can carry, of at most 256 KiB."""

    status = 400
    code = "invalid_body"


class InvalidTimeoutSeconds(BadRequest):
    """400 `invalid_timeout_seconds`. timeout_seconds is not an integer from 1 to 3600."""

    status = 400
    code = "invalid_timeout_seconds"


class InvalidWebhookRetry(BadRequest):
    """
    400 `invalid_webhook_retry`. webhook_retry is not a retry policy within its limits, or contradicts max_retries.
    """

    status = 400
    code = "invalid_webhook_retry"


class InvalidCapture(BadRequest):
    """400 `invalid_capture`. capture is not one of `none`, `on_failure` and `always`."""

    status = 400
    code = "invalid_capture"


class InvalidRedact(BadRequest):
    """400 `invalid_redact`. redact is not a list of at most 20 names of 1 to 64 printable characters."""

    status = 400
    code = "invalid_redact"


class InvalidScheduledAt(BadRequest):
    """
    400 `invalid_scheduled_at`. scheduled_at is not an instant between now and the end of the year 9999, or
    delay_seconds is given, too.
    """

    status = 400
    code = "invalid_scheduled_at"


class InvalidDelaySeconds(BadRequest):
    """400 `invalid_delay_seconds`. delay_seconds is not a number from 0.001 to ten years."""

    status = 400
    code = "invalid_delay_seconds"


class InvalidIdempotencyKey(BadRequest):
    """400 `invalid_idempotency_key`. The key is not 1 to 255 printable characters, or body and header name two."""

    status = 400
    code = "invalid_idempotency_key"


class InvalidMaxRetries(BadRequest):
    """400 `invalid_max_retries`. max_retries is not an integer from 0 to 20."""

    status = 400
    code = "invalid_max_retries"


class InvalidRetry(BadRequest):
    """400 `invalid_retry`. retry is not a retry policy within its limits, or contradicts max_retries."""

    status = 400
    code = "invalid_retry"


class InvalidSuccessOn(BadRequest):
    """400 `invalid_success_on`. success_on is not a list of 1 to 20 classes and statuses."""

    status = 400
    code = "invalid_success_on"


class InvalidExpiresAt(BadRequest):
    """400 `invalid_expires_at`. expires_at or expires_in_seconds is not within its limits, or both are given."""

    status = 400
    code = "invalid_expires_at"


class InvalidWaitingKey(BadRequest):
    """
    400 `invalid_waiting_key`. waiting_key is not 1 to 255 printable characters, on_waiting or max_wait_seconds is not
    within its limits or stands without what it needs, or the key stands beside another key.
    """

    status = 400
    code = "invalid_waiting_key"


class InvalidSingletonKey(BadRequest):
    """400 `invalid_singleton_key`. singleton_key is not 1 to 255 printable characters, or stands beside another key."""

    status = 400
    code = "invalid_singleton_key"


class InvalidLabels(BadRequest):
    """
    400 `invalid_labels`. labels is not an object of up to 16 names with values of 1 to 128 printable characters, or
    label is not a name, a colon and a value.
    """

    status = 400
    code = "invalid_labels"


class InvalidCron(BadRequest):
    """
    400 `invalid_cron`. cron is not an expression of five fields that fires within five years, or both cron and every
    are missing.
    """

    status = 400
    code = "invalid_cron"


class InvalidEvery(BadRequest):
    """400 `invalid_every`. every is not an object with seconds and maybe anchor, or stands beside cron."""

    status = 400
    code = "invalid_every"


class InvalidTimezone(BadRequest):
    """400 `invalid_timezone`. timezone is no name of the zone data, spelled as there, or stands beside every."""

    status = 400
    code = "invalid_timezone"


class InvalidDst(BadRequest):
    """400 `invalid_dst`. dst is not an object with gap (shift, skip) and fold (first, both), or stands beside every."""

    status = 400
    code = "invalid_dst"


class InvalidWindow(BadRequest):
    """
    400 `invalid_window`. starts_at or ends_at is no instant, ends_at is not after starts_at and now, or no tick lies
    between them.
    """

    status = 400
    code = "invalid_window"


class InvalidExclude(BadRequest):
    """400 `invalid_exclude`. exclude is not a list of at most 366 dates or spans of dates that leaves a tick."""

    status = 400
    code = "invalid_exclude"


class InvalidSpread(BadRequest):
    """400 `invalid_spread`. spread is not an object with seconds (1 to 86,400) and maybe by (schedule, run)."""

    status = 400
    code = "invalid_spread"


class InvalidMaxRuns(BadRequest):
    """400 `invalid_max_runs`. max_runs is not an integer from 1 to 1,000,000,000."""

    status = 400
    code = "invalid_max_runs"


class InvalidMisfire(BadRequest):
    """
    400 `invalid_misfire`. misfire is not skip, fire_once or fire_all, or catchup_window_seconds or catchup_max is out
    of range or does not go with it.
    """

    status = 400
    code = "invalid_misfire"


class InvalidOverlap(BadRequest):
    """
    400 `invalid_overlap`. overlap is not allow, skip, buffer_one, buffer_all or replace, or buffer_max is not 1 to 100
    or stands without buffer_all, or overlap_grace_seconds is not 0 to 3,600 or stands without skip, buffer_one,
    buffer_all.
    """

    status = 400
    code = "invalid_overlap"


class InvalidPauseAfterFailures(BadRequest):
    """400 `invalid_pause_after_failures`. pause_after_failures is not an integer from 0 to 100."""

    status = 400
    code = "invalid_pause_after_failures"


class InvalidKey(BadRequest):
    """
    400 `invalid_key`. The key of a schedule is not 1 to 128 of the characters A-Z a-z 0-9 . _ ~ -, or is not that of
    the path.
    """

    status = 400
    code = "invalid_key"


class InvalidCount(BadRequest):
    """400 `invalid_count`. count is not a number from 1 to 100."""

    status = 400
    code = "invalid_count"


class InvalidAfter(BadRequest):
    """400 `invalid_after`. after is not an instant from 1970 to 2199."""

    status = 400
    code = "invalid_after"


class InvalidNote(BadRequest):
    """400 `invalid_note`. note is not a text of 1 to 500 characters."""

    status = 400
    code = "invalid_note"


class InvalidUntil(BadRequest):
    """400 `invalid_until`. until is not an instant; of a pause it is in the future, within ten years."""

    status = 400
    code = "invalid_until"


class InvalidCatchUp(BadRequest):
    """400 `invalid_catch_up`. catch_up is neither true nor false."""

    status = 400
    code = "invalid_catch_up"


class InvalidBackfill(BadRequest):
    """
    400 `invalid_backfill`. The back-fill's range is not in the past, has more than 1,000 ticks, or another field of it
    is wrong.
    """

    status = 400
    code = "invalid_backfill"


class InvalidJobs(BadRequest):
    """400 `invalid_jobs`. jobs is not a list of 1 to 1,000 job requests."""

    status = 400
    code = "invalid_jobs"


class InvalidName(BadRequest):
    """400 `invalid_name`. name is not 1 to 100 printable characters."""

    status = 400
    code = "invalid_name"


class InvalidScopes(BadRequest):
    """400 `invalid_scopes`. scopes is not a list of one or more scopes."""

    status = 400
    code = "invalid_scopes"


class InvalidEvents(BadRequest):
    """400 `invalid_events`. events is not a list of one or more of the events that there are."""

    status = 400
    code = "invalid_events"


class InvalidFilter(BadRequest):
    """400 `invalid_filter`. filter is not an object of lists that narrow the jobs."""

    status = 400
    code = "invalid_filter"


class InvalidFormat(BadRequest):
    """400 `invalid_format`. format is not one of standard, flat, cloudevents."""

    status = 400
    code = "invalid_format"


class InvalidDescription(BadRequest):
    """400 `invalid_description`. description is not text of at most 200 printable characters."""

    status = 400
    code = "invalid_description"


class InvalidIncludeResponse(BadRequest):
    """400 `invalid_include_response`. include_response is neither true nor false."""

    status = 400
    code = "invalid_include_response"


class InvalidOrdering(BadRequest):
    """400 `invalid_ordering`. ordering is not one of none, job."""

    status = 400
    code = "invalid_ordering"


class InvalidDisabled(BadRequest):
    """400 `invalid_disabled`. disabled is neither true nor false."""

    status = 400
    code = "invalid_disabled"


class InvalidOverlapSeconds(BadRequest):
    """400 `invalid_overlap_seconds`. overlap_seconds is not an integer from 0 to 604800."""

    status = 400
    code = "invalid_overlap_seconds"


class InvalidSince(BadRequest):
    """400 `invalid_since`. since is not an instant."""

    status = 400
    code = "invalid_since"


class Unauthorized(ApiError):
    """401 `unauthorized`. The API token is missing, malformed, unknown, expired or revoked."""

    status = 401
    code = "unauthorized"


class Forbidden(ApiError):
    """403 `forbidden`. The token's scopes do not cover this request."""

    status = 403
    code = "forbidden"


class NotFound(ApiError):
    """404 `not_found`. There is no such resource in this account, or no such route."""

    status = 404
    code = "not_found"


class NoResponse(ApiError):
    """404 `no_response`. Nothing was kept of the answer to this attempt, or the attempt has not ended yet."""

    status = 404
    code = "no_response"


class MethodNotAllowed(ApiError):
    """405 `method_not_allowed`. The route does not know this method; Allow lists those it knows."""

    status = 405
    code = "method_not_allowed"


class RequestTimeout(ApiError):
    """408 `request_timeout`. The body did not arrive in time."""

    status = 408
    code = "request_timeout"


class JobAlreadyFired(Conflict):
    """409 `job_already_fired`. The job's first attempt was admitted as due: it cannot be cancelled any more."""

    status = 409
    code = "job_already_fired"


class JobExpired(Conflict):
    """
    409 `job_expired`. The job's expiry came before its first attempt: it never fires, and is not cancelled either.
    """

    status = 409
    code = "job_expired"


class JobNotWaiting(Conflict):
    """409 `job_not_waiting`. The job ended before its first attempt: it cannot be changed."""

    status = 409
    code = "job_not_waiting"


class JobNotFailed(Conflict):
    """409 `job_not_failed`. Only a failed job can be replayed."""

    status = 409
    code = "job_not_failed"


class SpecShredded(Conflict):
    """
    409 `spec_shredded`. What the job, schedule or endpoint sends, or the secret, cannot be opened any more: its key is
    gone.
    """

    status = 409
    code = "spec_shredded"


class ScheduleNeverFires(Conflict):
    """409 `schedule_never_fires`. The schedule's rule has no instant within the next five years."""

    status = 409
    code = "schedule_never_fires"


class KeyTaken(Conflict):
    """409 `key_taken`. Another schedule has this key."""

    status = 409
    code = "key_taken"


class RuleNotKnown(Conflict):
    """409 `rule_not_known`. This process does not know the schedule's rule or time zone; a newer one does."""

    status = 409
    code = "rule_not_known"


class LastToken(Conflict):
    """409 `last_token`. No token of the account could create or revoke tokens any more."""

    status = 409
    code = "last_token"


class TooManyTokens(Conflict):
    """409 `too_many_tokens`. The account has 1,000 tokens that are neither revoked nor expired."""

    status = 409
    code = "too_many_tokens"


class DeliveryPending(Conflict):
    """409 `delivery_pending`. The webhook delivery is not at its end: Fliq tries it again by itself."""

    status = 409
    code = "delivery_pending"


class RecoveryRunning(Conflict):
    """409 `recovery_running`. A recovery of the webhook endpoint is running."""

    status = 409
    code = "recovery_running"


class EndpointDisabled(Conflict):
    """409 `endpoint_disabled`. The webhook endpoint is disabled: nothing is sent to it."""

    status = 409
    code = "endpoint_disabled"


class TooManyEndpoints(Conflict):
    """409 `too_many_endpoints`. The account has 100 webhook endpoints."""

    status = 409
    code = "too_many_endpoints"


class TooManySigningSecrets(Conflict):
    """
    409 `too_many_signing_secrets`. The signing secret was replaced so often that ten sign at once; try again later.
    """

    status = 409
    code = "too_many_signing_secrets"


class IdempotencyKeyReused(Conflict):
    """409 `idempotency_key_reused`. The idempotency key stands for another request."""

    status = 409
    code = "idempotency_key_reused"


class TooOld(ApiError):
    """410 `too_old`. The log does not begin so early any more: begin the stream anew."""

    status = 410
    code = "too_old"


class ResponseForgotten(ApiError):
    """410 `response_forgotten`. What was kept of this answer is forgotten."""

    status = 410
    code = "response_forgotten"


class VersionConflict(ApiError):
    """
    412 `version_conflict`. What is to be changed is at another version than If-Match asks for, or is there already.
    """

    status = 412
    code = "version_conflict"


class PayloadTooLarge(ApiError):
    """413 `payload_too_large`. The body is longer than 1 MiB, or the job too large for one record."""

    status = 413
    code = "payload_too_large"


class UriTooLong(ApiError):
    """414 `uri_too_long`. The request line is too long."""

    status = 414
    code = "uri_too_long"


class RateLimitExceeded(ApiError):
    """
    429 `rate_limit_exceeded`. The account made more requests a second than it may; RateLimit says how many are left.
    """

    status = 429
    code = "rate_limit_exceeded"


class TooManyConnections(ApiError):
    """429 `too_many_connections`. The account has as many connections to this server as it may have."""

    status = 429
    code = "too_many_connections"


class TooManyStreams(ApiError):
    """429 `too_many_streams`. The account has as many streams of events to this server as it may have."""

    status = 429
    code = "too_many_streams"


class WaitingJobsLimitReached(ApiError):
    """429 `waiting_jobs_limit_reached`. The account has as many waiting jobs as it may have."""

    status = 429
    code = "waiting_jobs_limit_reached"


class StoredBytesLimitReached(ApiError):
    """429 `stored_bytes_limit_reached`. The account's waiting jobs would send more bytes than they may."""

    status = 429
    code = "stored_bytes_limit_reached"


class DailyLimitReached(ApiError):
    """429 `daily_limit_reached`. The account's daily executions are used up."""

    status = 429
    code = "daily_limit_reached"


class HeadersTooLarge(ApiError):
    """431 `headers_too_large`. The request's headers are too many or too long."""

    status = 431
    code = "headers_too_large"


class InternalError(ApiError):
    """500 `internal_error`. Something went wrong on our end."""

    status = 500
    code = "internal_error"


class Unavailable(ApiError):
    """503 `unavailable`. The log or the tables cannot be reached in time; nothing is known to have happened. Retry."""

    status = 503
    code = "unavailable"


class OutcomeUnknown(ApiError):
    """503 `outcome_unknown`. The request stands in the log but its decision was not seen in time. Repeat it."""

    status = 503
    code = "outcome_unknown"


CODES: Final[dict[str, type[ApiError]]] = {
    "invalid_request": InvalidRequest,
    "invalid_content_type": InvalidContentType,
    "invalid_json": InvalidJson,
    "duplicate_field": DuplicateField,
    "unknown_field": UnknownField,
    "invalid_parameter": InvalidParameter,
    "invalid_limit": InvalidLimit,
    "invalid_status": InvalidStatus,
    "invalid_cursor": InvalidCursor,
    "invalid_last_event_id": InvalidLastEventId,
    "invalid_if_match": InvalidIfMatch,
    "interval_too_short": IntervalTooShort,
    "url_not_allowed": UrlNotAllowed,
    "reserved_header": ReservedHeader,
    "invalid_url": InvalidUrl,
    "invalid_http_method": InvalidHttpMethod,
    "invalid_headers": InvalidHeaders,
    "invalid_body": InvalidBody,
    "invalid_timeout_seconds": InvalidTimeoutSeconds,
    "invalid_webhook_retry": InvalidWebhookRetry,
    "invalid_capture": InvalidCapture,
    "invalid_redact": InvalidRedact,
    "invalid_scheduled_at": InvalidScheduledAt,
    "invalid_delay_seconds": InvalidDelaySeconds,
    "invalid_idempotency_key": InvalidIdempotencyKey,
    "invalid_max_retries": InvalidMaxRetries,
    "invalid_retry": InvalidRetry,
    "invalid_success_on": InvalidSuccessOn,
    "invalid_expires_at": InvalidExpiresAt,
    "invalid_waiting_key": InvalidWaitingKey,
    "invalid_singleton_key": InvalidSingletonKey,
    "invalid_labels": InvalidLabels,
    "invalid_cron": InvalidCron,
    "invalid_every": InvalidEvery,
    "invalid_timezone": InvalidTimezone,
    "invalid_dst": InvalidDst,
    "invalid_window": InvalidWindow,
    "invalid_exclude": InvalidExclude,
    "invalid_spread": InvalidSpread,
    "invalid_max_runs": InvalidMaxRuns,
    "invalid_misfire": InvalidMisfire,
    "invalid_overlap": InvalidOverlap,
    "invalid_pause_after_failures": InvalidPauseAfterFailures,
    "invalid_key": InvalidKey,
    "invalid_count": InvalidCount,
    "invalid_after": InvalidAfter,
    "invalid_note": InvalidNote,
    "invalid_until": InvalidUntil,
    "invalid_catch_up": InvalidCatchUp,
    "invalid_backfill": InvalidBackfill,
    "invalid_jobs": InvalidJobs,
    "invalid_name": InvalidName,
    "invalid_scopes": InvalidScopes,
    "invalid_events": InvalidEvents,
    "invalid_filter": InvalidFilter,
    "invalid_format": InvalidFormat,
    "invalid_description": InvalidDescription,
    "invalid_include_response": InvalidIncludeResponse,
    "invalid_ordering": InvalidOrdering,
    "invalid_disabled": InvalidDisabled,
    "invalid_overlap_seconds": InvalidOverlapSeconds,
    "invalid_since": InvalidSince,
    "unauthorized": Unauthorized,
    "forbidden": Forbidden,
    "not_found": NotFound,
    "no_response": NoResponse,
    "method_not_allowed": MethodNotAllowed,
    "request_timeout": RequestTimeout,
    "job_already_fired": JobAlreadyFired,
    "job_expired": JobExpired,
    "job_not_waiting": JobNotWaiting,
    "job_not_failed": JobNotFailed,
    "spec_shredded": SpecShredded,
    "schedule_never_fires": ScheduleNeverFires,
    "key_taken": KeyTaken,
    "rule_not_known": RuleNotKnown,
    "last_token": LastToken,
    "too_many_tokens": TooManyTokens,
    "delivery_pending": DeliveryPending,
    "recovery_running": RecoveryRunning,
    "endpoint_disabled": EndpointDisabled,
    "too_many_endpoints": TooManyEndpoints,
    "too_many_signing_secrets": TooManySigningSecrets,
    "idempotency_key_reused": IdempotencyKeyReused,
    "too_old": TooOld,
    "response_forgotten": ResponseForgotten,
    "version_conflict": VersionConflict,
    "payload_too_large": PayloadTooLarge,
    "uri_too_long": UriTooLong,
    "rate_limit_exceeded": RateLimitExceeded,
    "too_many_connections": TooManyConnections,
    "too_many_streams": TooManyStreams,
    "waiting_jobs_limit_reached": WaitingJobsLimitReached,
    "stored_bytes_limit_reached": StoredBytesLimitReached,
    "daily_limit_reached": DailyLimitReached,
    "headers_too_large": HeadersTooLarge,
    "internal_error": InternalError,
    "unavailable": Unavailable,
    "outcome_unknown": OutcomeUnknown,
}
