"""
Job patch: a change of a job that waits for its first attempt, as a JSON merge patch (RFC 7396). Pure.

As with schedules, a patch is laid over the fields that the job has, and the whole is judged as a request for a job.
"""

from typing import Any, Final

from libs.domain.instants import rfc3339
from libs.domain.job import JobState
from libs.domain.jobs.optional_state import JobMore
from libs.events import Spec
from services.api.contract import requests
from services.api.contract.field import Schema
from services.api.contract.fields.key_fields import KEY_FIELDS
from services.api.contract.fields.retry_fields import shown_policy
from services.api.contract.request_fields import JOB
from services.api.contract.schedules.patch import merged

_ROWS: Final = tuple(row for row in JOB.rows if row.name not in ("idempotency_key", "labels", *KEY_FIELDS))
_NAMES: Final = frozenset(row.name for row in _ROWS)
_WHEN: Final = ("scheduled_at", "delay_seconds")
_EXPIRY: Final = ("expires_at", "expires_in_seconds")

# Null stands for the default.
JOB_PATCH_SCHEMA: Final[Schema] = {
    "type": "object",
    "properties": {row.name: {"anyOf": [row.schema, {"type": "null"}]} for row in _ROWS},
    "additionalProperties": False,
}


def patched(state: JobState, spec: Spec, patch: Any) -> dict[str, Any]:
    """
    Return the request for the job as *patch*, a parsed JSON document, wants it.

    Raises:
        ApiError: 400 if it is no object, or names a field that cannot be changed.
    """
    found = merged(_fields_of(state, spec), patch, _NAMES)
    for pair in (_WHEN, _EXPIRY):
        for name, other in (pair, pair[::-1]):
            if patch.get(name) is not None and other not in patch:
                found.pop(other, None)  # it takes the place of the other
    return found


def moves(patch: dict[str, Any]) -> bool:
    """Say whether *patch* names an instant for the job."""
    return any(patch.get(name) is not None for name in _WHEN)


def _fields_of(state: JobState, spec: Spec) -> dict[str, Any]:
    more = state.more or JobMore()
    return requests.fields_of(spec) | {
        "scheduled_at": rfc3339(state.scheduled_at),
        "max_retries": state.max_retries,
        "retry": shown_policy(more.retry),
        "success_on": None if more.success_on is None else list(more.success_on),
        "expires_at": None if more.expires_at is None else rfc3339(more.expires_at),
    }
