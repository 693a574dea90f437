"""Recovery: what a request to recover an endpoint may carry, and recoveries to JSON. Pure."""

from typing import Any, Final

from libs.domain.endpoints.recovery import Recovery
from libs.domain.instants import rfc3339
from services.api.contract.api_error import refuse
from services.api.contract.field import Field, Fields, Rules
from services.api.contract.instants import LATEST, parse_instant, why_no_instant
from services.api.contract.request_fields import INSTANT


def _read_since(value: Any, _found: dict[str, Any], _rules: Rules) -> int:
    at = _instant(value)
    if at is None:
        refuse("invalid_since", f"since {why_no_instant(value)}")
    return at


def _read_until(value: Any, _found: dict[str, Any], _rules: Rules) -> int:
    at = _instant(value)
    if at is None:
        refuse("invalid_until", f"until {why_no_instant(value)}")
    return at


def _instant(value: Any) -> int | None:
    at = parse_instant(value) if type(value) is str else None
    return at if at is not None and 0 <= at <= LATEST else None


RECOVERY: Final = Fields(
    Field(
        name="since",
        read=_read_since,
        schema=INSTANT,
        rule="events from this instant on are sent again",
        code="invalid_since",
        means="since is not an instant.",
    ),
    Field(
        name="until",
        read=_read_until,
        schema=INSTANT,
        rule="events before this instant; by default now",
        code="invalid_until",
        means="until is not an instant; of a pause it is in the future, within ten years.",
        default=None,
        takes_null=True,
    ),
)


def recovery_request(data: Any, now: int) -> tuple[int, int]:
    """
    Return from which instant to which one events are sent again.

    Raises:
        ApiError: 400 with the code of the first rule that is broken.
    """
    found = RECOVERY.read(data, Rules(str))
    return found["since"], min(now, now if found["until"] is None else found["until"])


def shown(recovery: Recovery) -> dict[str, Any]:
    """Return the recovery object of the API."""
    return {
        "endpoint_id": recovery.endpoint_id,
        "status": recovery.status,
        "since": rfc3339(recovery.since),
        "until": rfc3339(recovery.until),
        "recovered_count": recovery.recovered_count,
        "created_at": rfc3339(recovery.created_at),
        "ended_at": None if recovery.ended_at is None else rfc3339(recovery.ended_at),
    }
