"""Back-fill: the request for runs of a schedule at ticks that have gone by, and the answer. Pure."""

from typing import Any, Final, Literal, NamedTuple

from libs.domain.calendar import cron
from libs.domain.instants import rfc3339
from services.api.contract.api_error import refuse
from services.api.contract.field import Field, Fields, Reader, Rules
from services.api.contract.request_fields import instant_of

SLOTS_MAX: Final = 1_000  # in one request: as many as the jobs of a batch
PACE_MIN_S: Final = 0.1
PACE_MAX_S: Final = 3_600
PACE_S: Final = 1
EXISTING: Final = ("skip", "rerun")

_CODE: Final = "invalid_backfill"
_MEANS: Final = (
    f"The back-fill's range is not in the past, has more than {SLOTS_MAX:,} ticks, or another field of it is wrong."
)
_INSTANT: Final = {"type": "string", "format": "date-time"}
_NO_URLS: Final = Rules(str)


class BackfillRequest(NamedTuple):
    """
    What is to be made up for.

    Args:
        since, before: ticks from the first instant on, before the second.
        existing: whether a tick that has a job already gets another one (`rerun`).
        pace_ms: between two calls.
        is_dry_run: nothing is made.
    """

    since: int
    before: int
    existing: Literal["skip", "rerun"]
    pace_ms: int
    is_dry_run: bool


def backfill_request(data: Any, now: int) -> BackfillRequest:
    """
    Return what *data* asks for at *now*.

    Raises:
        ApiError: 400 `invalid_backfill`.
    """
    found = BACKFILL.read(data, _NO_URLS._replace(now=now))
    if found["since"] >= found["before"]:
        refuse("invalid_backfill", "before must be after since")
    pace_ms = round(found["pace_seconds"] * 1_000)
    return BackfillRequest(found["since"], found["before"], found["existing"], pace_ms, found["dry_run"])


def refuse_too_many() -> None:
    """
    Refuse a range with too many ticks.

    Raises:
        ApiError: 400 `invalid_backfill`.
    """
    refuse(
        _CODE, f"since and before enclose more than {SLOTS_MAX:,} ticks: ask for a part of the range, then for the next"
    )


def refuse_forgotten(kept_from: int) -> None:
    """
    Refuse ticks of which nobody knows whether they ran.

    Raises:
        ApiError: 400 `invalid_backfill`.
    """
    refuse(_CODE, f"since must be {rfc3339(kept_from)} or later: the jobs of earlier ticks are forgotten")


def shown(
    schedule_id: str, version: int, wanted: BackfillRequest, *, ticks: int, ran: int, first_at: int
) -> dict[str, Any]:
    """Return the answer: *ran* of *ticks* have a job already; the first call is at *first_at*."""
    made = ticks - (ran if wanted.existing == "skip" else 0)
    return {
        "schedule_id": schedule_id,
        "version": version,
        "dry_run": wanted.is_dry_run,
        "ticks": ticks,
        "ran": ran,
        "jobs": made,
        "first_call_at": rfc3339(first_at) if made else None,
        "last_call_at": rfc3339(first_at + (made - 1) * wanted.pace_ms) if made else None,
    }


def _read_instant(name: str) -> Reader:
    def read(value: Any, _found: dict[str, Any], rules: Rules) -> int:
        at = instant_of(value)
        if at is None or not 0 <= at < cron.INSTANT_MAX:
            refuse("invalid_backfill", f"{name} must be an instant from 1970 on, such as 2026-04-01T09:00:00Z")
        if at > rules.now:
            refuse("invalid_backfill", f"{name} must not be in the future: coming ticks run by themselves")
        return at

    return read


def _read_existing(value: Any, _found: dict[str, Any], _rules: Rules) -> str:
    if value not in EXISTING:
        refuse("invalid_backfill", f"existing must be one of {', '.join(EXISTING)}")
    existing: str = value
    return existing


def _read_pace(value: Any, _found: dict[str, Any], _rules: Rules) -> float:
    if type(value) not in (int, float) or not PACE_MIN_S <= value <= PACE_MAX_S:
        refuse("invalid_backfill", f"pace_seconds must be a number of seconds from {PACE_MIN_S:g} to {PACE_MAX_S:,}")
    return float(value)


def _read_dry_run(value: Any, _found: dict[str, Any], _rules: Rules) -> bool:
    if type(value) is not bool:
        refuse("invalid_backfill", "dry_run must be true or false")
    return value


def _row(name: str, read: Reader, schema: dict[str, Any], rule: str, **more: Any) -> Field:
    return Field(name=name, read=read, schema=schema, rule=rule, code=_CODE, means=_MEANS, **more)


BACKFILL: Final = Fields(
    _row("since", _read_instant("since"), _INSTANT, "ticks from this instant on, which is in the past"),
    _row(
        "before",
        _read_instant("before"),
        _INSTANT,
        f"and before this one, also in the past; at most {SLOTS_MAX:,} ticks",
    ),
    _row(
        "existing",
        _read_existing,
        {"type": "string", "enum": list(EXISTING)},
        "a tick that has a job already gets none (`skip`), or another one (`rerun`)",
        default="skip",
    ),
    _row(
        "pace_seconds",
        _read_pace,
        {"type": "number", "minimum": PACE_MIN_S, "maximum": PACE_MAX_S},
        f"seconds between two calls, {PACE_MIN_S:g}–{PACE_MAX_S:,}",
        default=PACE_S,
    ),
    _row("dry_run", _read_dry_run, {"type": "boolean"}, "only say how many jobs there would be", default=False),
)
