"""
Patch: a change of a schedule, as a JSON merge patch (RFC 7396). Pure.

A patch is laid over the fields that the schedule has, and the whole is read as a request for a schedule: a field that is null takes
its default, one that is left out stays. So a change is judged by the rules of a creation, and there are no others.
"""

from collections.abc import Collection
from typing import Any, Final

from libs.domain.instants import rfc3339
from libs.domain.schedule import ScheduleState
from libs.events import Spec
from services.api.contract import requests
from services.api.contract.api_error import ApiError, refuse, refuse_unknown
from services.api.contract.json_body import Duplicated
from services.api.contract.schedules.fields import CHANGEABLE, GRACEFUL
from services.api.contract.schedules.schedule_answers import policy_fields, run_fields, terms_of

_NAMES: Final = frozenset(row.name for row in CHANGEABLE.rows)
# A choice -> the fields that only some of its values take.
_COMPANIONS: Final = {"overlap": ("buffer_max",), "misfire": ("catchup_window_seconds", "catchup_max")}
_DEPTH_MAX: Final = 4  # objects inside objects; the fields of a schedule have two


def fields_of(state: ScheduleState, spec: Spec) -> dict[str, Any]:
    """Return the request that would make the schedule as it is; fields at their defaults may be null."""
    rule, more = state.rule, state.more
    spread = None if rule.spread_s is None else {"seconds": rule.spread_s, "by": rule.spread_by}
    when: dict[str, Any] = {"every": {"seconds": rule.every_s, "anchor": rfc3339(rule.anchor_at)}}
    if rule.every_s is None:
        zone = None if rule.zone == "UTC" else rule.zone  # so that a cron may bring one as its prefix
        when = {"cron": rule.cron, "timezone": zone, "dst": {"gap": rule.gap, "fold": rule.fold}}
    return (
        when
        | requests.fields_of(spec)
        | {
            "starts_at": None if rule.starts_at is None else rfc3339(rule.starts_at),
            "ends_at": None if rule.ends_at is None else rfc3339(rule.ends_at),
            "exclude": list(rule.exclude),
            "spread": spread,
            "max_runs": None if more is None else more.max_runs,
            "max_retries": state.max_retries,
            **policy_fields(None if more is None else more.policy),
            **run_fields(None if more is None else more.runs),
            **terms_of(more),
            "labels": None if more is None else more.labels,
        }
    )


def merged(fields: dict[str, Any], patch: Any, names: Collection[str] = _NAMES) -> dict[str, Any]:
    """
    Return *fields* with *patch*, a parsed JSON document that may say something of *names*, laid over them.

    Raises:
        ApiError: 400 if it is no object, or names another field.
    """
    if type(patch) is Duplicated:
        refuse("duplicate_field", f"the field {patch.name[:40]!r} stands twice in one object")
    if type(patch) is not dict:
        refuse("invalid_json", "a JSON object is expected here")
    for name in patch:
        if name not in names:
            refuse_unknown(name, names)
    found = _merged(fields, patch, _DEPTH_MAX)
    if type(found.get("retry")) is dict:
        _agree(found, patch)
    for name, companions in _COMPANIONS.items():
        if name in patch and patch[name] != fields.get(name):  # another choice has other limits
            for each in companions:
                if each not in patch:
                    found.pop(each, None)
    if "overlap" in patch and patch["overlap"] not in GRACEFUL and "overlap_grace_seconds" not in patch:
        found.pop("overlap_grace_seconds", None)
    return found


def _agree(found: dict[str, Any], patch: dict[str, Any]) -> None:
    """A patch that says in one place how often to try again means the other place, too."""
    asked = patch.get("retry")
    if "max_retries" not in patch:
        if found["retry"].get("max_retries") is not None:
            found.pop("max_retries", None)
    elif type(asked) is not dict or "max_retries" not in asked:
        found["retry"] = found["retry"] | {"max_retries": found.get("max_retries", 0)}


def _merged(target: dict[str, Any], patch: dict[str, Any], depth: int) -> dict[str, Any]:
    found = target.copy()
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        elif type(value) is dict and depth:
            below = found.get(name)
            found[name] = _merged(below if type(below) is dict else {}, value, depth - 1)
        else:
            found[name] = value
    return found


def wanted_version(header: str | None) -> int | None:
    """
    Return the version that an `If-Match` header asks for; None if it asks for none (`*`, or no header).

    Raises:
        ApiError: 400 `invalid_if_match` if it is no entity tag of a schedule.
    """
    if header is None or header.strip() == "*":
        return None
    text = header.strip()
    number = text[2:-1]
    if not (
        text.startswith('"v') and text.endswith('"') and number.isascii() and number.isdecimal() and len(number) <= 15
    ):
        refuse("invalid_if_match", 'If-Match must be one entity tag as ETag gives it, such as "v7", or *')
    return int(number)


def must_be_new(if_match: str | None, if_none_match: str | None) -> bool:
    """
    Return whether an `If-None-Match` header asks that nothing is there yet.

    Raises:
        ApiError: 400 `invalid_if_match` if it is anything but `*`, or stands beside `If-Match`.
    """
    if if_none_match is None:
        return False
    if if_none_match.strip() != "*" or if_match is not None:
        refuse("invalid_if_match", "If-None-Match must be *, and stand without If-Match")
    return True


def version_conflict(version: int) -> ApiError:
    """Return the 412 for a schedule that is at another *version* than was asked for, or that others keep changing."""
    return ApiError(
        412, "version_conflict", f"the schedule is at version {version}: read it again, and repeat your change on it"
    )
