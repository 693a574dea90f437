"""Endpoint fields: what a request to make or change a webhook endpoint may carry. Pure; see request_fields.py."""

from typing import Any, Final, get_args

from libs.domain.endpoints.endpoint import FILTER_MAX, Filter, Format, Ordering
from libs.domain.endpoints.webhook_event import ALL, EVENTS
from libs.egress.url_rules import URL_LIMIT
from libs.events.ids import is_id
from services.api.contract import header_rules
from services.api.contract.api_error import ApiError, refuse
from services.api.contract.field import REQUIRED, Field, Fields, Rules, Schema, integer, url
from services.api.contract.fields.label_fields import LABEL_TEXT, label_of
from services.api.contract.fields.retry_fields import WEBHOOK_MAXIMA, retry_field
from services.api.contract.json_body import Duplicated

DESCRIPTION_MAX: Final = 200  # characters
HOST_MAX: Final = 255  # characters of a host in a filter
OVERLAP_S: Final = 86_400  # as of the account's signing secret
OVERLAP_MAX_S: Final = 7 * 86_400

_EVENTS: Final = (*EVENTS, ALL)
_EVENTS_RULE: Final = "a list of one or more of " + ", ".join(f"`{name}`" for name in _EVENTS)
_FILTER_RULE: Final = (
    f"object with some of `schedule_ids`, `labels` (each `name:value`), `hosts` (of the job's `url`, without port) and"
    f" `status_codes`, each a list of 1 to {FILTER_MAX} values: an event of a job is sent only if each of these lists has the"
    " job's value, and `labels` has one for each name in it"
)


def _read_events(value: Any, _found: dict[str, Any], _rules: Rules) -> tuple[str, ...]:
    if type(value) is not list or not value or any(name not in [*_EVENTS] for name in value):
        refuse("invalid_events", f"events must be {_EVENTS_RULE}".replace("`", ""))
    return tuple(name for name in _EVENTS if name in value)


def _read_filter(value: Any, _found: dict[str, Any], _rules: Rules) -> Filter | None:
    if type(value) is Duplicated:
        refuse("duplicate_field", f"filter: the name {value.name[:40]!r} stands there twice")
    if type(value) is not dict:
        refuse("invalid_filter", "filter must be an object")
    lists: dict[str, tuple[Any, ...]] = {}
    for name, values in value.items():
        of_kind = _FILTERS.get(name)
        if of_kind is None:
            refuse("invalid_filter", f"filter has no {name[:40]!r}; it may have {', '.join(_FILTERS)}")
        if type(values) is not list or not 1 <= len(values) <= FILTER_MAX:
            refuse("invalid_filter", f"filter.{name} must be a list of 1 to {FILTER_MAX} values")
        is_one, what = of_kind
        if not all(is_one(each) for each in values):
            refuse("invalid_filter", f"filter.{name} must hold {what}")
        lists[name] = tuple(
            dict.fromkeys(
                each.lower() if name == "hosts" else int(each) if name == "status_codes" else each for each in values
            )
        )
    return Filter(**lists) if lists else None


def _is_schedule(value: Any) -> bool:
    return type(value) is str and is_id(value, "sched")


def _is_label(value: Any) -> bool:
    if type(value) is not str:
        return False
    try:
        label_of(value)
    except ApiError:
        return False
    return True


def _is_host(value: Any) -> bool:
    is_text = type(value) is str and 1 <= len(value) <= HOST_MAX and value.isascii() and value.isprintable()
    return is_text and not any(letter in value for letter in " /@?#") and (":" not in value or value.startswith("["))


def _is_status(value: Any) -> bool:
    return (type(value) is int or (type(value) is float and value.is_integer())) and 100 <= value <= 599


_FILTERS: Final = {
    "schedule_ids": (_is_schedule, "ids of schedules"),
    "labels": (_is_label, "labels, each a name, a colon and a value, such as tenant:acme"),
    "hosts": (_is_host, "names or addresses of hosts, without a port"),
    "status_codes": (_is_status, "statuses from 100 to 599"),
}


def _choice(name: str, words: tuple[str, ...], rule: str) -> Field:
    def read(value: Any, _found: dict[str, Any], _rules: Rules) -> str:
        if type(value) is not str or value not in words:
            refuse(f"invalid_{name}", f"{name} must be one of {', '.join(words)}")
        return value

    return Field(
        name=name,
        read=read,
        schema={"type": "string", "enum": list(words)},
        rule=rule,
        code=f"invalid_{name}",
        means=f"{name} is not one of {', '.join(words)}.",
        default=words[0],
    )


def _read_description(value: Any, _found: dict[str, Any], _rules: Rules) -> str:
    if type(value) is not str or len(value) > DESCRIPTION_MAX or not value.isprintable():
        refuse("invalid_description", f"description must be at most {DESCRIPTION_MAX} printable characters")
    return value


def _flag(name: str, rule: str) -> Field:
    def read(value: Any, _found: dict[str, Any], _rules: Rules) -> bool:
        if type(value) is not bool:
            refuse(f"invalid_{name}", f"{name} must be true or false")
        return value

    return Field(
        name=name,
        read=read,
        schema={"type": "boolean"},
        rule=rule,
        code=f"invalid_{name}",
        means=f"{name} is neither true nor false.",
        default=False,
    )


def _list(items: Schema) -> Schema:
    return {"type": "array", "minItems": 1, "maxItems": FILTER_MAX, "items": items}


ENDPOINT: Final = Fields(
    url(
        "url",
        characters_max=URL_LIMIT,
        rule="where events are sent, as the `url` of a job",
    ),
    Field(
        name="events",
        read=_read_events,
        schema={"type": "array", "minItems": 1, "items": {"type": "string", "enum": list(_EVENTS)}},
        rule=_EVENTS_RULE,
        code="invalid_events",
        means="events is not a list of one or more of the events that there are.",
        default=["job.failed"],
    ),
    Field(
        name="filter",
        read=_read_filter,
        schema={
            "type": "object",
            "properties": {
                "schedule_ids": _list({"type": "string", "pattern": "^sched_[0-7][0-9a-hjkmnp-tv-z]{25}$"}),
                "labels": _list({"type": "string", "pattern": LABEL_TEXT}),
                "hosts": _list({"type": "string", "minLength": 1, "maxLength": HOST_MAX}),
                "status_codes": _list({"type": "integer", "minimum": 100, "maximum": 599}),
            },
            "additionalProperties": False,
        },
        rule=_FILTER_RULE,
        code="invalid_filter",
        means="filter is not an object of lists that narrow the jobs.",
        default=None,
        takes_null=True,
    ),
    _choice("format", ("standard", "flat", "cloudevents"), "`standard`, `flat` or `cloudevents`, see below"),
    header_rules.field("headers", rule="as the `headers` of a job; `Content-Type` is that of the format"),
    retry_field(
        maxima=WEBHOOK_MAXIMA,
        rule="object that says when and how often an event is sent again that was not taken, as a [retry policy](retries.md) of at"
        " most 20 retries in 7 days; by default after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h and 10 h",
    ),
    Field(
        name="description",
        read=_read_description,
        schema={"type": "string", "maxLength": DESCRIPTION_MAX},
        rule=f"your own words, at most {DESCRIPTION_MAX} printable characters",
        code="invalid_description",
        means=f"description is not text of at most {DESCRIPTION_MAX} printable characters.",
        default="",
    ),
    _flag(
        "include_response",
        "`true` sends with each event of an attempt, or of the end of a job, as `response` what was [kept](responses.md) of the"
        " target's answer; needs the scope `read:payloads`",
    ),
    _choice(
        "ordering",
        ("none", "job"),
        "`job` sends the events of one job one after the other, in the order in which they happened: a later one waits while an"
        " earlier one is [pending](webhooks.md#the-order-of-one-jobs-events); `none` sends each at once",
    ),
    _flag("disabled", "`true` sends nothing until it is `false` again; Fliq sets it when the endpoint takes nothing"),
)
ROTATION: Final = Fields(
    integer(
        "overlap_seconds",
        0,
        OVERLAP_MAX_S,
        default=OVERLAP_S,
        rule=": for so long the secret before signs as well",
    )
)


def change_schema() -> Schema:
    """Return the JSON Schema of a change: some of the fields; null sets the default."""
    schema = ENDPOINT.schema()
    properties = {}
    for row in ENDPOINT.rows:
        plain = row.full_schema()
        plain.pop("default", None)
        properties[row.name] = (
            plain if row.takes_null or row.default is REQUIRED else {"anyOf": [plain, {"type": "null"}]}
        )
    return {**{key: each for key, each in schema.items() if key != "required"}, "properties": properties}


for _name, _words in (("format", Format), ("ordering", Ordering)):
    assert set(get_args(_words)) == {  # noqa: S101 - the words of the domain are those of the API
        word for row in ENDPOINT.rows if row.name == _name for word in row.schema["enum"]
    }
