"""
Signatures: proof for a receiver that a call comes from Fliq. Pure, but for the clock.

Fliq signs each call and each webhook twice, with every secret that is in force: `X-Fliq-Signature` covers method, URL and body,
`webhook-signature` (Standard Webhooks) covers id and body; both cover the time of sending. docs/api.md, "Signatures", has the
formulas.
"""

from __future__ import annotations

import hmac
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from fliq_client.errors import NotVerified

TOLERANCE_S: Final = 300.0
_PREFIX: Final = "whsec_"
_SIGNATURES_MAX: Final = 64  # more than Fliq ever makes: ten secrets sign at once


class Headers(Protocol):
    """Headers as any framework has them."""

    def items(self) -> Iterable[tuple[str, str]]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """
    A call that Fliq sent.

    Args:
        message_id: the execution id of a call, the job id of a webhook. A call that has to be repeated after a crash carries the
            same one: pass over what you have seen.
        sent_at: when it was sent.
    """

    message_id: str
    sent_at: datetime


def verify(
    secret: str | Sequence[str],
    headers: Headers,
    body: bytes,
    *,
    method: str | None = None,
    url: str | None = None,
    tolerance_s: float = TOLERANCE_S,
    now_s: float | None = None,
) -> Verified:
    """
    Return what is proved about a call that arrived, or raise.

    Args:
        secret: the account's secret, `whsec_...`, or several; one that fits is enough. While a secret is replaced, Fliq signs with
            the old and the new one, so a receiver may change over at any time within 24 h.
        headers: as they arrived, names in any letter case.
        body: the exact bytes that arrived, before anything is parsed.
        method, url: of the request, the URL as the job has it: behind a proxy this is the public one. Without them it is not
            verified that the call was meant for this URL.
        tolerance_s: how far the time of sending may be away from now, in seconds.
        now_s: the time, in seconds since 1970; the machine's if it is not given.

    Raises:
        NotVerified: names the part that failed.
        ValueError: a secret has another form, or only one of *method* and *url* is given.
    """
    if (method is None) != (url is None):
        raise ValueError("method and url are verified together: give both or none")
    keys = [_key(each) for each in ([secret] if isinstance(secret, str) else secret)]
    if not keys:
        raise ValueError("there is no secret")
    given = {name.lower(): value for name, value in headers.items()}
    message_id, stamp = _needed(given, "webhook-id"), _needed(given, "webhook-timestamp")
    sent_s = _seconds(stamp, time.time() if now_s is None else now_s, tolerance_s)
    signed = _bytes(f"{message_id}.{stamp}.") + body
    offered = [
        text.removeprefix("v1,") for text in _needed(given, "webhook-signature").split() if text.startswith("v1,")
    ]
    if not _fits(keys, signed, offered, _base64):
        raise NotVerified("signature", "no signature fits the body: another secret, or the body was changed on its way")
    if method is not None and url is not None:
        signed = _bytes(f"{stamp}.{method.upper()}.{url}.") + body
        listed = [text.strip() for text in _needed(given, "x-fliq-signature").split(",")]
        offered = [text.removeprefix("v1=") for text in listed if text.startswith("v1=")]
        if _needed(given, "x-fliq-timestamp") != stamp or not _fits(keys, signed, offered, bytes.hex):
            raise NotVerified(
                "url",
                f"Fliq sent this, but not as {method.upper()} {url}: give the URL as the job has it, behind a proxy the public one",
            )
    return Verified(message_id=message_id, sent_at=datetime.fromtimestamp(sent_s, UTC))


def _fits(keys: Iterable[bytes], signed: bytes, offered: Sequence[str], write: Callable[[bytes], str]) -> bool:
    """Say whether one of *offered* is the digest of *signed* under one of *keys*, as *write* writes it."""
    made = [write(hmac.digest(key, signed, "sha256")).encode() for key in keys]
    return any(hmac.compare_digest(one, _bytes(text)) for one in made for text in offered[:_SIGNATURES_MAX])


def _bytes(text: str) -> bytes:
    """Return *text* in UTF-8; some frameworks give bytes of headers that are not UTF-8 as surrogates."""
    return text.encode("utf-8", "surrogatepass")


def _base64(digest: bytes) -> str:
    return b64encode(digest).decode("ascii")


def _needed(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    if not value:
        raise NotVerified("headers", f"there is no header {name}: Fliq did not send this, or a proxy dropped it")
    return value


def _seconds(stamp: str, now_s: float, tolerance_s: float) -> int:
    if not (stamp.isascii() and stamp.isdecimal() and len(stamp) <= 12):
        raise NotVerified("timestamp", "webhook-timestamp is not a number of seconds")
    away_s = now_s - int(stamp)
    if abs(away_s) > tolerance_s:
        said = f"{away_s:.0f} s ago" if away_s > 0 else f"{-away_s:.0f} s in the future"
        raise NotVerified("timestamp", f"it was sent {said}: an old call sent again, or one of the two clocks is wrong")
    return int(stamp)


def _key(secret: str) -> bytes:
    if not secret.startswith(_PREFIX):
        raise ValueError("a signing secret begins with whsec_")
    return b64decode(secret.removeprefix(_PREFIX), validate=True)  # its error is a ValueError
