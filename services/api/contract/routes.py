"""
Routes: the table of everything that the API serves. Pure.

To add a route, add a row and the method that `handler` names. The dispatch of requests (services/api/http/app.py), the OpenAPI
document (`services/api/openapi`) and the table of routes in docs/api.md (`make docs`) follow from the row.
"""

from typing import Final, NamedTuple

from services.api.contract.request_fields import BATCH_MAX


class Route(NamedTuple):
    """
    One row.

    Args:
        method: the HTTP method; a `GET` also answers `HEAD`.
        path: the path, with `{...}` for an id; a path of two ids has them as its second and fourth part behind the root.
        scope: the scope that a token needs; empty for everybody.
        handler: the group of handlers in services/api/service.py, and its method.
        name: the operationId.
        summary: one line.
        section: the heading of docs/api.md that explains it; empty for none.
        status, answer: of success; *answer* is a schema's name, empty for no body.
        request: the body's schema, empty for none.
        refusals: statuses besides those that every route may answer.
        parameters: query and header parameters, as the OpenAPI document names them.
        may_create: it answers 201 if it made something new.
        may_find: it answers 200 if what it would make is there.
        media: what the answer is, if it is no JSON.
        may_be_stale: the read goes on while the log is away, with a header that says so.
    """

    method: str
    path: str
    scope: str
    handler: str
    name: str
    summary: str
    section: str
    status: int
    answer: str
    request: str = ""
    refusals: tuple[int, ...] = ()
    parameters: tuple[str, ...] = ()
    may_be_stale: bool = False
    may_create: bool = False
    may_find: bool = False
    media: str = "application/json"

    @property
    def query(self) -> tuple[str, ...]:
        """The parameters that stand behind the path, not in a header."""
        return tuple(QUERY_NAMES.get(name, name) for name in self.parameters if name not in _HEADERS)


_HEADERS: Final = frozenset({"key", "if_match", "if_none_match", "last_event_id"})
QUERY_NAMES: Final = {
    "schedule_status": "status",
    "delivery_status": "status",
    "of_key": "key",
    "of_schedule": "schedule_id",
}  # called otherwise than in `parameters`
_LIST: Final = ("limit", "cursor")
_FILTERS: Final = ("label", "created_after", "created_before")
_JOBS: Final = (*_LIST, "status", *_FILTERS, "scheduled_after", "scheduled_before", "q")
_DELIVERIES: Final = (*_LIST, "endpoint", "job", "event", "delivery_status", "since", "until")
_JOB: Final = "/v1/jobs/{job_id}"
_SCHEDULE: Final = "/v1/schedules/{schedule_id}"
_ENDPOINT: Final = "/v1/webhooks/endpoints/{endpoint_id}"
_DELIVERY: Final = "/v1/webhooks/deliveries/{delivery_id}"

# fmt: off
ROUTES: Final[tuple[Route, ...]] = (
    Route("POST", "/v1/jobs", "write:jobs", "creation.create", "createJob", "Create a job", "Jobs",
          201, "CreatedJob", request="JobRequest", refusals=(409, 429), parameters=("key",), may_find=True),
    Route("GET", "/v1/jobs", "read:jobs", "jobs.list", "listJobs", "List jobs", "Lists",
          200, "JobList", parameters=_JOBS, may_be_stale=True),
    Route("POST", "/v1/jobs/batch", "write:jobs", "creation.create_batch", "createJobs", f"Create up to {BATCH_MAX:,} jobs",
          "Batches", 200, "BatchResults", request="Batch", refusals=(429,)),
    Route("GET", _JOB, "read:jobs", "jobs.get", "getJob", "Get a job", "Jobs",
          200, "Job", may_be_stale=True),
    Route("DELETE", _JOB, "write:jobs", "jobs.cancel", "cancelJob", "Cancel a job", "Jobs",
          204, "", refusals=(409,)),
    Route("PATCH", _JOB, "write:jobs", "job_changes.patch", "updateJob", "Change a job that waits", "Jobs",
          200, "Job", request="JobPatch", refusals=(409, 412), parameters=("if_match",)),
    Route("POST", f"{_JOB}/run", "write:jobs", "job_changes.run", "runJob", "Call a job that waits now", "Jobs",
          200, "Job", request="Nothing", refusals=(409, 412), parameters=("if_match",)),
    Route("POST", f"{_JOB}/stop", "write:jobs", "jobs.stop", "stopJob", "Stop a job, also one under way", "Jobs",
          200, "Job", request="Nothing"),
    Route("GET", f"{_JOB}/executions", "read:jobs", "jobs.executions", "listExecutions", "List a job's executions",
          "Executions and timeline", 200, "Executions", may_be_stale=True),
    Route("GET", f"{_JOB}/executions/{{attempt_num}}/response", "read:payloads", "responses.get", "getResponse",
          "What the target answered to an attempt", "Executions and timeline", 200, "Response", refusals=(410,),
          may_be_stale=True),
    Route("GET", f"{_JOB}/events", "read:jobs", "jobs.events", "listEvents", "A job's timeline from the log",
          "Executions and timeline", 200, "Timeline"),
    Route("POST", f"{_JOB}/replay", "write:jobs", "creation.replay", "replayJob", "Clone a failed job, due at once", "Replay",
          201, "ReplayedJob", request="Nothing", refusals=(409, 429), parameters=("key",)),
    Route("POST", "/v1/schedules", "write:jobs", "schedule_creation.create", "createSchedule", "Create a schedule", "Schedules",
          201, "CreatedSchedule", request="ScheduleRequest", refusals=(409, 429), parameters=("key",)),
    Route("GET", "/v1/schedules", "read:jobs", "schedule_creation.list", "listSchedules", "List schedules", "Lists",
          200, "ScheduleList", parameters=(*_LIST, "schedule_status", "of_key", *_FILTERS, "q"), may_be_stale=True),
    Route("POST", "/v1/schedules/preview", "read:jobs", "preview.of_request", "previewRule",
          "The coming runs of a rule that is not saved", "Preview", 200, "Preview", request="PreviewRequest"),
    Route("GET", _SCHEDULE, "read:jobs", "schedule_creation.get", "getSchedule", "Get a schedule", "Schedules",
          200, "Schedule"),
    Route("PATCH", _SCHEDULE, "write:jobs", "schedule_changes.patch", "patchSchedule", "Change a schedule", "Changes",
          200, "Schedule", request="SchedulePatch", refusals=(409, 412), parameters=("if_match",)),
    Route("GET", "/v1/schedules/by-key/{schedule_key}", "read:jobs", "schedule_keys.get", "getScheduleByKey",
          "Get the schedule of a key", "Keys", 200, "Schedule"),
    Route("PUT", "/v1/schedules/by-key/{schedule_key}", "write:jobs", "schedule_keys.put", "putSchedule",
          "Make the schedule of a key, or replace it", "Keys",
          200, "Schedule", request="ScheduleRequest", refusals=(409, 412, 429), parameters=("if_match", "if_none_match", "dry_run"),
          may_create=True),
    Route("DELETE", _SCHEDULE, "write:jobs", "schedule_changes.delete", "deleteSchedule", "Delete a schedule", "Schedules",
          204, ""),
    Route("GET", f"{_SCHEDULE}/preview", "read:jobs", "preview.of_schedule", "previewSchedule",
          "The coming runs of a schedule", "Preview", 200, "Preview", refusals=(409,), parameters=("count", "after")),
    Route("POST", f"{_SCHEDULE}/run", "write:jobs", "schedule_runs.run", "runSchedule", "Run a schedule now", "Run now",
          201, "ManualRun", request="RunRequest", refusals=(409, 429), parameters=("key",)),
    Route("POST", f"{_SCHEDULE}/backfill", "write:jobs", "schedule_backfills.backfill", "backfillSchedule",
          "Make up for ticks that have gone by", "Back-fill",
          200, "Backfill", request="BackfillRequest", refusals=(409, 429), parameters=("key",)),
    Route("POST", f"{_SCHEDULE}/backfill/stop", "write:jobs", "schedule_backfills.stop", "stopBackfill",
          "Cancel the jobs of back-fills that have not begun", "Back-fill", 200, "BackfillStop", request="Nothing"),
    Route("POST", f"{_SCHEDULE}/pause", "write:jobs", "schedule_changes.pause", "pauseSchedule", "Pause a schedule", "Schedules",
          200, "Schedule", request="PauseRequest", refusals=(409, 412)),
    Route("POST", f"{_SCHEDULE}/resume", "write:jobs", "schedule_changes.resume", "resumeSchedule", "Resume a schedule from now on",
          "Schedules", 200, "Schedule", request="ResumeRequest", refusals=(409, 412)),
    Route("GET", f"{_SCHEDULE}/events", "read:jobs", "schedule_timeline.events", "listScheduleEvents",
          "A schedule's timeline from the log", "Schedule timeline", 200, "Timeline", parameters=("limit",)),
    Route("GET", f"{_SCHEDULE}/jobs", "read:jobs", "jobs.list_of_schedule", "listScheduleJobs",
          "List the jobs that a schedule spawned", "Lists", 200, "JobList", parameters=_JOBS, may_be_stale=True),
    Route("POST", "/v1/webhooks/endpoints", "write:webhooks", "endpoints.create", "createEndpoint", "Create a webhook endpoint",
          "Webhook endpoints", 201, "Endpoint", request="EndpointRequest", refusals=(409,)),
    Route("GET", "/v1/webhooks/endpoints", "read:webhooks", "endpoints.list", "listEndpoints", "List webhook endpoints",
          "Webhook endpoints", 200, "EndpointList"),
    Route("GET", _ENDPOINT, "read:webhooks", "endpoints.get", "getEndpoint", "Get a webhook endpoint", "Webhook endpoints",
          200, "Endpoint"),
    Route("PATCH", _ENDPOINT, "write:webhooks", "endpoints.change", "changeEndpoint", "Change a webhook endpoint",
          "Webhook endpoints", 200, "Endpoint", request="EndpointChange", refusals=(409, 412), parameters=("if_match",)),
    Route("DELETE", _ENDPOINT, "write:webhooks", "endpoints.delete", "deleteEndpoint", "Delete a webhook endpoint",
          "Webhook endpoints", 204, ""),
    Route("GET", f"{_ENDPOINT}/deliveries", "read:webhooks", "deliveries.list_of_endpoint", "listEndpointDeliveries",
          "List what a webhook endpoint is told", "Deliveries", 200, "DeliveryList", parameters=_LIST, may_be_stale=True),
    Route("POST", f"{_ENDPOINT}/test", "write:webhooks", "endpoints.test", "testEndpoint", "Send a webhook endpoint a test event",
          "Webhook endpoints", 202, "SentTest", request="Nothing", refusals=(409,)),
    Route("GET", f"{_ENDPOINT}/secret", "read:secrets", "endpoints.secret", "getEndpointSecret",
          "Get the signing secret of a webhook endpoint", "Webhook endpoints", 200, "SigningSecret", refusals=(409,)),
    Route("POST", f"{_ENDPOINT}/secret/rotate", "write:secrets", "endpoints.rotate", "rotateEndpointSecret",
          "Replace the signing secret of a webhook endpoint", "Webhook endpoints", 200, "SigningSecret",
          request="RotationRequest", refusals=(409,)),
    Route("POST", f"{_ENDPOINT}/recover", "write:webhooks", "recoveries.begin", "recoverEndpoint",
          "Send a webhook endpoint again what it did not take", "Recovery", 202, "Recovery", request="RecoveryRequest",
          refusals=(409,)),
    Route("GET", f"{_ENDPOINT}/recover", "read:webhooks", "recoveries.get", "getRecovery",
          "The last recovery of a webhook endpoint", "Recovery", 200, "Recovery"),
    Route("GET", "/v1/webhooks/deliveries", "read:webhooks", "deliveries.list", "listDeliveries", "List webhook deliveries",
          "Deliveries", 200, "DeliveryList", parameters=_DELIVERIES, may_be_stale=True),
    Route("GET", _DELIVERY, "read:webhooks", "deliveries.get", "getDelivery", "Get a webhook delivery with its attempts",
          "Deliveries", 200, "DeliveryDetail", may_be_stale=True),
    Route("POST", f"{_DELIVERY}/redeliver", "write:webhooks", "deliveries.redeliver", "redeliver", "Send a webhook once more",
          "Deliveries", 202, "SentTest", request="Nothing", refusals=(409,)),
    Route("GET", "/v1/events", "read:jobs", "events.stream", "streamEvents", "A stream of what happens, as it happens", "Stream",
          200, "StreamEvent", refusals=(410, 429), parameters=("types", "label", "of_schedule", "since", "last_event_id"),
          media="text/event-stream"),
    Route("GET", "/v1/account", "read:jobs", "account.get", "getAccount", "Limits and use of the account", "Limits",
          200, "Account"),
    Route("GET", "/v1/account/activity", "read:jobs", "account.activity", "getActivity", "What the account's jobs did in a day",
          "Activity", 200, "Activity", may_be_stale=True),
    Route("POST", "/v1/tokens", "write:tokens", "tokens.create", "createToken", "Create an API token", "Tokens",
          201, "NewToken", request="TokenRequest"),
    Route("GET", "/v1/tokens", "read:tokens", "tokens.list", "listTokens", "List API tokens", "Tokens",
          200, "TokenList"),
    Route("DELETE", "/v1/tokens/{token_id}", "write:tokens", "tokens.revoke", "revokeToken", "Revoke an API token", "Tokens",
          204, "", refusals=(409,)),
    Route("GET", "/v1/signing-secret", "read:secrets", "signing_secret.get", "getSigningSecret", "Get the signing secret",
          "Signatures", 200, "SigningSecret", refusals=(409,)),
    Route("POST", "/v1/signing-secret/rotate", "write:secrets", "signing_secret.rotate", "rotateSigningSecret",
          "Replace the signing secret", "Signatures", 200, "SigningSecret", request="Nothing"),
    Route("GET", "/v1/system", "operator", "system.get", "getSystem", "Partitions, processes and lag of the installation", "System",
          200, "System"),
    Route("GET", "/v1/system/findings", "operator", "system.findings", "getFindings", "What is wrong with the installation",
          "System", 200, "Findings"),
    Route("GET", "/v1/openapi.json", "", "openapi.get", "getOpenApi", "This document", "",
          200, "object"),
)
# fmt: on
