"""
What may leave in a log line: named fields only, addresses without their paths, nothing that looks like a secret.

An allow-list, because a forbidden-list forgets: headers and bodies of jobs are other people's secrets, and a field
that nobody thought of stays out. A dropped field's name is kept in `withheld`, so that it can be added here on purpose.
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

# The line itself; why and what went wrong; whose; the log and its owners; calls; amounts; places and (masked) settings.
_WORDS = """
event level at logger pid service node version role withheld
reason error error_type exception stack detail signal task crash_point
job job_id trace_id span_id schedule schedule_id execution execution_id account token_id partition partitions first last
position positions from_position to_position epoch claim end lag event_type records poison schema
attempt attempt_num attempts outcome status status_code method route url webhook_url target host port
count counts rows bytes limit size members missed_count pending in_flight due queued dropped
duration_ms lateness_ms wait_s timeout_s pause_s retry_after_ms backoff_s elapsed_s skew_ms step_ms lead_ms
address admin_address data_dir database kafka path mode name topic group connection replicas settings adopted
"""
ALLOWED: frozenset[str] = frozenset(_WORDS.split())

_URL_FIELDS = frozenset({"url", "webhook_url", "target"})
_TREES = frozenset({"settings", "counts", "positions", "partitions", "claim"})  # small structures of ours
_URL = re.compile(r"\b(https?|postgres(?:ql)?)://[^\s'\"<>\\]+", re.IGNORECASE)
_SECRET = re.compile(r"\b(fliq_sk_|whsec_)[A-Za-z0-9+/=_-]+|\b(Bearer|Basic)\s+[A-Za-z0-9+/=._~-]+", re.IGNORECASE)
# What PostgreSQL and its driver say about a refused row or value quotes it: bodies, headers, keys.
_QUOTED_VALUES = re.compile(
    r"(DETAIL:|\bquery argument \$\d+:|\binvalid input (?:syntax|value) for [^:\n]{1,80}:)[^\n]*"
)


def redact(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: keep what is allowed, shorten, and clean every text."""
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
    """Return *text* with its addresses reduced, and its secrets and the database's quotations hidden."""
    if "://" in text:
        text = _URL.sub(lambda found: reduce_url(found[0]), text)
    text = _QUOTED_VALUES.sub(lambda found: f"{found[1]} ***", text)
    return _SECRET.sub(lambda found: f"{found[1] or found[2] + ' '}***", text)


def reduce_url(url: str) -> str:
    """
    Return scheme and host, and instead of the rest eight digits that tell two addresses apart.

    Paths and queries carry tokens, user info carries passwords. The digits are of a plain hash: they let an operator
    follow one target through the lines, and do not hide a path that can be guessed.
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
    """Render one line; what JSON cannot say is written as text."""
    return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
