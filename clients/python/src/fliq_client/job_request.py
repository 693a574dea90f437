"""Job request: the document that asks for a job. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Unpack

import msgspec

from fliq_client.call import document
from fliq_client.contract.request_fields import JobFields, JobRequest


def job_request(
    url: str,
    *,
    at: datetime | None = None,
    json: object = msgspec.UNSET,
    key: str | None = None,
    **fields: Unpack[JobFields],
) -> JobRequest:
    """
    Return a request for `jobs.create_many`; arguments as in `jobs.create`.

    Raises:
        ValueError: *json* and `body` are both given.
        TypeError: *json* has no form in JSON.
    """
    made: Any = {"url": url, **with_json(dict(fields), json)}
    if at is not None:
        made["scheduled_at"] = at
    if key is not None:
        made["idempotency_key"] = key
    request: JobRequest = made
    return request


def with_json(fields: dict[str, Any], json: object) -> dict[str, Any]:
    """Return *fields* with *json* as their body, and with a Content-Type unless they have one."""
    if json is msgspec.UNSET:
        return fields
    if fields.get("body") is not None:
        raise ValueError("json and body are both given: a request has one body")
    headers = dict(fields.get("headers") or {})
    if not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = "application/json"
    return fields | {"headers": headers, "body": msgspec.json.encode(json).decode()}


def keyed(request: JobRequest, new_key: Callable[[], str]) -> dict[str, Any]:
    """Return *request* with an idempotency key, unless it has a key of its own; ValueError if its instant has no time zone."""
    made: dict[str, Any] = dict(request)
    if made.get("idempotency_key") is None and not has_own_key(made):
        made["idempotency_key"] = new_key()
    document(made)
    return made


def has_own_key(request: Mapping[str, Any]) -> bool:
    """Say whether the job has a key of which the account has one job at a time."""
    return request.get("waiting_key") is not None or request.get("singleton_key") is not None
