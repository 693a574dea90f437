"""An API that answers from a table, and somebody who is logged in to its console."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

from services.console.api_calls import ApiAnswer, ApiCalls, ApiRefused, Call, OpenStream
from services.console.http_messages import Answer, Request
from services.console.site import Site

TOKEN = "fliq_sk_" + "a" * 36
AT = "2026-11-30T08:00:00Z"
JOB_ID, SCHEDULE_ID = "job_01m8n4eezx0016g4trmmfn2rjc", "sched_01m8n4ej900015fq391hfe85bq"
SCOPES = [
    "read",
    "read:jobs",
    "read:payloads",
    "read:tokens",
    "read:secrets",
    "write",
    "write:jobs",
    "write:tokens",
    "write:secrets",
    "read:webhooks",
    "write:webhooks",
    "operator",
]
LISTED: dict[str, Any] = {
    "id": JOB_ID,
    "url": "https://a.example/charge",
    "http_method": "POST",
    "scheduled_at": AT,
    "max_retries": 3,
    "status": "failed",
    "created_at": AT,
    "execution_count": 1,
    "idempotency_key": None,
    "webhook_url": None,
    "schedule_id": SCHEDULE_ID,
    "next_attempt_at": None,
    "started_at": AT,
    "completed_at": AT,
    "last_status_code": 503,
    "last_error": "HTTP 503",
    "ended_by": "exhausted",
    "labels": {"tenant": "a&b"},
}
JOB = LISTED | {"headers": {"X-A": "1"}, "body": "{}", "webhook_headers": None}
SCHEDULE: dict[str, Any] = {
    "id": SCHEDULE_ID,
    "url": "https://a.example/digest",
    "cron": "0 8 * * *",
    "status": "active",
    "created_at": AT,
    "next_run_at": AT,
    "http_method": "POST",
    "max_retries": 0,
    "webhook_url": None,
    "last_run_at": None,
    "every": None,
    "timezone": "UTC",
    "misfire": "fire_once",
    "run_count": None,
    "missed_count": None,
    "version": 1,
    "key": None,
    "paused_until": None,
    "note": None,
    "labels": {"tenant": "a&b"},
    "headers": None,
    "body": None,
}
ENDPOINT_ID, DELIVERY_ID = "whe_01m8nn4m8t001fx65gff495537", "whd_01m8nn4m8t001fx65gff495538"
ENDPOINT: dict[str, Any] = {
    "id": ENDPOINT_ID,
    "url": "https://b.example/events",
    "events": ["job.failed"],
    "filter": {"hosts": ["a.example"]},
    "format": "standard",
    "description": "the till",
    "disabled": True,
    "disabled_reason": "failing",
    "retry": {"max_retries": 2, "delays_seconds": [5, 300]},
    "created_at": AT,
    "changed_at": AT,
    "version": 3,
}
DELIVERY: dict[str, Any] = {
    "id": DELIVERY_ID,
    "endpoint_id": ENDPOINT_ID,
    "event": "job.failed",
    "job_id": JOB_ID,
    "url": "https://b.example/events",
    "status": "exhausted",
    "attempt_count": 3,
    "last_status_code": 503,
    "last_error": "HTTP 503",
    "created_at": AT,
    "next_attempt_at": None,
    "ended_at": AT,
}
EVENTS = [
    {"type": "job.scheduled", "at": AT, "position": 0, "partition": 3, "fire_at": AT, "replay_of": JOB_ID},
    {
        "type": "webhook.finished",
        "at": AT,
        "position": 1,
        "partition": 3,
        "ok": True,
        "status_code": 200,
        "error": None,
    },
]
RUN = {
    "at": AT,
    "tick_at": AT,
    "local": "2026-11-30T08:00:00+00:00[UTC]",
    "nominal_local": "2026-11-30T08:00",
    "note": "gap",
}
ANSWERS: dict[str, Any] = {
    "/v1/account": {
        "account": "default",
        "token": {"id": "tok_1", "scopes": SCOPES},
        "limits": dict.fromkeys(
            (
                "requests_per_second",
                "connections",
                "waiting_jobs",
                "stored_bytes",
                "calls_per_second",
                "executions_per_day",
            )
        ),
        "use": {"executions_today": 7, "waiting_jobs": None, "stored_bytes": None},
    },
    "/v1/account/activity": {
        "hours": [
            {"at": AT, "success": 5, "failed": 1, "cancelled": 0},
            {"at": AT, "success": 0, "failed": 0, "cancelled": 0},
        ],
        "due": 2,
        "oldest_due_at": AT,
        "lateness": {"calls": 6, "p50_ms": 1, "p99_ms": 4, "max_ms": 9},
        "partial": True,
        "jobs": {"scheduled": 3, "running": 1, "success": 1000, "failed": 1, "cancelled": 0},
    },
    "/v1/system/findings": {
        "findings": [
            {"check": "work", "state": "ok", "text": "nothing is overdue", "advice": None},
            {"check": "members", "state": "wrong", "text": "no <dispatcher> is alive", "advice": "start `<one>`"},
            {"check": "disk", "state": "warning", "text": "little is free", "advice": "make room"},
        ]
    },
    "/v1/webhooks/endpoints": {"endpoints": [ENDPOINT], "next_cursor": None},
    f"/v1/webhooks/endpoints/{ENDPOINT_ID}": ENDPOINT,
    f"/v1/webhooks/endpoints/{ENDPOINT_ID}/deliveries": {"deliveries": [DELIVERY], "next_cursor": "more"},
    f"/v1/webhooks/endpoints/{ENDPOINT_ID}/secret": {"secret": "whsec_z", "previous_secrets": []},
    f"/v1/webhooks/endpoints/{ENDPOINT_ID}/test": {"delivery_id": DELIVERY_ID},
    f"/v1/webhooks/endpoints/{ENDPOINT_ID}/recover": {
        "endpoint_id": ENDPOINT_ID,
        "status": "completed",
        "since": AT,
        "until": AT,
        "recovered_count": 2,
    },
    "/v1/webhooks/deliveries": {"deliveries": [DELIVERY], "next_cursor": None},
    f"/v1/webhooks/deliveries/{DELIVERY_ID}": DELIVERY
    | {
        "body": "{}",
        "attempts": [
            {
                "is_redelivery": True,
                "status": "failed",
                "status_code": 503,
                "error": "HTTP 503",
                "duration_ms": 4,
                "executed_at": AT,
            }
        ],
    },
    f"/v1/webhooks/deliveries/{DELIVERY_ID}/redeliver": {"delivery_id": DELIVERY_ID},
    "/v1/system": {
        "version": "0.1.0",
        "partitions": [
            {
                "partition": 0,
                "end": 9,
                "lag": 1,
                "owners": [{"role": "scheduler", "node": "one"}, {"role": "webhooks", "node": None}],
            },
            {"partition": 1, "end": None, "lag": None, "owners": []},
        ],
        "members": [
            {
                "node": "one",
                "role": "scheduler",
                "version": None,
                "live": True,
                "draining": True,
                "partitions": 1,
                "seen_seconds": 0.5,
            },
            {
                "node": "two",
                "role": "webhooks",
                "version": "1",
                "live": False,
                "draining": False,
                "partitions": 0,
                "seen_seconds": 99.5,
            },
        ],
    },
    "/v1/jobs": {"jobs": [LISTED], "next_cursor": None},
    f"/v1/jobs/{JOB_ID}": JOB,
    f"/v1/jobs/{JOB_ID}/executions": {
        "executions": [
            {
                "id": "exec_1",
                "attempt_num": 1,
                "status": "failed",
                "status_code": 503,
                "duration_ms": 4,
                "executed_at": AT,
                "error": "HTTP 503",
            }
        ]
    },
    f"/v1/jobs/{JOB_ID}/events": {"events": EVENTS},
    f"/v1/jobs/{JOB_ID}/replay": JOB,
    "/v1/schedules": {"schedules": [SCHEDULE], "next_cursor": "more"},
    "/v1/schedules/preview": {"runs": [RUN], "warnings": ["clocks change"], "zone_data": "2026f"},
    f"/v1/schedules/{SCHEDULE_ID}": SCHEDULE,
    f"/v1/schedules/{SCHEDULE_ID}/preview": {"runs": [RUN], "warnings": [], "zone_data": "2026f"},
    f"/v1/schedules/{SCHEDULE_ID}/events": {
        "events": [
            {"type": "schedule.changed", "at": AT, "position": 0, "partition": 3, "version": 2},
            {"type": "schedule.ticked", "at": AT, "position": 1, "partition": 3, "job_id": JOB_ID},
        ]
    },
    f"/v1/schedules/{SCHEDULE_ID}/backfill": {"ticks": 5, "ran": 2, "jobs": 3, "last_call_at": AT},
    f"/v1/schedules/{SCHEDULE_ID}/jobs": {"jobs": [LISTED], "next_cursor": None},
    f"/v1/schedules/{SCHEDULE_ID}/run": JOB,
    "/v1/tokens": {
        "tokens": [
            {
                "id": "tok_1",
                "name": "n",
                "scopes": ["read"],
                "last_four": "1234",
                "created_at": AT,
                "expires_at": None,
                "parent": None,
            },
            {
                "id": "tok_2",
                "name": "child",
                "scopes": ["read"],
                "last_four": "1234",
                "created_at": AT,
                "expires_at": None,
                "parent": "tok_1",
            },
        ]
    },
    "/v1/signing-secret": {"secret": "whsec_x", "previous_secrets": ["whsec_y"]},
    "/v1/openapi.json": {"info": {"version": "0.1.0"}, "paths": {"/v1/jobs": {"get": {}}}},
}


class TableApi(ApiCalls):
    """Answers calls from `ANSWERS`, and notes those that change something."""

    def __init__(self) -> None:
        super().__init__(lambda: "http://nowhere")
        self.made: list[Call] = []
        self.asked: list[str] = []
        self.said: dict[str, str] = {}
        self.heard: list[dict[str, str]] = []
        self.refusal: ApiRefused | None = None

    async def call(self, token: str, call: Call) -> ApiAnswer:
        if self.refusal is not None:
            raise self.refusal
        path = call.path.partition("?")[0]
        self.asked.append(call.path)
        if call.method != "GET" and not path.endswith("/preview"):
            self.made.append(call)
            if path not in ANSWERS or call.method in ("DELETE", "PATCH"):
                return ApiAnswer(200, {}, {})
            if path in ("/v1/jobs", "/v1/schedules", "/v1/webhooks/endpoints"):
                return ApiAnswer(201, {"id": "made_1"}, {})
            if path == "/v1/tokens":
                return ApiAnswer(201, ANSWERS[path]["tokens"][0] | {"token": TOKEN}, {})
        if path not in ANSWERS:
            raise ApiRefused(404, "not_found", "there is no such resource")
        return ApiAnswer(200, ANSWERS[path], self.said)

    async def listen(self, token: str, call: Call) -> OpenStream:
        self.asked.append(call.path)
        self.heard.append(dict(call.headers))
        if self.refusal is not None:
            raise self.refusal
        return Told([b"retry: 1000\n", b"id: 1\n\n"])  # type: ignore[return-value]


class Told:
    """A stream of what was said."""

    def __init__(self, said: list[bytes]) -> None:
        self.said = said
        self.is_closed = False

    async def pieces(self) -> AsyncIterator[bytes]:
        for each in self.said:
            yield each

    def close(self) -> None:
        self.is_closed = True


class Person:
    """Somebody who is logged in, with a browser that keeps cookies."""

    def __init__(self, scopes: list[str] | None = None) -> None:
        self.api = TableApi()
        self.site = Site(self.api, path="/console", key=b"k", now=lambda: 1_796_000_000_000, entropy=os.urandom)
        self.cookies: dict[str, str] = {}
        self.secret = ""
        self.scopes = scopes

    async def log_in(self) -> Person:
        account = ANSWERS["/v1/account"]
        ANSWERS["/v1/account"] = account | {"token": {"id": "tok_1", "scopes": self.scopes or SCOPES}}
        try:
            answer = await self.send("POST", "/login", {"token": TOKEN})
        finally:
            ANSWERS["/v1/account"] = account
        assert answer.status == 303
        page = (await self.send("GET", "/jobs/new")).body.decode()
        found = re.search(r'name="secret" value="(\w+)"', page)
        assert found is not None
        self.secret = found[1]
        return self

    async def send(self, method: str, path: str, form: Mapping[str, str] | None = None) -> Answer:
        target, _, query = path.partition("?")
        asked = [tuple(pair.split("=", 1)) for pair in query.split("&") if pair]
        headers = {"sec-fetch-site": "same-origin", "cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())}
        answer = await self.site.answer(Request(method, target, asked, list((form or {}).items()), headers))  # type: ignore[arg-type]
        if cookie := answer.headers.get("Set-Cookie"):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer

    async def do(self, path: str, **form: str) -> Answer:
        return await self.send("POST", path, {"secret": self.secret, "once": "o1", **form})
