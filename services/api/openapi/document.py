"""
OpenAPI: the 3.1 description of the API, served at /v1/openapi.json to everybody.

Made from the table of routes, the tables of request fields and the error codes. Generated requests (schemathesis) must be
answered as described.
"""

from __future__ import annotations

import re
from typing import Any, Final

from libs.domain.calendar.preview import PREVIEW_COUNT_MAX
from services.api.contract.endpoints.deliveries import TOLD
from services.api.contract.error_codes import CODES
from services.api.contract.field import Schema
from services.api.contract.fields.event_filter import EVENT_TYPES
from services.api.contract.fields.label_fields import LABEL_TEXT, LABELS_MAX
from services.api.contract.query import LIMIT_DEFAULT, LIMIT_MAX
from services.api.contract.request_fields import INSTANT
from services.api.contract.routes import ROUTES, Route
from services.api.contract.schedules.fields import PREVIEW_COUNT, SCHEDULE_KEY
from services.api.contract.schedules.schedule_answers import STATUSES
from services.api.openapi.schemas import (
    DELIVERY_ID,
    DELIVERY_STATUS,
    ENDPOINT_ID,
    EXISTING,
    JOB_ID,
    JOB_STATUS,
    KEY,
    SCHEDULE_ID,
    SCHEMAS,
    TOKEN_ID,
)
from services.api.openapi.shapes import ref

_PARAMETERS: Final[dict[str, Schema]] = {
    "limit": {
        "name": "limit",
        "in": "query",
        "description": "Results per page.",
        "schema": {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
    },
    "cursor": {
        "name": "cursor",
        "in": "query",
        "description": "`next_cursor` of the page before, of the same list under the same filter.",
        "schema": {"type": "string"},
    },
    "status": {"name": "status", "in": "query", "description": "Only jobs with this status.", "schema": JOB_STATUS},
    "count": {
        "name": "count",
        "in": "query",
        "description": "Runs to show.",
        "schema": {"type": "integer", "minimum": 1, "maximum": PREVIEW_COUNT_MAX, "default": PREVIEW_COUNT},
    },
    "after": {
        "name": "after",
        "in": "query",
        "description": "Show the runs after this instant; by default now.",
        "schema": INSTANT,
    },
    "key": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Repeating the request with the same key makes no second job.",
        "schema": KEY,
    },
    "if_match": {
        "name": "If-Match",
        "in": "header",
        "description": "The ETag of the version to change; another version is refused with 412.",
        "schema": {"type": "string"},
    },
    "if_none_match": {
        "name": "If-None-Match",
        "in": "header",
        "description": "`*`: make something new, or refuse with 412.",
        "schema": {"type": "string"},
    },
    "label": {
        "name": "label",
        "in": "query",
        "description": "Only what has this label, `name:value`; if it stands several times, all of them.",
        "schema": {"type": "array", "maxItems": LABELS_MAX, "items": {"type": "string", "pattern": LABEL_TEXT}},
        "style": "form",
        "explode": True,
    },
    **{
        f"{what}_{side}": {"name": f"{what}_{side}", "in": "query", "description": text, "schema": INSTANT}
        for what, side, text in (
            (
                "created",
                "after",
                "Only what was created at this instant or later; of a run of a schedule its tick counts.",
            ),
            ("created", "before", "Only what was created before this instant."),
            ("scheduled", "after", "Only jobs whose `scheduled_at` is this instant or later."),
            ("scheduled", "before", "Only jobs whose `scheduled_at` is before this instant."),
        )
    },
    "q": {
        "name": "q",
        "in": "query",
        "description": "Only what this is, exactly: the id of a job, of an execution or of a schedule, an idempotency key, or the"
        " key of a schedule.",
        "schema": KEY,
    },
    "dry_run": {
        "name": "dry_run",
        "in": "query",
        "description": "`true`: change nothing, and say in `Fliq-Change` what would happen; 404 if the schedule would be made.",
        "schema": {"type": "boolean", "default": False},
    },
    "schedule_status": {
        "name": "status",
        "in": "query",
        "description": "Only schedules with this status.",
        "schema": {"type": "string", "enum": list(STATUSES)},
    },
    "delivery_status": {
        "name": "status",
        "in": "query",
        "description": "Only deliveries with this status.",
        "schema": DELIVERY_STATUS,
    },
    "of_key": {
        "name": "key",
        "in": "query",
        "description": "Only the schedule of this key.",
        "schema": SCHEDULE_KEY,
    },
    "schedule_key": {
        "name": "schedule_key",
        "in": "path",
        "required": True,
        "schema": SCHEDULE_KEY,
    },
    "endpoint": {
        "name": "endpoint",
        "in": "query",
        "description": "Only deliveries to this webhook endpoint.",
        "schema": ENDPOINT_ID,
    },
    "job": {"name": "job", "in": "query", "description": "Only deliveries about this job.", "schema": JOB_ID},
    "event": {
        "name": "event",
        "in": "query",
        "description": "Only deliveries of this event.",
        "schema": {"type": "string", "enum": [*TOLD]},
    },
    "of_schedule": {
        "name": "schedule_id",
        "in": "query",
        "description": "Only what is of this schedule and its jobs.",
        "schema": SCHEDULE_ID,
    },
    "types": {
        "name": "types",
        "in": "query",
        "description": "Only events of these types.",
        "schema": {"type": "array", "items": {"type": "string", "enum": [*EVENT_TYPES]}},
        "style": "form",
        "explode": False,
    },
    "last_event_id": {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "The last `id` of an earlier stream of the account: begin behind it.",
        "schema": {"type": "string"},
    },
    "since": {"name": "since", "in": "query", "description": "Only events from this instant on.", "schema": INSTANT},
    "until": {"name": "until", "in": "query", "description": "Only events before this instant.", "schema": INSTANT},
    "endpoint_id": {"name": "endpoint_id", "in": "path", "required": True, "schema": ENDPOINT_ID},
    "delivery_id": {"name": "delivery_id", "in": "path", "required": True, "schema": DELIVERY_ID},
    "job_id": {"name": "job_id", "in": "path", "required": True, "schema": JOB_ID},
    "attempt_num": {
        "name": "attempt_num",
        "in": "path",
        "required": True,
        "description": "The `attempt_num` of the execution.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 9999},
    },
    "schedule_id": {"name": "schedule_id", "in": "path", "required": True, "schema": SCHEDULE_ID},
    "token_id": {"name": "token_id", "in": "path", "required": True, "schema": TOKEN_ID},
}
_IN_PATH: Final = re.compile(r"{(\w+)}")
_ALWAYS: Final = (400, 401, 403, 405, 408, 413, 414, 431, 500, 503)


def document(version: str) -> dict[str, Any]:
    """Return the OpenAPI document of this *version*."""
    paths: dict[str, Any] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Fliq",
            "version": version,
            "description": "Makes HTTP calls at the instants you choose: once (jobs), or on a cron schedule (schedules).",
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "webhooks": {
            "jobEnded": {
                "post": {
                    "summary": "Sent once to a job's webhook_url when it reached its end; best effort, 10 s",
                    "requestBody": _body("WebhookPayload"),
                    "responses": {"200": {"description": "Any answer is taken as received."}},
                }
            }
        },
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "`fliq_sk_...`"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    names = [*route.parameters]
    before, brace, _ = route.path.partition("{")
    names = [*_IN_PATH.findall(route.path), *names]
    described: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [before.split("/")[2].removesuffix(".json")],
        "responses": _responses(route, has_id=bool(brace)),
    }
    if names:
        described["parameters"] = [_PARAMETERS[name] for name in names]
    if route.request:
        described["requestBody"] = _body(route.request)
        if route.request in (
            "Nothing",
            "TokenRequest",
            "PauseRequest",
            "ResumeRequest",
            "RotationRequest",
            "RunRequest",
        ):
            described["requestBody"]["required"] = False
    described["security"] = [{"token": [route.scope]}] if route.scope else []
    return described


def _responses(route: Route, *, has_id: bool) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "Done."}
    if route.answer:
        schema = {"type": "object"} if route.answer == "object" else ref(route.answer)
        success["content"] = {route.media: {"schema": schema}}
    if "key" in route.parameters:
        header = {"description": "`true` when the job was made by an earlier request.", "schema": {"type": "string"}}
        success["headers"] = {"Idempotent-Replayed": header}
    if route.may_be_stale:
        header = {
            "description": "`true` when the log could not be asked: the answer may lack what was accepted before.",
            "schema": {"type": "string"},
        }
        success.setdefault("headers", {})["Fliq-Stale"] = header
    responses = {str(route.status): success}
    if route.may_create:
        responses["201"] = success
    if route.may_find:
        header = {"description": "What became of the job that has the request's key.", "schema": EXISTING}
        responses["200"] = success | {"headers": {"Fliq-Existing": header}}
    limited = (429,) if route.scope else ()
    for status in sorted({*_ALWAYS, *limited, *route.refusals, *((404,) if has_id else ())}):
        codes = ", ".join(f"`{code}`" for code, (code_status, _) in CODES.items() if code_status == status)
        refusal: dict[str, Any] = {
            "description": f"Refused: {codes}.",
            "content": {"application/json": {"schema": ref("Error")}},
        }
        if status in (429, 503):
            retry_after = {"description": "Seconds to wait.", "schema": {"type": "string"}}
            refusal["headers"] = {"Retry-After": retry_after}
        responses[str(status)] = refusal
    return responses


def _body(name: str) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": ref(name)}}}
