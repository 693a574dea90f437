"""
Redaction: a log line keeps only the fields that are listed here, URLs without their paths, and no text that looks like a secret.

Headers and bodies of jobs are the secrets of callers. A list of what is allowed keeps out a field that nobody thought of; a list
of what is forbidden would not. The name of a field that is left out is shown in `withheld`, so that it can be added here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

import orjson

_HEAD = ("at", "level", "logger", "event")
_TEXT_MAX = 2_000  # characters of one field
_TRACEBACK_MAX = 20_000

# The line itself; what went wrong; ids; the log and its owners; calls; amounts; addresses, places and (masked) settings.
_WORDS = """
event level at logger pid service node version role withheld
reason error error_type exception stack detail signal task crash_point
job job_id trace_id span_id endpoint_id schedule schedule_id execution execution_id account token_id partition partitions first last
position positions from_position to_position epoch claim end lag event_type records poison schema
attempt attempt_num attempts outcome status status_code method route url webhook_url target host port
count counts rows bytes limit size members missed_count pending in_flight due queued dropped
duration_ms lateness_ms wait_s timeout_s pause_s retry_after_ms backoff_s elapsed_s skew_ms step_ms lead_ms
address admin_address data_dir database kafka path mode name topic group connection replicas settings adopted
"""
ALLOWED: frozenset[str] = frozenset(_WORDS.split())

_URL_FIELDS = frozenset({"url", "webhook_url", "target"})
_TREES = frozenset({"settings", "counts", "positions", "partitions", "claim"})  # small structures that Fliq makes
_URL = re.compile(r"\b(https?|postgres(?:ql)?)://[^\s'\"<>\\]+", re.IGNORECASE)
_SECRET = re.compile(r"\b(fliq_sk_|whsec_)[A-Za-z0-9+/=_-]+|\b(Bearer|Basic)\s+[A-Za-z0-9+/=._~-]+", re.IGNORECASE)
# PostgreSQL and its driver quote the row or value that they refuse: bodies, headers, keys.
_QUOTED_VALUES = re.compile(
    r"(DETAIL:|\bquery argument \$\d+:|\binvalid input (?:syntax|value) for [^:\n]{1,80}:)[^\n]*"
)


def redact(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Keep the allowed fields, shorten them, and clean every text. A processor of structlog."""
    kept: dict[str, Any] = {name: line[name] for name in _HEAD if name in line}  # in this order
    withheld: list[str] = []
    for name, value in line.items():
        if name.startswith("_"):
            kept[name] = value  # structlog's own, taken out before rendering
        elif name not in ALLOWED:
            withheld.append(name[:64])
        elif name in _URL_FIELDS and isinstance(value, str):
            kept[name] = reduce_url(value)
        else:
            kept[name] = _clean(value, _TRACEBACK_MAX if name in ("exception", "stack") else _TEXT_MAX, name in _TREES)
    if withheld:
        kept["withheld"] = sorted(withheld)
    return kept


def clean_text(text: str) -> str:
    """Return *text* with its URLs reduced, and with secrets and what the database quotes hidden."""
    if "://" in text:
        text = _URL.sub(lambda found: reduce_url(found[0]), text)
    text = _QUOTED_VALUES.sub(lambda found: f"{found[1]} ***", text)
    return _SECRET.sub(lambda found: f"{found[1] or found[2] + ' '}***", text)


def reduce_url(url: str) -> str:
    """
    Return scheme, host and port, and eight digits in place of the rest, which differ for different URLs.

    Paths and queries hold tokens, and user info holds passwords. The digits are those of a plain hash: an operator can follow one
    target through the lines, but a path that can be guessed is not hidden.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        place = f"[{host}]" if ":" in host else host
        place += f":{parts.port}" if parts.port else ""
    except ValueError:
        return "malformed-url"
    rest = f"{parts.path}?{parts.query}#{parts.fragment}"
    if rest in ("?#", "/?#"):
        return f"{parts.scheme}://{place}/"
    return f"{parts.scheme}://{place}/~{hashlib.sha256(rest.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def _clean(value: Any, longest: int, is_tree: bool) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if is_tree and isinstance(value, Mapping):
        return {str(key): _clean(item, _TEXT_MAX, is_tree) for key, item in list(value.items())[:200]}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_clean(item, 200, False) for item in list(value)[:200]]
    try:
        text = clean_text(value if isinstance(value, str) else str(value))
    except Exception as error:  # noqa: BLE001 - a broken __str__ must not break the line that reports a fault
        return f"unprintable {type(value).__name__}: {type(error).__name__}"
    return text if len(text) <= longest else text[:longest] + "…"


def to_json(line: Mapping[str, Any]) -> str:
    """Return the line as JSON; a value that JSON has no form for is written as text."""
    return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
