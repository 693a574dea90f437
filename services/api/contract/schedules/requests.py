"""
Requests about schedules: parsed JSON to what is asked for. Pure.

A rule is kept as it was asked for (`ScheduleRule`), and the tables of time zones are passed in.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from libs.domain.calendar import rule_fields
from libs.domain.calendar.recorded_rule import ZoneLookup, is_plain, record_of
from libs.domain.calendar.rule import Rule
from libs.domain.calendar.rule_fields import RuleContext, RuleError
from libs.domain.calendar.zones import Zone
from libs.events import RunPolicy, SchedulePolicy, ScheduleRule, Spec
from libs.events.retry_policy import JobTerms
from services.api.contract.api_error import bad, refuse
from services.api.contract.field import CheckUrl, Rules
from services.api.contract.instants import parse_instant
from services.api.contract.request_fields import BODILESS
from services.api.contract.requests import asked_for, digest, retries_of, spec_of
from services.api.contract.schedules.fields import (
    BUFFER,
    BUFFER_MAX,
    CATCHUP_MAX,
    FAILURES_MAX,
    GRACE_MAX_S,
    GRACEFUL,
    MISFIRES,
    OVERLAPS,
    PAUSE,
    PREVIEW,
    RESUME,
    RUN,
    SCHEDULE,
    WINDOW_MAX_S,
    WINDOW_MIN_S,
    WINDOW_S,
    check_schedule_key,
)
from services.api.contract.schedules.schedule_answers import STATUSES

DEFAULT_POLICY: Final = SchedulePolicy()

_NO_URLS: Final = Rules(str)


class Zones(NamedTuple):
    """
    The time zones at hand.

    Args:
        names: of all of them.
        find: a zone by its name.
        version: of the zone data.
        interval_min_s: the shortest interval that the operator allows.
    """

    names: frozenset[str]
    find: ZoneLookup
    version: str
    interval_min_s: int = 1

    def zone(self, name: str) -> Zone:
        """Return the zone of a name that is one of *names*."""
        found = self.find(name)
        if found is None:
            raise KeyError(name)
        return found


class ScheduleRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    A schedule as asked for, normalised.

    Args:
        rule: when it ticks; an interval without an anchor of its own has that of the request.
        has_anchor: the request named the anchor.
        policy: what becomes of late ticks; None: the latest is made up for.
        terms: what its jobs inherit besides; None for the defaults.
        key: the name that the body gives it.
        runs: what becomes of ticks while a run is under way, and after failures; None: nothing.
        labels: of it and of its jobs; None if there are none.
    """

    spec: Spec
    rule: ScheduleRule
    has_anchor: bool
    max_runs: int | None
    policy: SchedulePolicy | None
    max_retries: int
    terms: JobTerms | None = None
    key: str | None = None
    runs: RunPolicy | None = None
    labels: dict[str, str] | None = None

    @property
    def is_plain(self) -> bool:
        """Whether `schedule.created` can describe it."""
        asked = (self.max_runs, self.policy, self.terms, self.runs, self.labels)
        return asked == (None, None, None, None, None) and is_plain(self.rule)

    def rule_at(self, created_at: int) -> ScheduleRule:
        """Return the rule of a schedule that is created at *created_at*."""
        if self.rule.every_s is None or self.has_anchor:
            return self.rule
        return msgspec.structs.replace(self.rule, anchor_at=created_at // 1_000 * 1_000)


class PauseRequest(NamedTuple):
    """Why a schedule is paused, and until when; None: nothing is said, and until it is resumed."""

    note: str | None
    until: int | None


class PreviewRequest(NamedTuple):
    """The runs to show: of *rule*, if one was asked for, *run_count* after *after* (None: from now on)."""

    rule: Rule
    run_count: int
    after: int | None


def schedule_request(
    data: Any, check_url: CheckUrl, now: int, zones: Zones, *, traceparent: str | None = None
) -> ScheduleRequest:
    """
    Return the schedule that *data* asks for.

    Raises:
        ApiError: 400 with the code of the first rule that is broken.
    """
    found = SCHEDULE.read(data, Rules(check_url, now))
    return ScheduleRequest(
        spec=spec_of(found, traceparent),
        rule=record_of(read_rule(found, now, zones)),
        has_anchor=found["every"] is not None and found["every"].get("anchor") is not None,
        max_runs=found["max_runs"],
        policy=read_policy(found),
        max_retries=retries_of(data, found),
        terms=_terms(found),
        runs=read_runs(found),
        key=found["key"],
        labels=found["labels"],
    )


def _terms(found: dict[str, Any]) -> JobTerms | None:
    terms = JobTerms(retry=found["retry"], success_on=found["success_on"], expires_in_ms=found["expires_in_seconds"])
    return None if terms == JobTerms() else terms


def pause_request(data: Any, now: int) -> PauseRequest:
    """
    Return what *data* says about a pause that is asked for at *now*.

    Raises:
        ApiError: 400 with the code of the first rule that is broken.
    """
    return PauseRequest(**PAUSE.read(data, _NO_URLS._replace(now=now)))


def run_request(data: Any, spec: Spec) -> dict[str, Any]:
    """
    Return what *data* says of a run alone, of a schedule that calls *spec*: fields of a spec that differ from it.

    Raises:
        ApiError: 400 with the code of the first rule that is broken.
    """
    found = RUN.read(data, _NO_URLS)
    if found["body"] is not None and spec.method in BODILESS:
        refuse("invalid_body", f"a {spec.method} job cannot have a body")
    return {name: value for name, value in found.items() if value is not None}


def run_hash(schedule_id: str, own: Mapping[str, Any]) -> bytes:
    """Return 16 bytes that are equal for requests to run *schedule_id* with the same fields of their *own*."""
    return digest(["run", schedule_id, own])


def wants_catch_up(data: Any) -> bool:
    """
    Return whether a request to resume says that the ticks of the pause are late ticks.

    Raises:
        ApiError: 400 `invalid_catch_up`.
    """
    catch_up: bool = RESUME.read(data, _NO_URLS)["catch_up"]
    return catch_up


def preview_request(data: Any, now: int, zones: Zones) -> PreviewRequest:
    """
    Return what *data* asks to be shown of a rule that is not saved.

    Raises:
        ApiError: 400 with the code of the first rule that is broken.
    """
    found = PREVIEW.read(data, _NO_URLS)
    return PreviewRequest(read_rule(found, now, zones), found["count"], found["after"])


def preview_query(query: Mapping[str, str]) -> tuple[int, int | None]:
    """
    Return how many runs a query asks for, and after which instant (None: from now on).

    Raises:
        ApiError: 400 `invalid_count`, `invalid_after`.
    """
    found = PREVIEW.read(dict(query), _NO_URLS)
    return found["count"], found["after"]


def schedules_query(query: Mapping[str, str]) -> tuple[str | None, str | None]:
    """
    Return the status and the key by which a query filters a list of schedules; None: not at all.

    Raises:
        ApiError: 400 `invalid_status`, `invalid_key`.
    """
    status, key = query.get("status"), query.get("key")
    if status is not None and status not in STATUSES:
        refuse("invalid_status", f"status must be one of {', '.join(STATUSES)}")
    return status, None if key is None else check_schedule_key(key)


def read_rule(found: Mapping[str, Any], now: int, zones: Zones) -> Rule:
    """
    Return the rule that the fields *found* describe.

    Raises:
        ApiError: 400 with the code of the first field that is wrong.
    """
    read_instant: Callable[[str], int | None] = parse_instant
    context = RuleContext(
        now=now,
        zone_names=zones.names,
        zone=zones.zone,
        read_instant=read_instant,
        interval_min_s=zones.interval_min_s,
    )
    try:
        return rule_fields.read_rule(found, context)
    except RuleError as error:
        raise bad(error.code, error.message) from None


def read_policy(found: Mapping[str, Any]) -> SchedulePolicy | None:
    """
    Return what the fields *found* say about late ticks; None for what is so by default.

    Raises:
        ApiError: 400 `invalid_misfire`.
    """
    misfire: Any = "fire_once" if found["misfire"] is None else found["misfire"]
    if misfire not in MISFIRES:
        refuse("invalid_misfire", f"misfire must be one of {', '.join(MISFIRES)}")
    code = "invalid_misfire"
    window_s = _whole(found["catchup_window_seconds"], WINDOW_MIN_S, WINDOW_MAX_S, "catchup_window_seconds", code)
    catchup_max = _whole(found["catchup_max"], 1, CATCHUP_MAX, "catchup_max", code)
    if misfire == "skip" and window_s is not None:
        refuse(
            "invalid_misfire", "catchup_window_seconds says what is made up for, and misfire skip makes up for nothing"
        )
    if misfire != "fire_all" and catchup_max is not None:
        refuse("invalid_misfire", "catchup_max belongs to misfire fire_all: leave it out")
    if misfire == "fire_all":
        window_s = WINDOW_S if window_s is None else window_s
    policy = SchedulePolicy(misfire=misfire, window_s=window_s, catchup_max=catchup_max or DEFAULT_POLICY.catchup_max)
    return None if policy == DEFAULT_POLICY else policy


def read_runs(found: Mapping[str, Any]) -> RunPolicy | None:
    """
    Return what the fields *found* say about runs that meet or fail; None for what is so by default.

    Raises:
        ApiError: 400 `invalid_overlap`, `invalid_pause_after_failures`.
    """
    overlap: Any = "allow" if found["overlap"] is None else found["overlap"]
    if overlap not in OVERLAPS:
        refuse("invalid_overlap", f"overlap must be one of {', '.join(OVERLAPS)}")
    buffer_max = _whole(found["buffer_max"], 1, BUFFER_MAX, "buffer_max", "invalid_overlap")
    if overlap != "buffer_all" and buffer_max is not None:
        refuse("invalid_overlap", "buffer_max belongs to overlap buffer_all: leave it out")
    grace_s = _whole(found["overlap_grace_seconds"], 0, GRACE_MAX_S, "overlap_grace_seconds", "invalid_overlap")
    if overlap not in GRACEFUL and grace_s:
        refuse("invalid_overlap", f"overlap_grace_seconds belongs to overlap {', '.join(GRACEFUL)}: leave it out")
    failures = found["pause_after_failures"]
    if type(failures) is float and failures.is_integer():
        failures = int(failures)
    if failures is not None and (type(failures) is not int or not 0 <= failures <= FAILURES_MAX):
        refuse("invalid_pause_after_failures", f"pause_after_failures must be a whole number from 0 to {FAILURES_MAX}")
    runs = RunPolicy(
        overlap=overlap, buffer_max=buffer_max or BUFFER, pause_after_failures=failures or 0, grace_s=grace_s or 0
    )
    return None if runs == RunPolicy() else runs


def _whole(value: Any, low: int, high: int, field: str, code: str) -> int | None:
    if type(value) is float and value.is_integer():
        value = int(value)
    if value is not None and (type(value) is not int or not low <= value <= high):
        refuse(code, f"{field} must be a whole number from {low} to {high:,}")
    return value


def schedule_hash(request: ScheduleRequest) -> bytes:
    """Return 16 bytes that are equal for requests which ask for the same, however they were spelled; no job has them."""
    if request.is_plain and request.key is None:
        return digest(["schedule", *asked_for(request, request.rule.cron or "")])
    rule = request.rule if request.has_anchor else msgspec.structs.replace(request.rule, anchor_at=0)
    asked = msgspec.json.encode(rule).decode()
    policy = None if request.policy is None else msgspec.json.encode(request.policy).decode()
    terms = [msgspec.json.encode(each).decode() for each in (request.terms, request.runs) if each is not None]
    key = [] if request.key is None else [{"key": request.key}]
    labels = [] if request.labels is None else [{"labels": request.labels}]
    return digest(["schedule", *asked_for(request, asked), request.max_runs, policy, *terms, *key, *labels])
