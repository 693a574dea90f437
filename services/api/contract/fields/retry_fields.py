"""
Retry fields: the request objects `retry` and `webhook_retry`, and the list `success_on`. Pure.

`retry_field` makes the row for a request's table. Its value is a `RetryPolicy`. The same rows give the JSON Schema and the table
of docs/retries.md.
"""

import math
import re
from typing import Any, Final, NamedTuple

from libs.events.retry_policy import HOUR_MS, STATUS_CLASSES, TRY_CLASSES, RetryPolicy
from services.api.contract.api_error import refuse
from services.api.contract.field import Field, Fields, Reader, Rules, Schema
from services.api.contract.json_body import Duplicated

LISTED_MAX: Final = 20  # entries of `retry_on` and `success_on`
DELAYS_MAX: Final = 50  # entries of `delays_seconds`
DELAY_MAX_S: Final = 604_800  # a week
ELAPSED_MAX_S: Final = 31_536_000  # a year
RETRY_AFTER_MAX_S: Final = 86_400

_PATTERN: Final = "^[1-9][0-9]{2}$"
_STATUS_TEXT: Final = re.compile(r"[1-9][0-9]{2}", re.ASCII)


class Maxima(NamedTuple):
    """What a `retry` object may ask for at most: tries after the first, and seconds from the first try to the last."""

    max_retries: int = 100
    max_elapsed_s: int = ELAPSED_MAX_S


JOB_MAXIMA: Final = Maxima()
WEBHOOK_MAXIMA: Final = Maxima(max_retries=20, max_elapsed_s=DELAY_MAX_S)


def retry_table(name: str = "retry", maxima: Maxima = JOB_MAXIMA) -> Fields:
    """Return the table of the object *name*."""
    make = _Rows(name, f"invalid_{name}")
    delay_schema: Schema = {"type": "number", "minimum": 0, "maximum": DELAY_MAX_S}
    return Fields(
        make.integer("max_retries", maxima.max_retries, "tries after the first that may fail"),
        make.choice("backoff", ("exponential", "fixed", "linear", "list"), "how the delay grows"),
        make.seconds(
            "delay_seconds",
            0.1,
            86_400,
            "the delay after the first failure; the operator's if left out; not for `list`",
        ),
        make.factor("factor", "the growth of `exponential`, 2 if left out"),
        make.row(
            "delays_seconds",
            make.read_delays,
            {"type": "array", "minItems": 1, "maxItems": DELAYS_MAX, "items": delay_schema},
            f"1–{DELAYS_MAX} numbers of 0–{DELAY_MAX_S:,}; the delays of `list`, of which the last repeats",
        ),
        make.seconds("max_delay_seconds", 1, DELAY_MAX_S, "no back-off is longer; 3,600 if left out"),
        make.choice(
            "jitter",
            ("proportional", "none", "full", "equal"),
            "where the delay is drawn around a back-off x: x ± 25 %, exactly x, 0 to x, x/2 to x",
        ),
        make.seconds(
            "max_elapsed_seconds", 1, maxima.max_elapsed_s, "no try starts later than this after the first one"
        ),
        make.row(
            "retry_on",
            make.read_listed,
            _listed_schema(TRY_CLASSES),
            f"1–{LISTED_MAX} of {', '.join(f'`{each}`' for each in TRY_CLASSES)} and statuses of three digits; other failures"
            " end the job; if left out, all are tried again",
        ),
        make.inner(
            "retry_after",
            retry_after_table(name),
            "how `Retry-After` counts; left out, it is"
            ' `{"honour": true, "max_seconds": 3600, "free": true}`:'
            " an attempt answered with 429 or 503 and a `Retry-After` uses up no retry",
        ),
        within=name,
    )


class _Rows:
    """Makes the rows of the object *name*, all with one error *code*."""

    def __init__(self, name: str, code: str) -> None:
        self._name, self._code = name, code

    def row(self, field: str, read: Reader, schema: Schema, rule: str, default: Any = None) -> Field:
        return Field(
            name=field,
            read=read,
            schema=schema,
            rule=rule,
            code=self._code,
            means="",
            default=default,
            takes_null=default is None,
        )

    def integer(self, field: str, high: int, rule: str) -> Field:
        def read(value: Any, _found: dict[str, Any], _rules: Rules) -> int:
            if type(value) is float and value.is_integer():
                value = int(value)  # JSON has one kind of number
            if type(value) is not int or not 0 <= value <= high:
                refuse(self._code, f"{self._name}.{field} must be an integer from 0 to {high}")
            return value

        return self.row(field, read, {"type": "integer", "minimum": 0, "maximum": high}, f"0–{high}; {rule}")

    def seconds(self, field: str, low: float, high: int, rule: str) -> Field:
        def read(value: Any, _found: dict[str, Any], _rules: Rules) -> int:
            why = f"{self._name}.{field} must be a number from {low:g} to {high:,}"
            return milliseconds(value, low, high, self._code, why)

        return self.row(field, read, {"type": "number", "minimum": low, "maximum": high}, f"{low:g}–{high:,}; {rule}")

    def factor(self, field: str, rule: str) -> Field:
        def read(value: Any, _found: dict[str, Any], _rules: Rules) -> float:
            if not _is_number(value) or not 1 <= value <= 10:
                refuse(self._code, f"{self._name}.{field} must be a number from 1 to 10")
            return float(value)

        return self.row(field, read, {"type": "number", "minimum": 1, "maximum": 10}, f"1–10; {rule}")

    def choice(self, field: str, words: tuple[str, ...], rule: str) -> Field:
        def read(value: Any, _found: dict[str, Any], _rules: Rules) -> str:
            if type(value) is not str or value not in words:
                refuse(self._code, f"{self._name}.{field} must be one of {', '.join(words)}")
            return value

        shown = ", ".join(f"`{word}`" for word in words)
        return self.row(field, read, {"type": "string", "enum": list(words)}, f"{shown}; {rule}", words[0])

    def flag(self, field: str, rule: str) -> Field:
        def read(value: Any, _found: dict[str, Any], _rules: Rules) -> bool:
            if type(value) is not bool:
                refuse(self._code, f"{self._name}.{field} must be true or false")
            return value

        return self.row(field, read, {"type": "boolean"}, rule, default=True)

    def inner(self, field: str, table: Fields, rule: str) -> Field:
        def read(value: Any, _found: dict[str, Any], rules: Rules) -> dict[str, Any]:
            return _object(f"{self._name}.{field}", value, table, rules, self._code)

        return self.row(field, read, table.schema(), rule)

    def read_delays(self, value: Any, _found: dict[str, Any], _rules: Rules) -> tuple[int, ...]:
        name = f"{self._name}.delays_seconds"
        why = f"{name} must be a list of 1 to {DELAYS_MAX} numbers from 0 to {DELAY_MAX_S:,}"
        if type(value) is not list or not 1 <= len(value) <= DELAYS_MAX:
            refuse(self._code, why)
        return tuple(milliseconds(each, 0, DELAY_MAX_S, self._code, why) for each in value)

    def read_listed(self, value: Any, _found: dict[str, Any], _rules: Rules) -> tuple[str, ...]:
        return _listed(f"{self._name}.retry_on", value, TRY_CLASSES, self._code)


def retry_field(name: str = "retry", maxima: Maxima = JOB_MAXIMA, *, rule: str) -> Field:
    """Return the row of the object *name*, whose value is a `RetryPolicy`; *rule* says what it is for."""
    table, code = retry_table(name, maxima), f"invalid_{name}"

    def read(value: Any, found: dict[str, Any], rules: Rules) -> RetryPolicy:
        asked = _object(name, value, table, rules, code)
        if asked["max_retries"] is None:
            asked["max_retries"] = found.get("max_retries", 0) if name == "retry" else 0
        return _policy(name, asked, code)

    return Field(
        name=name,
        read=read,
        schema=table.schema(),
        rule=rule,
        code=code,
        means=f"{name} is not a retry policy within its limits, or contradicts max_retries.",
        default=None,
        takes_null=True,
    )


def success_field() -> Field:
    """Return the row of `success_on`, whose value is a tuple of classes and statuses; None for the default, 2xx."""

    def read(value: Any, _found: dict[str, Any], _rules: Rules) -> tuple[str, ...] | None:
        listed = _listed("success_on", value, STATUS_CLASSES, "invalid_success_on")
        return None if listed == ("2xx",) else listed

    return Field(
        name="success_on",
        read=read,
        schema=_listed_schema(STATUS_CLASSES),
        rule=f"1–{LISTED_MAX} of {', '.join(f'`{each}`' for each in STATUS_CLASSES)} and statuses of three digits;"
        ' the answers that count as success, `["2xx"]` if left out; all others are failures',
        code="invalid_success_on",
        means=f"success_on is not a list of 1 to {LISTED_MAX} classes and statuses.",
        default=None,
        takes_null=True,
    )


def shown_policy(policy: RetryPolicy | None) -> dict[str, Any] | None:
    """Return *policy* as a request would give it, every field said; None for none."""
    if policy is None:
        return None
    delays = policy.delays_ms
    return {
        "max_retries": policy.max_retries,
        "backoff": policy.backoff,
        "delay_seconds": _seconds(policy.delay_ms),
        "factor": policy.factor if policy.backoff == "exponential" else None,
        "delays_seconds": None if delays is None else [_seconds(each) for each in delays],
        "max_delay_seconds": _seconds(policy.max_delay_ms),
        "jitter": policy.jitter,
        "max_elapsed_seconds": _seconds(policy.max_elapsed_ms),
        "retry_on": None if policy.retry_on is None else list(policy.retry_on),
        "retry_after": {
            "honour": policy.heeds_retry_after,
            "max_seconds": _seconds(policy.retry_after_max_ms),
            "free": policy.retry_after_is_free,
        },
    }


def shown_schema() -> Schema:
    """Return the JSON Schema of what `shown_policy` returns."""
    return _shown(retry_table(), {"retry_after": _shown(retry_after_table(), {})})


def _shown(table: Fields, inner: dict[str, Schema]) -> Schema:
    properties: dict[str, Schema] = {}
    for row in table.rows:
        schema = inner.get(row.name, row.schema)
        properties[row.name] = (
            {"anyOf": [schema, {"type": "null"}]} if row.takes_null and row.name not in inner else schema
        )
    return {"type": "object", "properties": properties, "additionalProperties": False, "required": list(properties)}


def _policy(name: str, asked: dict[str, Any], code: str) -> RetryPolicy:
    backoff, delays, factor = asked["backoff"], asked["delays_seconds"], asked["factor"]
    if (backoff == "list") != (delays is not None):
        refuse(code, f"{name}.delays_seconds and {name}.backoff `list` belong together: give both or neither")
    if backoff == "list" and asked["delay_seconds"] is not None:
        refuse(code, f"{name}.delay_seconds is not for {name}.backoff `list`: leave it out")
    if backoff != "exponential" and factor is not None:
        refuse(code, f"{name}.factor is only for {name}.backoff `exponential`: leave it out")
    after = asked["retry_after"] or {"honour": True, "max_seconds": None, "free": True}
    return RetryPolicy(
        max_retries=asked["max_retries"],
        backoff=backoff,
        delay_ms=asked["delay_seconds"],
        factor=2.0 if factor is None else factor,
        delays_ms=delays,
        max_delay_ms=asked["max_delay_seconds"] or HOUR_MS,
        jitter=asked["jitter"],
        max_elapsed_ms=asked["max_elapsed_seconds"],
        retry_on=asked["retry_on"],
        heeds_retry_after=after["honour"],
        retry_after_max_ms=after["max_seconds"] or HOUR_MS,
        retry_after_is_free=after["free"],
    )


def retry_after_table(name: str = "retry") -> Fields:
    """Return the table of the object `retry_after` in the object *name*."""
    make = _Rows(f"{name}.retry_after", f"invalid_{name}")
    return Fields(
        make.flag("honour", "whether the header counts"),
        make.seconds("max_seconds", 1, RETRY_AFTER_MAX_S, "a longer wait is cut to this; 3,600 if left out"),
        make.flag("free", "whether an attempt that was answered with 429 or 503 and the header uses up no retry"),
        within=f"{name}.retry_after",
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def milliseconds(value: Any, low: float, high: int, code: str, why: str) -> int:
    """Return seconds as milliseconds, parts of one rounded up."""
    if not _is_number(value) or not low <= value <= high:
        refuse(code, why)
    ms: int = math.ceil(round(value * 1000, 6))  # 0.1 s as a float is a little more than 100 ms
    return ms


def _listed(name: str, value: Any, words: tuple[str, ...], code: str) -> tuple[str, ...]:
    """Return a list of *words* and statuses, the latter as texts of three digits, each once, in the order given."""
    entries = value if type(value) is list and len(value) <= LISTED_MAX else []
    texts = [str(each) if type(each) is int else each for each in entries]
    if not texts or any(
        type(text) is not str or (text not in words and _STATUS_TEXT.fullmatch(text) is None) for text in texts
    ):
        refuse(code, f"{name} must be a list of 1 to {LISTED_MAX} of {', '.join(words)} and statuses from 100 to 999")
    return tuple(dict.fromkeys(texts))


def _listed_schema(words: tuple[str, ...]) -> Schema:
    by_number, by_text = {"type": "integer", "minimum": 100, "maximum": 999}, {"type": "string", "pattern": _PATTERN}
    return {
        "type": "array",
        "minItems": 1,
        "maxItems": LISTED_MAX,
        "items": {"anyOf": [{"type": "string", "enum": list(words)}, by_number, by_text]},
    }


def _object(name: str, value: Any, table: Fields, rules: Rules, code: str) -> dict[str, Any]:
    if type(value) is not dict and type(value) is not Duplicated:
        refuse(code, f"{name} must be an object")
    return table.read(value, rules)


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms // 1000 if ms % 1000 == 0 else ms / 1000
