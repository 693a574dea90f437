"""
Manifest: schedules as code, from the text of a file to what is to be done. Pure.

    fliq: 1
    owner: billing                      # prune touches nothing else
    variables: [APP_URL]                # taken from the environment where a text says ${APP_URL}
    defaults: {timezone: Europe/Berlin, max_retries: 5}
    schedules:
      digest: {cron: "0 8 * * 1-5", url: "${APP_URL}/digest"}

A name below `schedules` is the key of a schedule; its fields are those of the API. JSON is taken as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import msgspec

from fliq_client.cli.exits import UsageError
from fliq_client.contract.request_fields import ScheduleFields

OWNER_LABEL: Final = "fliq.owner"
SIZE_MAX: Final = 4 << 20  # bytes of a file
_VERSION: Final = 1
_PARTS: Final = frozenset({"fliq", "owner", "variables", "defaults", "schedules"})
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SECRET: Final = re.compile(r"auth|cookie|key|password|secret|token", re.IGNORECASE)
FIELDS: Final = frozenset(ScheduleFields.__annotations__)
# What an answer shows of a field that was left out; other fields are then null, or are not there.
_DEFAULTS: Final[Mapping[str, Any]] = {
    "http_method": "POST",
    "timeout_seconds": 30,
    "max_retries": 0,
    "timezone": "UTC",
    "dst": {"gap": "shift", "fold": "first"},
    "exclude": [],
    "misfire": "fire_once",
    "overlap": "allow",
    "pause_after_failures": 0,
    "success_on": ["2xx"],
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """
    A schedule as a manifest has it.

    Args:
        fields: of the request, `url` among them; variables are filled in.
        hidden: the fields with something from a variable, whose values are not shown.
    """

    key: str
    fields: Mapping[str, Any]
    hidden: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """Schedules with one owner."""

    owner: str
    schedules: Sequence[Wanted]


def loaded(text: bytes, name: str) -> Any:
    """Return the document in a file: JSON, or YAML if the package for it is there. Raises UsageError."""
    if len(text) > SIZE_MAX:
        raise UsageError(f"{name}: longer than {SIZE_MAX >> 20} MiB")
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        if name.endswith(".json"):
            raise UsageError(f"{name}: {error}") from None
    try:
        import yaml
    except ImportError:
        raise UsageError(f"{name}: YAML needs a package: pip install 'fliq-client[cli]'; or write JSON") from None
    try:
        return _plain(yaml.safe_load(text))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{name}: {' '.join(str(error).split())}") from None


def read(documents: Iterable[tuple[str, Any]], environ: Mapping[str, str]) -> Manifest:
    """Return what all *documents*, each with the name of its file, say together; raises UsageError."""
    owner, found, places = "", list[Wanted](), dict[str, str]()
    for name, document in documents:
        if not isinstance(document, dict) or document.get("fliq") != _VERSION:
            raise UsageError(f"{name}: a manifest begins with fliq: {_VERSION}")
        if unknown := sorted(set(document) - _PARTS):
            raise UsageError(f"{name}: unknown part {unknown[0]!r}; there are {', '.join(sorted(_PARTS))}")
        said = document.get("owner")
        if not isinstance(said, str) or not said:
            raise UsageError(f"{name}: owner is missing: a name, such as owner: billing")
        if owner not in ("", said):
            raise UsageError(f"{name}: the owner is {said!r}, and {owner!r} in another file: apply them apart")
        owner, variables = said, _variables(name, document.get("variables"), environ)
        defaults = _mapping(name, "defaults", document.get("defaults"))
        for key, fields in _mapping(name, "schedules", document.get("schedules")).items():
            if key in places:
                raise UsageError(f"{name}: {key!r} is in {places[key]}, too")
            places[key] = name
            found.append(_wanted(name, key, defaults | _mapping(name, key, fields), owner, variables))
    if not owner:
        raise UsageError("no file was given: say -f FILE")
    return Manifest(owner=owner, schedules=found)


def differences(wanted: Wanted, current: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """
    Return the fields that *wanted* and a schedule of the API differ in, each with what it is and what it will be.

    For people: what the API writes otherwise than it was asked (a URL, a policy) may be among them.
    """
    found = {}
    for name in sorted(FIELDS | {"url"}):
        default = _DEFAULTS.get(name)
        has, wants = current.get(name, default), wanted.fields.get(name, default)
        if not _is_in(wants, has) and not (has in (None, default) and wants in (None, default)):
            found[name] = (has, wants)
    return found


def exported(owner: str, schedules: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """
    Return the document that makes *schedules*, as the API shows them, again.

    Values of headers that look like secrets are not in it: variables stand for them.
    """
    variables, made = list[str](), dict[str, Any]()
    for each in schedules:
        fields: dict[str, Any] = {"url": each["url"]}
        for name in sorted(FIELDS):
            if (value := each.get(name)) not in (None, _DEFAULTS.get(name)):
                fields[name] = value
        for name in ("headers", "webhook_headers"):
            for header in list(fields.get(name) or {}):
                if _SECRET.search(header):
                    variable = re.sub(r"[^A-Z0-9]+", "_", f"{each['key']}_{header}".upper())
                    variable = variable if variable[0].isalpha() else f"V_{variable}"
                    variables.append(variable)
                    fields[name] = {**fields[name], header: "${" + variable + "}"}
        labels = {name: value for name, value in (fields.pop("labels", None) or {}).items() if name != OWNER_LABEL}
        made[each["key"]] = {**fields, **({"labels": labels} if labels else {})}
    named = {"variables": sorted(set(variables))} if variables else {}
    return {"fliq": _VERSION, "owner": owner, **named, "schedules": made}


def _wanted(name: str, key: str, fields: dict[str, Any], owner: str, variables: Mapping[str, str]) -> Wanted:
    if unknown := sorted(set(fields) - FIELDS - {"url", "json"}):
        raise UsageError(f"{name}: {key}: unknown field {unknown[0]!r}")
    if not isinstance(fields.get("url"), str):
        raise UsageError(f"{name}: {key}: url is missing")
    labels = _mapping(name, f"{key}: labels", fields.get("labels"))
    if OWNER_LABEL in labels:
        raise UsageError(f"{name}: {key}: the label {OWNER_LABEL} is the manifest's owner: leave it out")
    filled = {field: _filled(value, variables) for field, value in fields.items()}
    hidden = frozenset(field for field, value in fields.items() if filled[field] != value)
    return Wanted(key=key, fields=filled | {"labels": {**labels, OWNER_LABEL: owner}}, hidden=hidden)


def _variables(name: str, named: Any, environ: Mapping[str, str]) -> dict[str, str]:
    if named is None:
        return {}
    if not isinstance(named, list) or not all(isinstance(each, str) for each in named):
        raise UsageError(f"{name}: variables is a list of names")
    if missing := [each for each in named if each not in environ]:
        raise UsageError(f"{name}: the variable {missing[0]} is not set")
    return {each: environ[each] for each in named}


def _mapping(name: str, part: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value):
        raise UsageError(f"{name}: {part} is an object of names and values")
    return value


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    """Return *value* with the variables that were named; any other `${...}` stays as it is."""
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: variables.get(found[1], found[0]), value)
    if isinstance(value, dict):
        return {name: _filled(each, variables) for name, each in value.items()}
    return [_filled(each, variables) for each in value] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    """Return what YAML read as JSON would have it: instants and dates are texts."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=None)).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _is_in(wants: Any, has: Any) -> bool:
    """Say whether everything that *wants* names is so in *has*."""
    if isinstance(wants, dict) and isinstance(has, dict):
        return all(_is_in(value, has.get(name)) for name, value in wants.items())
    return bool(wants == has)
