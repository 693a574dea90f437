"""
Sealing: text that goes to a browser and comes back, which the browser can neither read nor change. Pure.

    sealed = base64url(nonce ‖ ciphertext ‖ tag)
    ciphertext = text XOR HMAC(key 1, nonce ‖ 0) ‖ HMAC(key 1, nonce ‖ 1) ‖ ...        HMAC-SHA256 in counter mode
    tag = HMAC(key 2, purpose ‖ nonce ‖ ciphertext)                                     checked first, in constant time

Encrypt-then-MAC with a pseudo-random function in counter mode, out of the standard library: a session is some hundred bytes, and
the package that has AES-GCM is as large as a sixth of everything that Fliq installs (ADR 0029). The nonce is 24 random bytes, so
that no two sealings share one.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any, Final

import msgspec

NONCE_BYTES: Final = 24
TAG_BYTES: Final = 32
_BLOCK: Final = 32
SEALED_MAX: Final = 4096  # characters; browsers take no longer cookies


class Seal:
    """Seals with keys that follow from *key*; *entropy* gives random bytes."""

    def __init__(self, key: bytes, entropy: Callable[[int], bytes]) -> None:
        self._hiding = hmac.digest(key, b"fliq console: hiding", "sha256")
        self._proving = hmac.digest(key, b"fliq console: proving", "sha256")
        self._entropy = entropy

    def seal(self, purpose: str, value: Any) -> str:
        """Return *value*, anything that JSON can say, sealed for one *purpose*."""
        nonce = self._entropy(NONCE_BYTES)
        hidden = self._turned(nonce, msgspec.json.encode(value))
        return urlsafe_b64encode(nonce + hidden + self._tag(purpose, nonce, hidden)).decode().rstrip("=")

    def open(self, purpose: str, sealed: str) -> Any | None:
        """Return what was sealed for *purpose*; None if this seal did not make it, or not for that."""
        if not sealed or len(sealed) > SEALED_MAX:
            return None
        try:
            raw = urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
        except ValueError:
            return None
        if len(raw) < NONCE_BYTES + TAG_BYTES:
            return None
        nonce, hidden, tag = raw[:NONCE_BYTES], raw[NONCE_BYTES:-TAG_BYTES], raw[-TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(purpose, nonce, hidden)):
            return None
        return msgspec.json.decode(self._turned(nonce, hidden))

    def _turned(self, nonce: bytes, text: bytes) -> bytes:
        blocks = -(-len(text) // _BLOCK)
        stream = b"".join(hmac.digest(self._hiding, nonce + n.to_bytes(4, "big"), "sha256") for n in range(blocks))
        return bytes(a ^ b for a, b in zip(text, stream, strict=False))

    def _tag(self, purpose: str, nonce: bytes, hidden: bytes) -> bytes:
        name = purpose.encode()
        return hmac.digest(self._proving, len(name).to_bytes(2, "big") + name + nonce + hidden, "sha256")
