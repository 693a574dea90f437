"""
Contract caller: lets the contract's tests call the API through the Python client.

A test says what it sends as (method, path, body). Where that is something that the client can say, it is said by the client's
method, and the typed result is turned back into the JSON that it came from; the test then compares as ever. What the client cannot
say (broken JSON, wrong types, foreign headers, a naive instant) goes past it, as the test wrote it.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from fliq_client import ApiError, AsyncFliq, CreatedJob, Fliq, Page, Retries, TimelineEvent
from fliq_client.contract.models import Answered
from tests.fakes.running.client import Client

OWN_KEY = "client-"
POLICY = {"retry", "success_on", "expires_at"}
LEFT_OUT = {
    "capture",
    "change",
    "error_detail",
    "labels",
    "redact",
    "resent",
    "waiting_key",
    "singleton_key",
    "ended_by",
    "waiting_for",
    "warning",
    "webhook_retry",
    *POLICY,
}
PARAMETERS = {"at", "json", "key", "self"}  # of the client's methods, which are no fields of the API
_ID = r"([0-9a-zA-Z_]+)"

# (HTTP method, path) -> (group, method, status of success)
ROUTES: tuple[tuple[str, str, str, str, int], ...] = (
    ("POST", "/v1/jobs", "jobs", "create", 201),
    ("GET", "/v1/jobs", "jobs", "page", 200),
    ("POST", "/v1/jobs/batch", "jobs", "create_many", 200),
    ("GET", f"/v1/jobs/{_ID}", "jobs", "get", 200),
    ("DELETE", f"/v1/jobs/{_ID}", "jobs", "cancel", 204),
    ("GET", f"/v1/jobs/{_ID}/executions", "jobs", "executions", 200),
    ("GET", f"/v1/jobs/{_ID}/events", "jobs", "events", 200),
    ("POST", f"/v1/jobs/{_ID}/replay", "jobs", "replay", 201),
    ("POST", "/v1/schedules", "schedules", "create", 201),
    ("GET", "/v1/schedules", "schedules", "page", 200),
    ("GET", f"/v1/schedules/{_ID}", "schedules", "get", 200),
    ("DELETE", f"/v1/schedules/{_ID}", "schedules", "delete", 204),
    ("POST", f"/v1/schedules/{_ID}/pause", "schedules", "pause", 200),
    ("POST", f"/v1/schedules/{_ID}/resume", "schedules", "resume", 200),
    ("GET", f"/v1/schedules/{_ID}/jobs", "schedules", "jobs_page", 200),
    ("POST", "/v1/tokens", "tokens", "create", 201),
    ("GET", "/v1/tokens", "tokens", "list", 200),
    ("DELETE", f"/v1/tokens/{_ID}", "tokens", "revoke", 204),
    ("GET", "/v1/signing-secret", "signing_secret", "get", 200),
    ("POST", "/v1/signing-secret/rotate", "signing_secret", "rotate", 200),
)


class CannotSay(Exception):
    """The client has no way to ask for this."""


class ContractCaller(Client):
    """
    A Client whose calls go through `Fliq` or `AsyncFliq`.

    Args:
        counts: what went through the client (`through`), and past it (`past`).
    """

    def __init__(self, url: str, token: str, *, is_async: bool, counts: Counter[str]) -> None:
        super().__init__(url, token)
        self._is_async = is_async
        self._counts = counts
        once = Retries(count=0)  # the tests say themselves what they repeat
        self._fliq: Any = AsyncFliq(url, token, retries=once) if is_async else Fliq(url, token, retries=once)

    async def close(self) -> None:
        closing = self._fliq.close()
        if closing is not None:
            await closing
        await super().close()

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        data: bytes | None = None,
    ) -> tuple[int, Any, dict[str, str]]:
        """Send one request, through the client if it can say it."""
        try:
            if data is not None:
                raise CannotSay
            made, status, listed = self._said(method, path, body, headers or {})
        except CannotSay:
            self._counts["past"] += 1
            return await super().call(method, path, body, headers=headers, data=data)
        self._counts["through"] += 1
        try:
            result = await made() if self._is_async else await asyncio.to_thread(made)
        except ApiError as error:
            retry = {} if error.retry_after_s is None else {"Retry-After": f"{error.retry_after_s:g}"}
            return error.status, _refusal(error), {"Content-Type": "application/json"} | retry
        return status, _shown(result, listed), _headers(result)

    def _said(self, method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[Callable[[], Any], int, str]:
        """Return what makes the call, the status of success and the name of a list; raises CannotSay."""
        bare, _, query = path.partition("?")
        matches = [(re.fullmatch(route[1], bare), route) for route in ROUTES if route[0] == method]
        found, (_, _, group, name, status) = next((each for each in matches if each[0]), (None, ROUTES[0]))
        if found is None:
            raise CannotSay
        called = getattr(getattr(self._fliq, group), name)
        given = _arguments(name, body, headers) | _parameters(query)
        if set(given) - set(inspect.signature(called).parameters) - set(body or ()):
            raise CannotSay  # such as a cursor where there are no pages
        if name == "create_many":
            return lambda: called(given["requests"]), status, ""
        listed = group if name in ("page", "list") else {"jobs_page": "jobs"}.get(name, name)
        return lambda: called(*found.groups(), **given), status, listed


def _arguments(name: str, body: Any, headers: dict[str, str]) -> dict[str, Any]:
    """Return the arguments that say what *body* and *headers* say; raises CannotSay."""
    given: dict[str, Any] = {}
    if set(headers) - {"Idempotency-Key"} or (headers and name not in ("create", "replay")):
        raise CannotSay
    if headers:
        given["key"] = headers["Idempotency-Key"]
    if body is None:
        return given
    if not isinstance(body, dict) or set(body) & PARAMETERS or (headers and "idempotency_key" in body):
        raise CannotSay
    if name == "create_many":
        if set(body) != {"jobs"} or not isinstance(body["jobs"], list):
            raise CannotSay
        return {"requests": [_job(each) for each in body["jobs"]]}
    if name == "create":
        fields = _job(body)
        for theirs, ours in (("scheduled_at", "at"), ("idempotency_key", "key")):
            if theirs in fields:
                given[ours] = fields.pop(theirs)
        if not isinstance(given.get("key", ""), str):
            raise CannotSay
        return given | fields
    if body:
        raise CannotSay
    return given


def _job(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict) or not isinstance(body.get("url", ""), str):
        raise CannotSay
    fields = dict(body)
    for name in ("scheduled_at", "expires_at"):
        if name in fields:
            fields[name] = _instant(fields[name])
    return fields


def _instant(text: Any) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise CannotSay from None
    finest = re.search(r"\.\d{7}", text)
    if (
        at.tzinfo is None
        or finest
        or not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", text)
    ):
        raise CannotSay
    return at


def _parameters(query: str) -> dict[str, Any]:
    pairs = parse_qsl(query, keep_blank_values=True)
    if len(dict(pairs)) != len(pairs):
        raise CannotSay
    return dict(pairs)


def _headers(result: Any) -> dict[str, str]:
    found = {"Content-Type": "application/json"} if result is not None else {}
    if isinstance(result, Answered | Page) and result.is_stale:
        found["Fliq-Stale"] = "true"
    if isinstance(result, Answered) and result.is_replayed:
        found["Idempotent-Replayed"] = "true"
    return found


def _refusal(error: ApiError) -> dict[str, Any]:
    return {"error": {"code": error.code, "message": error.message}}


def _shown(result: Any, listed: str) -> Any:
    """Return *result* as the JSON that it was read from."""
    if isinstance(result, Page):
        return {listed: [_shown(item, "") for item in result.items], "next_cursor": result.next_cursor}
    if isinstance(result, list) and not listed:
        return {"results": [{"job": _shown(r, "")} if isinstance(r, CreatedJob) else _refusal(r) for r in result]}
    if isinstance(result, list):
        return {listed: [_shown(item, "") for item in result]}
    if isinstance(result, TimelineEvent):
        shown = {"type": result.type, "at": _written(result.at), "position": result.position}
        return shown | {"partition": result.partition} | result.fields
    if not isinstance(result, Answered):
        return result
    fields = {
        name: getattr(result, name)
        for name in result.__struct_fields__
        if name not in ("is_stale", "is_replayed", "existing")
    }
    # What the API leaves out where it does not apply; the three of a policy come together.
    for name in LEFT_OUT if fields.get("success_on") is None else LEFT_OUT - POLICY:
        if fields.get(name, "") is None:
            del fields[name]
    if str(fields.get("idempotency_key")).startswith(OWN_KEY):
        fields["idempotency_key"] = None  # the test gave none
    return {name: _plain(value) for name, value in fields.items()}


def _plain(value: Any) -> Any:
    """Return a field's value as JSON has it."""
    if isinstance(value, msgspec.Struct):
        return {name: _plain(inner) for name, inner in msgspec.structs.asdict(value).items()}
    return _written(value) if isinstance(value, datetime) else value


def _written(at: datetime) -> str:
    text = at.astimezone(UTC).isoformat(timespec="milliseconds" if at.microsecond else "seconds")
    return text.replace("+00:00", "Z")
