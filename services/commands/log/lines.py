"""Lines: a record as a line of JSON. Bodies, values of headers, and paths of URLs are hidden unless asked for. Pure."""

import base64
from typing import Any, Final

import msgspec
from msgspec.structs import fields as fields_of

from libs.domain.instants import rfc3339
from libs.events import RowsCarried, Unknown, Unreadable, read
from libs.events.codec import KINDS
from libs.log.port import Record
from libs.runtime.telemetry.redaction import reduce_url
from libs.store.carried.carried_rows import SPECS

HIDDEN: Final = "***"
_WITH_SECRETS: Final = frozenset(
    kind.name for kind in KINDS if any(each.name in ("spec", "response") for each in fields_of(kind.event))
)
_encode = msgspec.json.Encoder().encode


def line(partition: int, record: Record, *, with_secrets: bool = False) -> bytes:
    """Return *record* of *partition* as JSON without a line end."""
    return _encode(fields(partition, record, with_secrets=with_secrets))


def fields(partition: int, record: Record, *, with_secrets: bool = False) -> dict[str, Any]:
    """Return the fields of *record*: its position, its headers, and its event, or why the event cannot be read."""
    envelope = record.envelope
    shown: dict[str, Any] = {
        "partition": partition,
        "position": record.position,
        "at": instant(record.at),
        "type": envelope.type,
        "version": envelope.version,
        "must_understand": envelope.must_understand,
        "claim": envelope.claim,
        "key": envelope.key,
    }
    item = read(partition, envelope)
    if isinstance(item, Unreadable):
        return (
            shown | {"unreadable": item.reason} | _bytes(envelope.value, envelope.type in _WITH_SECRETS, with_secrets)
        )
    if isinstance(item, Unknown):
        # A record of a newer build may hold secrets anywhere.
        return shown | {"unknown": True} | _bytes(envelope.value, True, with_secrets)
    event: dict[str, Any] = msgspec.to_builtins(item, enc_hook=msgspec.json.decode)  # rows that are carried are bytes
    if with_secrets:
        return shown | {"event": event}
    if "spec" in event:
        event["spec"] = without_secrets(event["spec"])
    if "response" in event:
        event["response"] = HIDDEN
    if isinstance(item, RowsCarried) and item.table == SPECS:
        event["rows"] = [[spec_id, without_secrets(spec)] for spec_id, spec in event["rows"]]
    return shown | {"event": event}


def instant(at: int) -> str | None:
    """Return *at* as RFC 3339; None if no calendar has this time, which only a record of another program can have."""
    try:
        return rfc3339(at)
    except OverflowError:
        return None


def without_secrets(spec: dict[str, Any]) -> dict[str, Any]:
    """
    Return a spec with bodies and values of headers hidden, and addresses as log lines have them: paths hold tokens, too.

    The length of a body is shown.
    """
    shown = dict(spec)
    for name in ("url", "webhook_url"):
        if shown.get(name):
            shown[name] = reduce_url(shown[name])
    for name in ("headers", "webhook_headers"):
        if shown.get(name):
            shown[name] = dict.fromkeys(shown[name], HIDDEN)
    if shown.get("sealed"):
        shown["sealed"] = shown["sealed"] | {"url": reduce_url(shown["sealed"]["url"])}
    if shown.get("body") is not None:
        shown["body"] = f"{HIDDEN} ({len(shown['body'].encode())} bytes)"
    return shown


def _bytes(value: bytes, may_hold_secrets: bool, with_secrets: bool) -> dict[str, Any]:
    if may_hold_secrets and not with_secrets:
        return {"value_bytes": len(value), "value_base64": None, "hidden": "--show-secrets shows the value"}
    return {"value_bytes": len(value), "value_base64": base64.b64encode(value).decode()}
