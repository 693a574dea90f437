"""Data keys: 32 bytes that seal what belongs to one account. Pure, but for the cipher."""

from __future__ import annotations

import hmac
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12  # 96 random bits, the size that AES-GCM is made for
TAG_BYTES: Final = 16


class Broken(Exception):
    """The bytes were not sealed by this key for this place: somebody moved or changed them."""


class DataKey:
    """
    A key that seals.

    Attributes:
        key_id: names it in what it sealed; unique among all accounts.
    """

    __slots__ = ("_cipher", "_secret", "key_id")

    def __init__(self, key_id: str, secret: bytes) -> None:
        """Use *secret*, `KEY_BYTES` bytes."""
        self.key_id = key_id
        self._secret = secret
        self._cipher = AESGCM(secret)

    def seal(self, text: bytes, place: bytes, nonce: bytes) -> bytes:
        """Return *nonce* and *text* sealed for *place*; *nonce* is `NONCE_BYTES` random bytes, never used twice."""
        return nonce + self._cipher.encrypt(nonce, text, place)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """
        Return the text that was sealed for *place*.

        Raises:
            Broken: it was not sealed by this key, or for another place, or was changed.
        """
        if len(sealed) < NONCE_BYTES + TAG_BYTES:
            raise Broken("too short")
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place)
        except InvalidTag:
            raise Broken("not sealed by this key for this place") from None

    def digest(self, text: bytes) -> bytes:
        """Return 32 bytes that are equal for equal texts, and say nothing of them to those who lack the key."""
        return hmac.digest(self._secret, b"fliq digest:" + text, "sha256")
