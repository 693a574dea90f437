"""
Fields of requests about schedules: the tables. Pure.

The fields of a rule are judged together (`requests.read_rule`), because most of them depend on each other; their rows here describe
them.
"""

import re
from typing import Any, Final

from libs.domain.calendar import cron, cron_text, rule_fields
from libs.domain.calendar.preview import PREVIEW_COUNT_MAX
from services.api.contract import header_rules
from services.api.contract.api_error import refuse
from services.api.contract.field import Field, Fields, Rules, Schema
from services.api.contract.fields.delay_fields import expiry_fields
from services.api.contract.instants import ten_years_after
from services.api.contract.json_body import Duplicated
from services.api.contract.request_fields import CALL, INSTANT, LABELS, MAX_RETRIES, RETRY_ROWS, instant_of, read_body

PREVIEW_COUNT: Final = 10  # runs shown unless asked otherwise
RUNS_MAX: Final = 1_000_000_000
MISFIRES: Final = ("skip", "fire_once", "fire_all")
WINDOW_S: Final = 86_400  # of fire_all
WINDOW_MIN_S: Final = 60
WINDOW_MAX_S: Final = 31_536_000
CATCHUP_MAX: Final = 500
OVERLAPS: Final = ("allow", "skip", "buffer_one", "buffer_all", "replace")
BUFFER_MAX: Final = 100
BUFFER: Final = 10
GRACE_MAX_S: Final = 3_600
GRACEFUL: Final = ("skip", "buffer_one", "buffer_all")
FAILURES_MAX: Final = 100
NOTE_MAX: Final = 500  # characters

SCHEDULE_KEY: Final[Schema] = {"type": "string", "pattern": "^[A-Za-z0-9._~-]{1,128}$"}

_KEY: Final = re.compile(r"[A-Za-z0-9._~-]{1,128}", re.ASCII)


def _as_it_is(value: Any, _found: dict[str, Any], _rules: Rules) -> Any:
    if type(value) is Duplicated:
        refuse("duplicate_field", f"the field {value.name[:40]!r} stands twice in one object")
    return value


def _of_rule(name: str, schema: Schema, *, rule: str, code: str, means: str) -> Field:
    return Field(
        name=name, read=_as_it_is, schema=schema, rule=rule, code=code, means=means, default=None, takes_null=True
    )


RULE: Final = (
    _of_rule(
        "cron",
        {"type": "string", "minLength": 6, "maxLength": cron_text.CRON_LENGTH_MAX + 80},
        rule="five fields: minute, hour, day of month, month, day of week; or a shorthand such as `@daily`; `CRON_TZ=Zone `"
        " may stand before them. Either `cron` or `every` is required",
        code="invalid_cron",
        means="cron is not an expression of five fields that fires within five years, or both cron and every are missing.",
    ),
    _of_rule(
        "every",
        {
            "type": "object",
            "properties": {
                "seconds": {"type": "integer", "minimum": 1, "maximum": rule_fields.EVERY_MAX_S},
                "anchor": {"anyOf": [INSTANT, {"type": "null"}]},
            },
            "required": ["seconds"],
            "additionalProperties": False,
        },
        rule='instead of `cron`: `{"seconds": 300, "anchor": instant}`, 1–31,536,000 s of elapsed time; the anchor is one of the'
        " ticks, by default the second in which the schedule is created",
        code="invalid_every",
        means="every is not an object with seconds and maybe anchor, or stands beside cron.",
    ),
    _of_rule(
        "timezone",
        {"type": "string", "maxLength": rule_fields.ZONE_LENGTH_MAX, "examples": ["Europe/Berlin"]},
        rule="whose wall clock `cron` speaks of: a name of the IANA time zones, such as `Europe/Berlin`; by default UTC",
        code="invalid_timezone",
        means="timezone is no name of the zone data, spelled as there, or stands beside every.",
    ),
    _of_rule(
        "dst",
        {
            "type": "object",
            "properties": {
                "gap": {"type": "string", "enum": ["shift", "skip"]},
                "fold": {"type": "string", "enum": ["first", "both"]},
            },
            "additionalProperties": False,
        },
        rule='what a cron at fixed times does when clocks change: `{"gap": "shift" or "skip", "fold": "first" or "both"}`; by'
        " default `shift` and `first`; see [clock changes](schedules.md)",
        code="invalid_dst",
        means="dst is not an object with gap (shift, skip) and fold (first, both), or stands beside every.",
    ),
    _of_rule(
        "starts_at",
        INSTANT,
        rule="no tick before this instant",
        code="invalid_window",
        means="starts_at or ends_at is no instant, ends_at is not after starts_at and now, or no tick lies between them.",
    ),
    _of_rule(
        "ends_at",
        INSTANT,
        rule="no tick after this instant, which is in the future",
        code="invalid_window",
        means="starts_at or ends_at is no instant, ends_at is not after starts_at and now, or no tick lies between them.",
    ),
    _of_rule(
        "exclude",
        {"type": "array", "maxItems": rule_fields.EXCLUDE_COUNT_MAX, "items": {"type": "string"}},
        rule=f"at most {rule_fields.EXCLUDE_COUNT_MAX} dates without ticks, `2026-12-24` or `2026-12-24/2026-12-26`, in the time"
        " zone",
        code="invalid_exclude",
        means=f"exclude is not a list of at most {rule_fields.EXCLUDE_COUNT_MAX} dates or spans of dates that leaves a tick.",
    ),
    _of_rule(
        "spread",
        {
            "type": "object",
            "properties": {
                "seconds": {"type": "integer", "minimum": 1, "maximum": rule_fields.SPREAD_MAX_S},
                "by": {"type": "string", "enum": ["schedule", "run"]},
            },
            "required": ["seconds"],
            "additionalProperties": False,
        },
        rule='calls are made up to so much later than their ticks: `{"seconds": 1–86,400, "by": "schedule"}` by the same delay at'
        " each tick, `run` by another one; at the latest a second before the next tick",
        code="invalid_spread",
        means="spread is not an object with seconds (1 to 86,400) and maybe by (schedule, run).",
    ),
)


def _read_max_runs(value: Any, _found: dict[str, Any], _rules: Rules) -> int:
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int or not 1 <= value <= RUNS_MAX:
        refuse("invalid_max_runs", f"max_runs must be an integer from 1 to {RUNS_MAX:,}")
    return value


def _read_count(value: Any, _found: dict[str, Any], _rules: Rules) -> int:
    if type(value) is str and value.isascii() and value.isdecimal() and len(value) <= 3:
        value = int(value)  # as it stands in a query
    if type(value) is not int or not 1 <= value <= PREVIEW_COUNT_MAX:
        refuse("invalid_count", f"count must be a number from 1 to {PREVIEW_COUNT_MAX}")
    return value


def _read_after(value: Any, _found: dict[str, Any], _rules: Rules) -> int:
    at = instant_of(value)
    if at is None or not 0 <= at < cron.INSTANT_MAX:
        refuse("invalid_after", "after must be an instant from 1970 to 2199, such as 2026-04-01T09:00:00Z")
    return at


def _read_note(value: Any, _found: dict[str, Any], _rules: Rules) -> str:
    if type(value) is not str or not 1 <= len(value) <= NOTE_MAX or "\x00" in value:
        refuse("invalid_note", f"note must be a text of 1 to {NOTE_MAX} characters")
    return value


def _read_catch_up(value: Any, _found: dict[str, Any], _rules: Rules) -> bool:
    if type(value) is not bool:
        refuse("invalid_catch_up", "catch_up must be true or false")
    return value


def _read_until(value: Any, _found: dict[str, Any], rules: Rules) -> int:
    at = instant_of(value)
    if at is None or not rules.now < at <= ten_years_after(rules.now):
        refuse("invalid_until", "until must be RFC 3339, in the future and within ten years")
    return at


def check_schedule_key(key: str) -> str:
    """
    Return *key* if it is a key of a schedule.

    Raises:
        ApiError: 400 `invalid_key`.
    """
    if _KEY.fullmatch(key) is None:
        refuse("invalid_key", "the key of a schedule is 1 to 128 of the characters A-Z a-z 0-9 . _ ~ -")
    return key


def _read_key(value: Any, _found: dict[str, Any], _rules: Rules) -> str:
    if type(value) is not str:
        refuse("invalid_key", "the key of a schedule is a string of 1 to 128 of the characters A-Z a-z 0-9 . _ ~ -")
    return check_schedule_key(value)


_KEY_FIELD: Final = Field(
    name="key",
    read=_read_key,
    schema=SCHEDULE_KEY,
    rule="1–128 of the characters `A-Z a-z 0-9 . _ ~ -`: a name of your own, of which one schedule lives at a time; with `PUT` it"
    " stands in the path",
    code="invalid_key",
    means="The key of a schedule is not 1 to 128 of the characters A-Z a-z 0-9 . _ ~ -, or is not that of the path.",
    default=None,
    takes_null=True,
)
_MAX_RUNS: Final = Field(
    name="max_runs",
    read=_read_max_runs,
    schema={"type": "integer", "minimum": 1, "maximum": RUNS_MAX},
    rule=f"integer 1–{RUNS_MAX:,}; the schedule is finished with this many ticks",
    code="invalid_max_runs",
    means=f"max_runs is not an integer from 1 to {RUNS_MAX:,}.",
    default=None,
    takes_null=True,
)
_MISFIRE_MEANS: Final = (
    "misfire is not skip, fire_once or fire_all, or catchup_window_seconds or catchup_max is out of range or does not go"
    " with it."
)


def _of_misfire(name: str, schema: Schema, *, rule: str) -> Field:
    return Field(
        name=name,
        read=_as_it_is,
        schema=schema,
        rule=rule,
        code="invalid_misfire",
        means=_MISFIRE_MEANS,
        default=None,
        takes_null=True,
    )


MISFIRE: Final = (
    _of_misfire(
        "misfire",
        {"type": "string", "enum": list(MISFIRES)},
        rule="what becomes of ticks that are more than a minute late, as after an outage: `fire_once` makes up for the latest,"
        " `skip` for none, `fire_all` for all of them; by default `fire_once`",
    ),
    _of_misfire(
        "catchup_window_seconds",
        {"type": "integer", "minimum": WINDOW_MIN_S, "maximum": WINDOW_MAX_S},
        rule=f"ticks older than this are not made up for, {WINDOW_MIN_S}–{WINDOW_MAX_S:,}; not with `skip`; by default no limit"
        f" with `fire_once`, {WINDOW_S:,} with `fire_all`",
    ),
    _of_misfire(
        "catchup_max",
        {"type": "integer", "minimum": 1, "maximum": CATCHUP_MAX},
        rule=f"of ticks older than that at most so many, the newest, 1–{CATCHUP_MAX}; only with `fire_all`; by default 100",
    ),
)
_OVERLAP_MEANS: Final = (
    "overlap is not allow, skip, buffer_one, buffer_all or replace, or buffer_max is not 1 to 100"
    f" or stands without buffer_all, or overlap_grace_seconds is not 0 to {GRACE_MAX_S:,} or stands without {', '.join(GRACEFUL)}."
)
OVERLAP: Final = (
    Field(
        name="overlap",
        read=_as_it_is,
        schema={"type": "string", "enum": list(OVERLAPS)},
        rule="what becomes of a tick while a run is under way: `allow` runs both, `skip` leaves the tick out, `buffer_one` lets the"
        " latest such tick wait, `buffer_all` up to `buffer_max`, `replace` stops the run and takes its place; by default `allow`;"
        " see [when runs overlap](schedules.md#when-runs-overlap)",
        code="invalid_overlap",
        means=_OVERLAP_MEANS,
        default=None,
        takes_null=True,
    ),
    Field(
        name="buffer_max",
        read=_as_it_is,
        schema={"type": "integer", "minimum": 1, "maximum": BUFFER_MAX},
        rule=f"ticks that may wait, 1–{BUFFER_MAX}; only with `buffer_all`; by default {BUFFER}",
        code="invalid_overlap",
        means=_OVERLAP_MEANS,
        default=None,
        takes_null=True,
    ),
    Field(
        name="overlap_grace_seconds",
        read=_as_it_is,
        schema={"type": "integer", "minimum": 0, "maximum": GRACE_MAX_S},
        rule=f"a run whose last call timed out counts as under way for so many seconds more, 0–{GRACE_MAX_S:,}; only with `skip`,"
        " `buffer_one` and `buffer_all`; by default 0",
        code="invalid_overlap",
        means=_OVERLAP_MEANS,
        default=None,
        takes_null=True,
    ),
    Field(
        name="pause_after_failures",
        read=_as_it_is,
        schema={"type": "integer", "minimum": 0, "maximum": FAILURES_MAX},
        rule=f"the schedule pauses itself after so many failed runs in a row, retries used up, 0–{FAILURES_MAX}; by default 0:"
        " never",
        code="invalid_pause_after_failures",
        means=f"pause_after_failures is not an integer from 0 to {FAILURES_MAX}.",
        default=None,
        takes_null=True,
    ),
)
# What a change may name; a request for a new schedule may name its key, too.
CHANGEABLE: Final = Fields(
    *CALL, *RULE, _MAX_RUNS, *MISFIRE, *OVERLAP, MAX_RETRIES, *RETRY_ROWS, expiry_fields()[1], LABELS
)
SCHEDULE: Final = Fields(*CHANGEABLE.rows, _KEY_FIELD)
RUN: Final = Fields(
    Field(
        name="body",
        read=lambda value, _, rules: read_body(value, {"http_method": "POST"}, rules),
        schema={"type": "string"},
        rule="the body of this run, instead of that of the schedule",
        code="invalid_body",
        means=next(row.means for row in CALL if row.name == "body"),
        default=None,
        takes_null=True,
    ),
    header_rules.field("headers", rule="the headers of this run, instead of those of the schedule"),
)
PAUSE: Final = Fields(
    Field(
        name="note",
        read=_read_note,
        schema={"type": "string", "minLength": 1, "maxLength": NOTE_MAX},
        rule=f"1–{NOTE_MAX} characters, for people: why",
        code="invalid_note",
        means=f"note is not a text of 1 to {NOTE_MAX} characters.",
        default=None,
        takes_null=True,
    ),
    Field(
        name="until",
        read=_read_until,
        schema=INSTANT,
        rule="the schedule goes on by itself at this instant, which is in the future and within ten years",
        code="invalid_until",
        means="until is not an instant in the future, within ten years.",
        default=None,
        takes_null=True,
    ),
)
RESUME: Final = Fields(
    Field(
        name="catch_up",
        read=_read_catch_up,
        schema={"type": "boolean"},
        rule="the ticks since the last one that was decided, mostly those of the pause, are late ticks: `misfire` says which of"
        " them are made up for",
        code="invalid_catch_up",
        means="catch_up is neither true nor false.",
        default=False,
    ),
)
PREVIEW: Final = Fields(
    *RULE,
    Field(
        name="count",
        read=_read_count,
        schema={"type": "integer", "minimum": 1, "maximum": PREVIEW_COUNT_MAX, "default": PREVIEW_COUNT},
        rule=f"how many runs to show, 1–{PREVIEW_COUNT_MAX}",
        code="invalid_count",
        means=f"count is not a number from 1 to {PREVIEW_COUNT_MAX}.",
        default=PREVIEW_COUNT,
    ),
    Field(
        name="after",
        read=_read_after,
        schema=INSTANT,
        rule="show the runs after this instant; by default now",
        code="invalid_after",
        means="after is not an instant from 1970 to 2199.",
        default=None,
        takes_null=True,
    ),
)
