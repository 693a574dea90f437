"""Label fields: the field `labels` of jobs and schedules, and the text of a label in a query. Pure."""

import re
from typing import Any, Final

from libs.events.fields import LABEL_NAME, LABEL_VALUE_MAX
from services.api.contract.api_error import refuse
from services.api.contract.field import Field, Rules
from services.api.contract.json_body import Duplicated

LABELS_MAX: Final = 16
RESERVED: Final = "fliq."  # names that begin so are Fliq's own
OWNER: Final = "fliq.owner"  # but this one is of whom a schedule is, as `fliq apply` says it
LABEL_TEXT: Final = f"^{LABEL_NAME}:.{{1,{LABEL_VALUE_MAX}}}$"

_CODE: Final = "invalid_labels"
_NAME: Final = re.compile(LABEL_NAME, re.ASCII)


def labels_field() -> Field:
    """Return the row of `labels`."""
    return Field(
        name="labels",
        read=_read,
        schema={
            "type": "object",
            "maxProperties": LABELS_MAX,
            "propertyNames": {"pattern": f"^{LABEL_NAME}$"},
            "additionalProperties": {"type": "string", "minLength": 1, "maxLength": LABEL_VALUE_MAX},
            "examples": [{"tenant": "acme"}],
        },
        rule=f"object of up to {LABELS_MAX} names with values, by which lists find it again, see [labels](#labels): names of 1–63"
        f" of the characters `a-z 0-9 . _ / -`, the first a letter or digit, values of 1–{LABEL_VALUE_MAX} printable characters;"
        " no secrets; names that begin with `fliq.` are reserved, but for `fliq.owner`",
        code=_CODE,
        means=f"labels is not an object of up to {LABELS_MAX} names with values of 1 to {LABEL_VALUE_MAX} printable characters, or"
        " label is not a name, a colon and a value.",
        default=None,
        takes_null=True,
    )


def _read(value: Any, _found: dict[str, Any], _rules: Rules) -> dict[str, str] | None:
    if type(value) is Duplicated:
        refuse("duplicate_field", f"labels: the name {value.name[:40]!r} stands there twice")
    if type(value) is not dict or len(value) > LABELS_MAX:
        refuse(_CODE, f"labels must be an object of at most {LABELS_MAX} names with values")
    for name, text in value.items():
        check_label(name, text)
        if name.startswith(RESERVED) and name != OWNER:
            refuse(_CODE, f"labels: names that begin with {RESERVED} are reserved: call {name!r} something else")
    return dict(sorted(value.items())) or None


def check_label(name: str, value: Any) -> None:
    """
    Refuse a label that nothing can have.

    Raises:
        ApiError: 400 `invalid_labels`.
    """
    if _NAME.fullmatch(name) is None:
        refuse(
            _CODE,
            f"labels: {name[:40]!r} must be 1 to 63 of the characters a-z 0-9 . _ / -, the first a letter or digit",
        )
    if type(value) is not str or not 1 <= len(value) <= LABEL_VALUE_MAX or not value.isprintable():
        refuse(_CODE, f"labels: the value of {name!r} must be 1 to {LABEL_VALUE_MAX} printable characters")


def label_of(text: str) -> tuple[str, str]:
    """
    Return the label that *text*, `name:value`, means.

    Raises:
        ApiError: 400 `invalid_labels`.
    """
    name, colon, value = text.partition(":")
    if not colon:
        refuse(_CODE, "label must be a name, a colon and a value, such as tenant:acme")
    check_label(name, value)
    return name, value
