"""
Sealing: text that goes to a browser and comes back, which the browser can neither read nor change. Pure.

    sealed = base64url(nonce ‖ AES-256-GCM(key, nonce, text, purpose))

The key follows from that of the installation, so every console with the same one opens it. The nonce is 12 random bytes: of the
sessions that one key ever seals no two share one.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
SEALED_MAX: Final = 4096  # characters; browsers take no longer cookies


class Seal:
    """Seals with a key that follows from *key*; *entropy* gives random bytes."""

    def __init__(self, key: bytes, entropy: Callable[[int], bytes]) -> None:
        self._cipher = AESGCM(hmac.digest(key, b"fliq console: sealing", "sha256"))
        self._entropy = entropy

    def seal(self, purpose: str, value: Any) -> str:
        """Return *value*, anything that JSON can say, sealed for one *purpose*."""
        nonce = self._entropy(NONCE_BYTES)
        hidden = self._cipher.encrypt(nonce, msgspec.json.encode(value), purpose.encode())
        return urlsafe_b64encode(nonce + hidden).decode().rstrip("=")

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
        try:
            return msgspec.json.decode(self._cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], purpose.encode()))
        except InvalidTag:
            return None
