"""Delay fields: `delay_seconds`, `expires_at` and `expires_in_seconds` of a job. Pure."""

from typing import Any, Final

from services.api.contract.api_error import refuse
from services.api.contract.field import Field, Rules
from services.api.contract.fields.retry_fields import ELAPSED_MAX_S, milliseconds
from services.api.contract.instants import parse_instant, why_no_instant

DELAY_S_MAX: Final = 315_576_000  # ten years of 365.25 days


def expiry_fields() -> tuple[Field, Field]:
    """Return the rows of `expires_at` and `expires_in_seconds`, of which a request may give one; values in ms."""

    def read(value: Any, _found: dict[str, Any], _rules: Rules) -> int:
        at = parse_instant(value) if type(value) is str else None
        if at is None:
            refuse("invalid_expires_at", f"expires_at {why_no_instant(value)}")
        return at

    means = "expires_at or expires_in_seconds is not within its limits, or both are given."
    at_row = Field(
        name="expires_at",
        read=read,
        schema={"type": "string", "format": "date-time"},
        rule="an instant after `scheduled_at`: no attempt starts at or after it, see [expiry](retries.md#expiry)",
        code="invalid_expires_at",
        means=means,
        default=None,
        takes_null=True,
    )
    return at_row, _seconds_row(
        "expires_in_seconds", 1, ELAPSED_MAX_S, "the same, counted from the job's instant", means
    )


def delay_field() -> Field:
    """Return the row of `delay_seconds`; its value is in ms."""
    return _seconds_row(
        "delay_seconds",
        0.001,
        DELAY_S_MAX,
        "instead of `scheduled_at`, counted from the instant at which the API took the request",
        "delay_seconds is not a number from 0.001 to ten years.",
    )


def _seconds_row(name: str, low: float, high: int, rule: str, means: str) -> Field:
    code = f"invalid_{name}" if name != "expires_in_seconds" else "invalid_expires_at"

    def read(value: Any, _found: dict[str, Any], _rules: Rules) -> int:
        return milliseconds(value, low, high, code, f"{name} must be a number of seconds from {low:g} to {high:,}")

    return Field(
        name=name,
        read=read,
        schema={"type": "number", "minimum": low, "maximum": high},
        rule=f"{low:g}–{high:,}; {rule}",
        code=code,
        means=means,
        default=None,
        takes_null=name == "expires_in_seconds",
    )
