"""Key fields: `waiting_key`, `on_waiting`, `max_wait_seconds` and `singleton_key` of a job. Pure."""

from operator import itemgetter
from typing import Any, Final, Literal

import msgspec

from services.api.contract.api_error import refuse
from services.api.contract.field import Field, Rules
from services.api.contract.fields.retry_fields import ELAPSED_MAX_S, milliseconds

KEY_MAX: Final = 255  # characters
ON_WAITING: Final = ("keep", "replace", "extend")
KEY_FIELDS: Final = ("waiting_key", "on_waiting", "max_wait_seconds", "singleton_key")

OnWaiting = Literal["keep", "replace", "extend"]
_values: Final = itemgetter(*KEY_FIELDS)
_WAITING: Final = "invalid_waiting_key"
_SINGLETON: Final = "invalid_singleton_key"


class JobKey(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    A key of which an account has one job at a time.

    Args:
        kind: `waiting`: while it waits for its first attempt; `singleton`: until it ends.
        on_waiting: what becomes of the job that has the key.
        max_wait_ms: from that job's creation to the latest instant to which `extend` moves it; None: no bound.
    """

    kind: Literal["waiting", "singleton"]
    name: str
    on_waiting: OnWaiting = "keep"
    max_wait_ms: int | None = None


def key_fields() -> tuple[Field, ...]:
    """Return the rows of the four fields."""
    waiting_means = (
        f"waiting_key is not 1 to {KEY_MAX} printable characters, on_waiting or max_wait_seconds is not within its limits or"
        " stands without what it needs, or the key stands beside another key."
    )

    def on_waiting(value: Any, _found: dict[str, Any], _rules: Rules) -> str:
        if type(value) is not str or value not in ON_WAITING:
            refuse("invalid_waiting_key", f"on_waiting must be one of {', '.join(ON_WAITING)}")
        return value

    def max_wait(value: Any, _found: dict[str, Any], _rules: Rules) -> int:
        why = f"max_wait_seconds must be a number of seconds from 1 to {ELAPSED_MAX_S:,}"
        return milliseconds(value, 1, ELAPSED_MAX_S, _WAITING, why)

    return (
        _key_row(
            "waiting_key",
            _WAITING,
            f"1–{KEY_MAX} printable characters: of the account's jobs with this key at most one waits for its first attempt, see"
            " [keys of jobs](#keys-of-jobs)",
            waiting_means,
        ),
        Field(
            name="on_waiting",
            read=on_waiting,
            schema={"type": "string", "enum": list(ON_WAITING)},
            rule="`keep`, `replace` or `extend`: what becomes of the job that waits already; `keep` if left out",
            code=_WAITING,
            means=waiting_means,
            default=None,
        ),
        Field(
            name="max_wait_seconds",
            read=max_wait,
            schema={"type": "number", "minimum": 1, "maximum": ELAPSED_MAX_S},
            rule=f"1–{ELAPSED_MAX_S:,}; with `extend`: no instant is moved further than this beyond the job's creation",
            code=_WAITING,
            means=waiting_means,
            default=None,
        ),
        _key_row(
            "singleton_key",
            _SINGLETON,
            f"1–{KEY_MAX} printable characters: of the account's jobs with this key at most one has not ended",
            f"singleton_key is not 1 to {KEY_MAX} printable characters, or stands beside another key.",
        ),
    )


def key_of(found: dict[str, Any]) -> JobKey | None:
    """
    Return the key that the fields *found* ask for; None if they ask for none.

    Raises:
        ApiError: 400, fields contradict each other.
    """
    waiting, how, max_wait_ms, singleton = _values(found)
    if waiting is None and singleton is None and how is None and max_wait_ms is None:
        return None
    if waiting is None and (how is not None or max_wait_ms is not None):
        given = "on_waiting" if how is not None else "max_wait_seconds"
        refuse(
            "invalid_waiting_key",
            f"{given} says what becomes of the job that has the waiting_key: give waiting_key, too",
        )
    if waiting is not None and singleton is not None:
        refuse("invalid_singleton_key", "a job has a waiting_key or a singleton_key, not both: leave one of them out")
    if found["idempotency_key"] is not None:
        name = "waiting_key" if waiting is not None else "singleton_key"
        refuse(
            f"invalid_{name}",
            f"a job with a {name} has no idempotency key: leave that out, since a repeat finds the job that has the {name}",
        )
    if max_wait_ms is not None and how != "extend":
        refuse(
            "invalid_waiting_key", "max_wait_seconds bounds how far a job is put off: it needs on_waiting to be extend"
        )
    if waiting is None:
        return JobKey(kind="singleton", name=singleton)
    return JobKey(kind="waiting", name=waiting, on_waiting=how or "keep", max_wait_ms=max_wait_ms)


def _key_row(name: str, code: str, rule: str, means: str) -> Field:
    def read(value: Any, _found: dict[str, Any], _rules: Rules) -> str:
        if type(value) is not str or not 1 <= len(value) <= KEY_MAX or not value.isprintable():
            refuse(code, f"{name} must be 1 to {KEY_MAX} printable characters")
        return value

    return Field(
        name=name,
        read=read,
        schema={"type": "string", "minLength": 1, "maxLength": KEY_MAX},
        rule=rule,
        code=code,
        means=means,
        default=None,
        takes_null=True,
    )
