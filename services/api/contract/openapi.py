"""
OpenAPI: the 3.1 description of the API, served at /v1/openapi.json to everybody.

Written by hand beside the routes and held to them by tests: every route of `app.ROUTES` has an operation here and the
other way round, and generated requests (schemathesis) must be answered as described.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import orjson
from aiohttp.web import BaseRequest

from services.api.contract.errors import CODES
from services.api.contract.openapi_schemas import JOB_ID, JOB_STATUS, KEY, SCHEDULE_ID, SCHEMAS, TOKEN_ID, Schema, ref
from services.api.http.auth import Identity
from services.api.http.reply import Reply


class Operation(NamedTuple):
    """
    One operation.

    Args:
        path, method: where.
        name: its operationId.
        summary: one line.
        status, answer: of success; *answer* is a schema's name, empty for no body.
        request: the body's schema, empty for none.
        refusals: statuses besides those that every operation may answer.
        parameters: query and header parameters.
    """

    path: str
    method: str
    name: str
    summary: str
    status: int
    answer: str
    request: str = ""
    refusals: tuple[int, ...] = ()
    parameters: tuple[str, ...] = ()


_PAGED: Final = ("limit", "cursor")
OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation(
        "/v1/jobs",
        "post",
        "createJob",
        "Create a job",
        201,
        "CreatedJob",
        request="JobRequest",
        refusals=(409, 429),
        parameters=("key",),
    ),
    Operation("/v1/jobs", "get", "listJobs", "List jobs", 200, "JobList", parameters=(*_PAGED, "status")),
    Operation(
        "/v1/jobs/batch",
        "post",
        "createJobs",
        "Create up to 1,000 jobs",
        200,
        "BatchResults",
        request="Batch",
        refusals=(429,),
    ),
    Operation("/v1/jobs/{job_id}", "get", "getJob", "Get a job", 200, "Job"),
    Operation("/v1/jobs/{job_id}", "delete", "cancelJob", "Cancel a job", 204, "", refusals=(409,)),
    Operation("/v1/jobs/{job_id}/executions", "get", "listExecutions", "List a job's executions", 200, "Executions"),
    Operation("/v1/jobs/{job_id}/events", "get", "listEvents", "A job's timeline from the log", 200, "Timeline"),
    Operation(
        "/v1/jobs/{job_id}/replay",
        "post",
        "replayJob",
        "Clone a failed job, due at once",
        201,
        "ReplayedJob",
        request="Nothing",
        refusals=(409, 429),
        parameters=("key",),
    ),
    Operation(
        "/v1/schedules",
        "post",
        "createSchedule",
        "Create a schedule",
        201,
        "CreatedSchedule",
        request="ScheduleRequest",
        refusals=(429,),
    ),
    Operation("/v1/schedules", "get", "listSchedules", "List schedules", 200, "ScheduleList", parameters=_PAGED),
    Operation("/v1/schedules/{schedule_id}", "get", "getSchedule", "Get a schedule", 200, "Schedule"),
    Operation("/v1/schedules/{schedule_id}", "delete", "deleteSchedule", "Delete a schedule", 204, ""),
    Operation(
        "/v1/schedules/{schedule_id}/pause",
        "post",
        "pauseSchedule",
        "Pause a schedule",
        200,
        "Schedule",
        request="Nothing",
    ),
    Operation(
        "/v1/schedules/{schedule_id}/resume",
        "post",
        "resumeSchedule",
        "Resume a schedule from now on",
        200,
        "Schedule",
        request="Nothing",
        refusals=(409,),
    ),
    Operation(
        "/v1/schedules/{schedule_id}/jobs",
        "get",
        "listScheduleJobs",
        "List the jobs that a schedule spawned",
        200,
        "JobList",
        parameters=(*_PAGED, "status"),
    ),
    Operation("/v1/tokens", "post", "createToken", "Create an API token", 201, "NewToken", request="TokenRequest"),
    Operation("/v1/tokens", "get", "listTokens", "List API tokens", 200, "TokenList"),
    Operation("/v1/tokens/{token_id}", "delete", "revokeToken", "Revoke an API token", 204, ""),
    Operation("/v1/signing-secret", "get", "getSigningSecret", "Get the signing secret", 200, "SigningSecret"),
    Operation(
        "/v1/signing-secret/rotate",
        "post",
        "rotateSigningSecret",
        "Replace the signing secret",
        200,
        "SigningSecret",
        request="Nothing",
    ),
    Operation("/v1/openapi.json", "get", "getOpenApi", "This document", 200, "object"),
)

_PARAMETERS: Final[dict[str, Schema]] = {
    "limit": {
        "name": "limit",
        "in": "query",
        "description": "Results per page.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
    },
    "cursor": {
        "name": "cursor",
        "in": "query",
        "description": "`next_cursor` of the page before, of the same list under the same filter.",
        "schema": {"type": "string"},
    },
    "status": {"name": "status", "in": "query", "description": "Only jobs with this status.", "schema": JOB_STATUS},
    "key": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Repeating the request with the same key makes no second job.",
        "schema": KEY,
    },
    "job_id": {"name": "job_id", "in": "path", "required": True, "schema": JOB_ID},
    "schedule_id": {"name": "schedule_id", "in": "path", "required": True, "schema": SCHEDULE_ID},
    "token_id": {"name": "token_id", "in": "path", "required": True, "schema": TOKEN_ID},
}
_ALWAYS: Final = (400, 401, 403, 405, 408, 413, 414, 431, 500, 503)


def document(version: str) -> dict[str, Any]:
    """Return the OpenAPI document of this *version*."""
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Fliq",
            "version": version,
            "description": "Calls a URL at a time: once (jobs) or by a cron rule (schedules).",
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


_MAY_BE_STALE: Final = frozenset(
    ("listJobs", "getJob", "listExecutions", "listSchedules", "listScheduleJobs")
)  # reads that go on while the log is away


def _operation(operation: Operation) -> dict[str, Any]:
    names = [*operation.parameters]
    before, brace, after = operation.path.partition("{")
    if brace:
        names.insert(0, after.partition("}")[0])
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [before.split("/")[2].removesuffix(".json")],
        "responses": _responses(operation, has_id=bool(brace)),
    }
    if names:
        described["parameters"] = [_PARAMETERS[name] for name in names]
    if operation.request:
        described["requestBody"] = _body(operation.request)
        if operation.request in ("Nothing", "TokenRequest"):
            described["requestBody"]["required"] = False
    if operation.name == "getOpenApi":
        described["security"] = []
    return described


def _responses(operation: Operation, *, has_id: bool) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "Done."}
    if operation.answer:
        schema = {"type": "object"} if operation.answer == "object" else ref(operation.answer)
        success["content"] = {"application/json": {"schema": schema}}
    if "key" in operation.parameters:
        header = {"description": "`true` when the job was made by an earlier request.", "schema": {"type": "string"}}
        success["headers"] = {"Idempotent-Replayed": header}
    if operation.name in _MAY_BE_STALE:
        header = {
            "description": "`true` when the log could not be asked: the answer may lack what was accepted before.",
            "schema": {"type": "string"},
        }
        success.setdefault("headers", {})["Fliq-Stale"] = header
    responses = {str(operation.status): success}
    for status in sorted({*_ALWAYS, *operation.refusals, *((404,) if has_id else ())}):
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


class OpenApi:
    """The handler for the document."""

    def __init__(self, version: str) -> None:
        self._body = orjson.dumps(document(version))

    async def get(self, _: BaseRequest, __: Identity, ___: str) -> Reply:
        """GET /v1/openapi.json."""
        return Reply(200, self._body)
