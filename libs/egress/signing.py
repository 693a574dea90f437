"""
Signing: the headers by which a target can verify that a call comes from Fliq. Pure.

Each call carries two signatures. Fliq's own scheme signs `{timestamp}.{METHOD}.{url}.{body}`. It is kept because it is published,
although two different calls can have the same signature: url `…/x` with body `pay.1` signs like url `…/x.pay` with body `1`.
Standard Webhooks signs `{id}.{timestamp}.{body}`, which has no such ambiguity because our ids contain no dot.

While a secret is rotated, the old and the new one both sign, so that a target can change over at any time in between.

Source: docs/api.md, "Signatures"; github.com/standard-webhooks/standard-webhooks spec.
"""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence
from functools import lru_cache

PREFIX = "whsec_"
KEY_BYTES_MIN = 24  # Standard Webhooks: 192 bits
KEY_BYTES_MAX = 64


def new_secret(entropy: bytes) -> str:
    """
    Return a signing secret made of *entropy* (24 to 64 random bytes).

    Raises:
        ValueError: *entropy* has another length.
    """
    if not KEY_BYTES_MIN <= len(entropy) <= KEY_BYTES_MAX:
        raise ValueError(f"a signing secret is made of {KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes, not {len(entropy)}")
    return PREFIX + b64encode(entropy).decode("ascii")


def is_secret(text: str) -> bool:
    """Return whether *text* has the form of a signing secret."""
    try:
        _key(text)
    except ValueError:
        return False
    return True


def signature_headers(
    secrets: Sequence[str],
    *,
    message_id: str,
    timestamp_s: int,
    method: str,
    url: str,
    body: bytes,
) -> list[tuple[str, str]]:
    """
    Return the five headers that sign one call with every one of *secrets* (newest first).

    Args:
        secrets: each `whsec_…`; at least one.
        message_id: the execution id for calls, the job id for webhooks; the same if the receiver should deduplicate.
        timestamp_s: when the call is sent, seconds since the epoch.
        method: as sent, upper case.
        url: as stored and called.
        body: the exact bytes sent; empty if there is no body.

    Raises:
        ValueError: there is no secret, or one has the wrong form.
    """
    if not secrets:
        raise ValueError("a call is signed with at least one secret")
    stamp = str(timestamp_s)
    ours = f"{stamp}.{method}.{url}.".encode() + body
    theirs = f"{message_id}.{stamp}.".encode() + body
    keys = [_keyed(secret) for secret in secrets]
    return [
        ("X-Fliq-Timestamp", stamp),
        ("X-Fliq-Signature", ",".join([f"v1={_digest(key, ours).hex()}" for key in keys])),
        ("webhook-id", message_id),
        ("webhook-timestamp", stamp),
        ("webhook-signature", " ".join([f"v1,{_base64(_digest(key, theirs))}" for key in keys])),
    ]


@lru_cache(4096)  # one entry per account; decoding and keying cost more than a signature
def _keyed(secret: str) -> hmac.HMAC:
    """Return a digest under *secret* that has read nothing yet; it is copied for each message."""
    return hmac.new(_key(secret), digestmod="sha256")


def _digest(keyed: hmac.HMAC, message: bytes) -> bytes:
    digest = keyed.copy()
    digest.update(message)
    return digest.digest()


def _key(secret: str) -> bytes:
    if not secret.startswith(PREFIX) or not secret.isascii():
        raise ValueError("a signing secret starts with whsec_")
    key = b64decode(secret[len(PREFIX) :], validate=True)  # binascii.Error is a ValueError
    if not KEY_BYTES_MIN <= len(key) <= KEY_BYTES_MAX:
        raise ValueError(f"a signing secret holds {KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes")
    return key


def _base64(digest: bytes) -> str:
    return binascii.b2a_base64(digest, newline=False).decode("ascii")
