"""Capture fields: what of the answers of a target is kept: the fields `capture` and `redact` of jobs and schedules. Pure."""

from typing import Any, Final, get_args

from libs.events import Capture
from libs.events.job import CaptureWhen
from services.api.contract.api_error import refuse
from services.api.contract.field import Field, Rules

REDACT_MAX: Final = 20
NAME_MAX: Final = 64  # characters of a name

_WHEN: Final = get_args(CaptureWhen)
_WHEN_RULE: Final = f"capture must be {', '.join(_WHEN[:-1])} or {_WHEN[-1]}"
_REDACT_RULE: Final = f"redact must be a list of at most {REDACT_MAX} names of 1 to {NAME_MAX} printable characters"


def capture_fields() -> tuple[Field, Field]:
    """Return the rows of `capture` and `redact`."""
    return (
        Field(
            name="capture",
            read=_read_when,
            schema={"type": "string", "enum": list(_WHEN)},
            rule="of which attempts the answer of the target is kept: `none`, `on_failure` or `always`; by default as the operator"
            " says (`FLIQ_CAPTURE`), see [answers of targets](responses.md)",
            code="invalid_capture",
            means="capture is not one of `none`, `on_failure` and `always`.",
            default=None,
            takes_null=True,
        ),
        Field(
            name="redact",
            read=_read_redact,
            schema={
                "type": "array",
                "maxItems": REDACT_MAX,
                "items": {"type": "string", "minLength": 1, "maxLength": NAME_MAX},
                "examples": [["password"]],
            },
            rule=f"at most {REDACT_MAX} names whose values are taken out of answers before these are kept, such as `password`: of"
            f" JSON at any depth, and of forms; 1–{NAME_MAX} printable characters, in any letter case",
            code="invalid_redact",
            means=f"redact is not a list of at most {REDACT_MAX} names of 1 to {NAME_MAX} printable characters.",
            default=None,
            takes_null=True,
        ),
    )


def capture_of(found: dict[str, Any]) -> Capture | None:
    """Return what the fields *found* say; None if they say nothing."""
    when, redact = found["capture"], found["redact"]
    return None if when is None and not redact else Capture(when=when, redact=tuple(redact or ()))


def shown_capture(capture: Capture | None) -> dict[str, Any]:
    """Return the fields that were given, as a request would give them."""
    if capture is None:
        return {}
    return ({} if capture.when is None else {"capture": capture.when}) | (
        {"redact": list(capture.redact)} if capture.redact else {}
    )


def _read_when(value: Any, _found: dict[str, Any], _rules: Rules) -> CaptureWhen:
    if value not in _WHEN:
        refuse("invalid_capture", _WHEN_RULE)
    when: CaptureWhen = value
    return when


def _read_redact(value: Any, _found: dict[str, Any], _rules: Rules) -> list[str]:
    is_list = type(value) is list and len(value) <= REDACT_MAX
    if not is_list or not all(
        type(each) is str and 1 <= len(each) <= NAME_MAX and each.isprintable() for each in value
    ):
        refuse("invalid_redact", _REDACT_RULE)
    return list(dict.fromkeys(value))
