"""OpenAPI schemas: the shapes of requests and answers, in JSON Schema. Pure. Those of requests come from their tables of fields."""

from __future__ import annotations

from typing import Final, get_args

from libs.domain.endpoints.webhook_event import FAILING, GONE
from libs.events.retry_policy import EndedBy
from libs.store.control.limits import Limits
from services.api.contract.endpoints.deliveries import STATUSES as DELIVERY_STATUSES
from services.api.contract.endpoints.endpoint_requests import REQUESTED
from services.api.contract.endpoints.fields import ENDPOINT, ROTATION, change_schema
from services.api.contract.endpoints.recovery import RECOVERY
from services.api.contract.error_codes import CODES
from services.api.contract.field import Schema
from services.api.contract.fields.job_patch import JOB_PATCH_SCHEMA
from services.api.contract.fields.key_fields import KEY_MAX
from services.api.contract.fields.retry_fields import shown_schema
from services.api.contract.job_answers import STATUSES_OF
from services.api.contract.request_fields import BATCH, INSTANT, JOB, NOTHING, TOKEN
from services.api.contract.schedules.backfill import BACKFILL
from services.api.contract.schedules.fields import CHANGEABLE, PAUSE, PREVIEW, RESUME, RUN, SCHEDULE
from services.api.contract.schedules.run_times import SLOWER
from services.api.contract.schedules.schedule_answers import STATUSES
from services.api.contract.token_text import SCOPES
from services.api.openapi.account_schemas import ACTIVITY, FINDINGS, SYSTEM
from services.api.openapi.shapes import CAPTURE_OUT, INTEGER, RESPONSE, TEXT, closed, nullable, ref


def _id(prefix: str) -> Schema:
    return {"type": "string", "pattern": f"^{prefix}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$"}


JOB_ID: Final = _id("job")
SCHEDULE_ID: Final = _id("sched")
ENDPOINT_ID: Final = _id("whe")
TOKEN_ID: Final[Schema] = {"type": "string", "pattern": "^tok_[0-9A-Za-z]+$"}
JOB_STATUS: Final[Schema] = {"type": "string", "enum": list(STATUSES_OF)}
CURSOR: Final = nullable({"type": "string", "description": "The next page's cursor; null on the last page."})
HEADERS_OUT: Final = nullable({"type": "object", "additionalProperties": {"type": "string"}})
KEY: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": KEY_MAX}
LABELS_OUT: Final[Schema] = {"type": "object", "additionalProperties": {"type": "string"}}
# Of a list that was searched: there may be more, although this page is not full.
PARTIAL: Final[Schema] = {
    "type": "boolean",
    "description": "true: the search went through as many rows as it may, and goes on at next_cursor.",
}
# What a request made of the job that has its key.
EXISTING: Final[Schema] = {"type": "string", "enum": ["kept", "replaced", "extended"]}

_CREATED_JOB: Final[dict[str, Schema]] = {
    "id": JOB_ID,
    "url": TEXT,
    "http_method": TEXT,
    "scheduled_at": INSTANT,
    "max_retries": INTEGER,
    "status": JOB_STATUS,
    "created_at": INSTANT,
}
# Shown where they say something: of jobs that were given them, and of jobs at their end.
_MORE: Final[dict[str, Schema]] = {
    **CAPTURE_OUT,
    "webhook_retry": nullable(shown_schema()),
    "retry": nullable(shown_schema()),
    "success_on": {"type": "array", "items": TEXT},
    "expires_at": nullable(INSTANT),
    "waiting_key": KEY,
    "singleton_key": KEY,
    "labels": LABELS_OUT,
    "ended_by": {"type": "string", "enum": list(get_args(EndedBy))},
}
_JOB_ITEM: Final = (
    _CREATED_JOB
    | {
        "execution_count": INTEGER,
        "idempotency_key": nullable(TEXT),
        "webhook_url": nullable(TEXT),
        "schedule_id": nullable(SCHEDULE_ID),
        "next_attempt_at": nullable(INSTANT),
        "started_at": nullable(INSTANT),
        "completed_at": nullable(INSTANT),
        "last_status_code": nullable(INTEGER),
        "last_error": nullable(TEXT),
    }
    | _MORE
)
_WAITING_FOR: Final = closed({"blocked_on": {"type": "string", "enum": ["daily_limit"]}, "not_before": INSTANT})
# Not in lists, and only shown to tokens whose scopes cover `read:payloads`, or `write:payloads` in answers to changes.
_PAYLOAD: Final[dict[str, Schema]] = {
    "headers": HEADERS_OUT,
    "body": nullable(TEXT),
    "webhook_headers": HEADERS_OUT,
}
_CREATED_SCHEDULE: Final[dict[str, Schema]] = {
    "id": SCHEDULE_ID,
    "url": TEXT,
    "cron": nullable(TEXT),
    "status": {"type": "string", "enum": list(STATUSES)},
    "created_at": INSTANT,
    "next_run_at": nullable(INSTANT),
}
_SCHEDULE_ITEM: Final = _CREATED_SCHEDULE | {
    "http_method": TEXT,
    "max_retries": INTEGER,
    "timeout_seconds": INTEGER,
    "webhook_url": nullable(TEXT),
    "last_run_at": nullable(INSTANT),
    "every": nullable(closed({"seconds": INTEGER, "anchor": INSTANT})),
    "timezone": nullable(TEXT),
    "dst": nullable(closed({"gap": TEXT, "fold": TEXT})),
    "starts_at": nullable(INSTANT),
    "ends_at": nullable(INSTANT),
    "exclude": {"type": "array", "items": TEXT},
    "spread": nullable(closed({"seconds": INTEGER, "by": TEXT})),
    "max_runs": nullable(INTEGER),
    "misfire": TEXT,
    "catchup_window_seconds": nullable(INTEGER),
    "catchup_max": nullable(INTEGER),
    "overlap": TEXT,
    "buffer_max": nullable(INTEGER),
    "overlap_grace_seconds": INTEGER,
    "pause_after_failures": INTEGER,
    "next_tick_at": nullable(INSTANT),
    "run_count": nullable(INTEGER),
    "missed_count": nullable(INTEGER),
    "skipped_count": nullable(INTEGER),
    "failures_in_row": nullable(INTEGER),
    "active_jobs": {"type": "array", "items": JOB_ID},
    "overlap_grace_until": nullable(INSTANT),
    "buffered": {"type": "array", "items": INSTANT},
    "zone_data": nullable(TEXT),
    "version": INTEGER,
    "key": nullable(TEXT),
    "paused_until": nullable(INSTANT),
    "note": nullable(TEXT),
    "retry": nullable(shown_schema()),
    "success_on": {"type": "array", "items": TEXT},
    "expires_in_seconds": nullable({"type": "number"}),
    "webhook_retry": nullable(shown_schema()),
    "labels": LABELS_OUT,
    **CAPTURE_OUT,
}
_TOKEN: Final[dict[str, Schema]] = {
    "id": TOKEN_ID,
    "name": TEXT,
    "scopes": {"type": "array", "items": {"type": "string", "enum": list(SCOPES)}},
    "last_four": TEXT,
    "created_at": INSTANT,
    "expires_at": nullable(INSTANT),
    "parent": nullable(TOKEN_ID),
}

_WARNING: Final[dict[str, Schema]] = {"warning": {"type": "string", "enum": [SLOWER]}}
PATCH_SCHEMA: Final = {name: each for name, each in CHANGEABLE.schema().items() if name != "required"}
_FILTER: Final[dict[str, Schema]] = {
    "schedule_ids": {"type": "array", "items": SCHEDULE_ID},
    "labels": {"type": "array", "items": TEXT},
    "hosts": {"type": "array", "items": TEXT},
    "status_codes": {"type": "array", "items": INTEGER},
}
DELIVERY_ID: Final = _id("whd")
DELIVERY_STATUS: Final[Schema] = {"type": "string", "enum": [*DELIVERY_STATUSES]}
_DELIVERY: Final[dict[str, Schema]] = {
    "id": DELIVERY_ID,
    "endpoint_id": nullable(ENDPOINT_ID),
    "event": TEXT,
    "job_id": nullable(JOB_ID),
    "url": nullable(TEXT),
    "status": DELIVERY_STATUS,
    "attempt_count": INTEGER,
    "last_status_code": nullable(INTEGER),
    "last_error": nullable(TEXT),
    "created_at": INSTANT,
    "next_attempt_at": nullable(INSTANT),
    "ended_at": nullable(INSTANT),
}
_DELIVERY_ATTEMPT: Final[dict[str, Schema]] = {
    "is_redelivery": {"type": "boolean"},
    "status": nullable({"type": "string", "enum": ["success", "failed"]}),
    "status_code": nullable(INTEGER),
    "error": nullable(TEXT),
    "duration_ms": nullable(INTEGER),
    "executed_at": INSTANT,
}
_ASKED: Final = ENDPOINT.schema()["properties"]
_ENDPOINT: Final[dict[str, Schema]] = {
    "id": ENDPOINT_ID,
    "url": TEXT,
    "events": {"type": "array", "items": TEXT},
    "filter": nullable(ref("EndpointFilter")),
    "format": {"type": "string", "enum": _ASKED["format"]["enum"]},
    "description": TEXT,
    "include_response": {"type": "boolean"},
    "ordering": {"type": "string", "enum": _ASKED["ordering"]["enum"]},
    "disabled": {"type": "boolean"},
    "retry": shown_schema(),
    "disabled_reason": nullable({"type": "string", "enum": [REQUESTED, GONE, FAILING]}),
    "created_at": INSTANT,
    "changed_at": INSTANT,
    "version": INTEGER,
}

_EXECUTIONS: Final[Schema] = {
    "type": "array",
    "items": closed(
        {
            "id": _id("exec"),
            "attempt_num": INTEGER,
            "status": nullable({"type": "string", "enum": ["success", "failed"]}),
            "status_code": nullable(INTEGER),
            "duration_ms": nullable(INTEGER),
            "executed_at": INSTANT,
            "error": nullable(TEXT),
            "error_detail": TEXT,
            "resent": {"type": "boolean"},
        },
        optional=("error_detail", "resent"),
    ),
}

SCHEMAS: Final[dict[str, Schema]] = {
    "Error": closed(
        {"error": closed({"code": {"type": "string", "enum": sorted(CODES)}, "message": TEXT})},
    ),
    "JobRequest": JOB.schema(),
    "JobPatch": JOB_PATCH_SCHEMA,
    "CreatedJob": closed(_CREATED_JOB),
    "ReplayedJob": closed(_CREATED_JOB | {"replay_of": JOB_ID}),
    "Job": closed(_JOB_ITEM | {"waiting_for": _WAITING_FOR} | _PAYLOAD, optional=(*_PAYLOAD, *_MORE, "waiting_for")),
    "JobList": closed(
        {
            "jobs": {"type": "array", "items": closed(_JOB_ITEM, optional=tuple(_MORE))},
            "next_cursor": CURSOR,
            "partial": PARTIAL,
        },
        optional=("partial",),
    ),
    "Batch": BATCH.schema(),
    "BatchResults": closed(
        {
            "results": {
                "type": "array",
                "items": {
                    "oneOf": [
                        closed({"job": ref("CreatedJob"), "existing": EXISTING}, optional=("existing",)),
                        ref("Error"),
                    ]
                },
            }
        }
    ),
    "Executions": closed({"executions": _EXECUTIONS}),
    "Response": RESPONSE,
    "Timeline": closed(
        {
            "events": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"type": TEXT, "at": INSTANT, "position": INTEGER, "partition": INTEGER},
                    "required": ["type", "at", "position", "partition"],
                },
            },
            "trimmed": {"type": "boolean"},
            "status": JOB_STATUS,
            "completed_at": nullable(INSTANT),
            "executions": _EXECUTIONS,
        },
        optional=("trimmed", "status", "completed_at", "executions"),
    ),
    "ScheduleRequest": SCHEDULE.schema(),
    "CreatedSchedule": closed(_CREATED_SCHEDULE),
    "Schedule": closed(
        _SCHEDULE_ITEM | _PAYLOAD | _WARNING, optional=(*_PAYLOAD, *_WARNING, *CAPTURE_OUT, "webhook_retry", "labels")
    ),
    "ScheduleList": closed(
        {
            "schedules": {
                "type": "array",
                "items": closed(_SCHEDULE_ITEM, optional=(*CAPTURE_OUT, "webhook_retry", "labels")),
            },
            "next_cursor": CURSOR,
            "partial": PARTIAL,
        },
        optional=("partial",),
    ),
    "SchedulePatch": PATCH_SCHEMA,
    "PauseRequest": PAUSE.schema(),
    "ResumeRequest": RESUME.schema(),
    "RunRequest": RUN.schema(),
    "ManualRun": closed(_CREATED_JOB | {"schedule_id": SCHEDULE_ID}),
    "BackfillRequest": BACKFILL.schema(),
    "Backfill": closed(
        {
            "schedule_id": SCHEDULE_ID,
            "version": INTEGER,
            "dry_run": {"type": "boolean"},
            "ticks": INTEGER,
            "ran": INTEGER,
            "jobs": INTEGER,
            "first_call_at": nullable(INSTANT),
            "last_call_at": nullable(INSTANT),
        }
    ),
    "BackfillStop": closed({"schedule_id": SCHEDULE_ID, "jobs": INTEGER}),
    "PreviewRequest": PREVIEW.schema(),
    "Preview": closed(
        {
            "runs": {
                "type": "array",
                "items": closed(
                    {
                        "at": INSTANT,
                        "tick_at": INSTANT,
                        "local": TEXT,
                        "nominal_local": TEXT,
                        "note": nullable({"type": "string", "enum": ["gap", "fold"]}),
                    }
                ),
            },
            "text": TEXT,
            "zone_data": nullable(TEXT),
            "warnings": {"type": "array", "items": TEXT},
        }
    ),
    "EndpointRequest": ENDPOINT.schema(),
    "EndpointChange": change_schema(),
    "RotationRequest": ROTATION.schema(),
    "EndpointFilter": closed(_FILTER, optional=tuple(_FILTER)),
    "Endpoint": closed(_ENDPOINT | {"headers": HEADERS_OUT}, optional=("headers",)),
    "DeliveryList": closed(
        {"deliveries": {"type": "array", "items": closed(_DELIVERY)}, "next_cursor": CURSOR, "partial": PARTIAL},
        optional=("partial",),
    ),
    "DeliveryDetail": closed(
        _DELIVERY | {"attempts": {"type": "array", "items": closed(_DELIVERY_ATTEMPT)}, "body": nullable(TEXT)},
        optional=("body",),
    ),
    "RecoveryRequest": RECOVERY.schema(),
    "Recovery": closed(
        {
            "endpoint_id": ENDPOINT_ID,
            "status": {"type": "string", "enum": ["running", "completed", "stopped"]},
            "since": INSTANT,
            "until": INSTANT,
            "recovered_count": INTEGER,
            "created_at": INSTANT,
            "ended_at": nullable(INSTANT),
        }
    ),
    "SentTest": closed({"delivery_id": DELIVERY_ID}),
    "EndpointList": closed({"endpoints": {"type": "array", "items": closed(_ENDPOINT)}}),
    "StreamEvent": closed(
        dict.fromkeys(("specversion", "id", "type", "source", "subject", "datacontenttype"), TEXT)
        | {"time": INSTANT, "data": {"type": "object"}}
    ),
    "Account": closed(
        {
            "account": TEXT,
            "limits": closed({name: nullable(INTEGER) for name in Limits._fields}),
            "use": closed(
                {
                    "executions_today": INTEGER,
                    "waiting_jobs": nullable(INTEGER),
                    "stored_bytes": nullable(INTEGER),
                }
            ),
            "token": closed({"id": TEXT, "scopes": {"type": "array", "items": TEXT}}),
        }
    ),
    "Activity": ACTIVITY,
    "System": SYSTEM,
    "Findings": FINDINGS,
    "TokenRequest": TOKEN.schema(),
    "NewToken": closed(_TOKEN | {"token": {"type": "string", "description": "The secret, shown this once."}}),
    "TokenList": closed({"tokens": {"type": "array", "items": closed(_TOKEN)}}),
    "SigningSecret": closed(
        {
            "secret": {"type": "string", "pattern": "^whsec_"},
            "previous_secrets": {
                "type": "array",
                "items": TEXT,
                "description": "Secrets that sign as well until 24 h after they were replaced.",
            },
        }
    ),
    "Nothing": NOTHING.schema(),
    "WebhookPayload": closed(
        {
            "job_id": JOB_ID,
            "status": {"type": "string", "enum": ["completed", "failed", "cancelled"]},
            "status_code": nullable(INTEGER),
            "last_error": nullable(TEXT),
            "completed_at": INSTANT,
            "attempt_num": INTEGER,
        }
    ),
}
