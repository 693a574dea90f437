"""Request fields: what a request may ask for, by the API's names. Written by `make docs` from the tables of the API. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, Required, TypedDict

__all__ = [
    "JobFields",
    "JobRequest",
    "ScheduleFields",
    "ScheduleRequest",
    "TokenFields",
]


class JobFields(TypedDict, total=False):
    """What JobRequest may have."""

    # `GET` `POST` `PUT` `PATCH` `DELETE` `HEAD` `OPTIONS`, in any letter case
    http_method: Literal["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]
    # object of strings: at most 50, names to 128 bytes, values to 4,096, 16,384 in all, printable ASCII; `X-Fliq-*`,
    # `webhook-*` and those of the connection are reserved
    headers: Mapping[str, str] | None
    # string, sent as UTF-8, at most 256 KiB; not with `GET` and `HEAD`
    body: str | None
    # integer 1–3600, for one attempt in all
    timeout_seconds: int
    # as `url`; called once when the job ends, see webhooks
    webhook_url: str | None
    # as `headers`
    webhook_headers: Mapping[str, str] | None
    # integer 0–20; a job has at most `max_retries + 1` attempts, see retries
    max_retries: int


class JobRequest(JobFields, total=False):
    """The whole of JobRequest."""

    # absolute `http` or `https` URL of at most 2,048 characters, without user info or fragment; its host must be
    # public, unless the operator allows others (`FLIQ_EGRESS_ALLOW`); judged again when it is called; stored normalised
    url: Required[str]
    # an instant in the future, up to the end of the year 9999; finer than a millisecond it is rounded up
    scheduled_at: Required[datetime]
    # 1–255 printable characters, see idempotency
    idempotency_key: str | None


class ScheduleFields(TypedDict, total=False):
    """What ScheduleRequest may have."""

    # `GET` `POST` `PUT` `PATCH` `DELETE` `HEAD` `OPTIONS`, in any letter case
    http_method: Literal["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]
    # object of strings: at most 50, names to 128 bytes, values to 4,096, 16,384 in all, printable ASCII; `X-Fliq-*`,
    # `webhook-*` and those of the connection are reserved
    headers: Mapping[str, str] | None
    # string, sent as UTF-8, at most 256 KiB; not with `GET` and `HEAD`
    body: str | None
    # integer 1–3600, for one attempt in all
    timeout_seconds: int
    # as `url`; called once when the job ends, see webhooks
    webhook_url: str | None
    # as `headers`
    webhook_headers: Mapping[str, str] | None
    # five fields in UTC: minute, hour, day of month, month, day of week
    cron: Required[str]
    # integer 0–20; a job has at most `max_retries + 1` attempts, see retries
    max_retries: int


class ScheduleRequest(ScheduleFields, total=False):
    """The whole of ScheduleRequest."""

    # absolute `http` or `https` URL of at most 2,048 characters, without user info or fragment; its host must be
    # public, unless the operator allows others (`FLIQ_EGRESS_ALLOW`); judged again when it is called; stored normalised
    url: Required[str]


class TokenFields(TypedDict, total=False):
    """What TokenRequest may have."""

    # 1–100 printable characters
    name: str
    # some of the scopes; a token cannot give what it lacks
    scopes: Sequence[
        Literal[
            "read",
            "read:jobs",
            "read:payloads",
            "read:secrets",
            "read:tokens",
            "write",
            "write:jobs",
            "write:payloads",
            "write:secrets",
            "write:tokens",
        ]
    ]
    # an instant in the future, at most ten years ahead, not after the end of the token that asks, which is the default
    expires_at: datetime | None
