"""Account schemas: what the API says of an account's jobs in numbers, and of the installation. Pure."""

from __future__ import annotations

from typing import Final

from services.api.contract.field import Schema
from services.api.contract.job_answers import STATUSES_OF
from services.api.contract.request_fields import INSTANT
from services.api.openapi.shapes import INTEGER, TEXT, closed, nullable

_HOUR: Final[dict[str, Schema]] = {"at": INSTANT, "success": INTEGER, "failed": INTEGER, "cancelled": INTEGER}
_LATENESS: Final[dict[str, Schema]] = {"calls": INTEGER, "p50_ms": INTEGER, "p99_ms": INTEGER, "max_ms": INTEGER}

ACTIVITY: Final[Schema] = closed(
    {
        "hours": {"type": "array", "items": closed(_HOUR)},
        "due": INTEGER,
        "oldest_due_at": nullable(INSTANT),
        "lateness": nullable(closed(_LATENESS)),
        "partial": {"type": "boolean"},
        "jobs": closed(dict.fromkeys(STATUSES_OF, INTEGER)),
    }
)

_OWNER: Final[dict[str, Schema]] = {"role": TEXT, "node": nullable(TEXT)}
_PARTITION: Final[dict[str, Schema]] = {
    "partition": INTEGER,
    "end": nullable(INTEGER),
    "lag": nullable(INTEGER),
    "owners": {"type": "array", "items": closed(_OWNER)},
}
_MEMBER: Final[dict[str, Schema]] = {
    "node": TEXT,
    "role": TEXT,
    "version": nullable(TEXT),
    "live": {"type": "boolean"},
    "draining": {"type": "boolean"},
    "partitions": INTEGER,
    "seen_seconds": {"type": "number"},
}

SYSTEM: Final[Schema] = closed(
    {
        "version": TEXT,
        "partitions": {"type": "array", "items": closed(_PARTITION)},
        "members": {"type": "array", "items": closed(_MEMBER)},
    }
)

_FINDING: Final[dict[str, Schema]] = {
    "check": TEXT,
    "state": {"type": "string", "enum": ["ok", "warning", "wrong"]},
    "text": TEXT,
    "advice": nullable(TEXT),
}

FINDINGS: Final[Schema] = closed({"findings": {"type": "array", "items": closed(_FINDING)}})
