"""
Cursor: where the next page of a list begins, as text that only Fliq can make. Pure.

The text is base64url of the last shown id's 16 bytes and a 16-byte keyed hash over it, the account and the list with
its filter. So a cursor of another account, another list or another filter is refused, and no row is read before that.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from hashlib import blake2b
from hmac import compare_digest
from typing import Final, Literal

from libs.events.ids import from_int, to_int
from services.api.contract.api_error import bad

_TEXT_LENGTH: Final = 43  # 32 bytes in base64 without padding
_MAC_LENGTH: Final = 16


class Cursors:
    """Makes and reads cursors under one secret *key*, the same in every process; of any length."""

    def __init__(self, key: bytes) -> None:
        # A key of its own: the same secret also keys the hashes of tokens.
        self._key = blake2b(key, person=b"fliq cursor", digest_size=32).digest()

    def write(self, last_id: str, *, account: str, listing: str) -> str:
        """Return the cursor of the page that follows *last_id*; *listing* names the list and its filter."""
        place = to_int(last_id).to_bytes(16, "big")
        return urlsafe_b64encode(place + self._mac(place, account, listing)).rstrip(b"=").decode()

    def read(self, text: str, *, kind: Literal["job", "sched", "whd"], account: str, listing: str) -> str:
        """
        Return the id that the page of *text* follows.

        Raises:
            ApiError: 400 `invalid_cursor`.
        """
        try:
            raw = urlsafe_b64decode(text + "=") if len(text) == _TEXT_LENGTH and text.isascii() else b""
        except Error:
            raw = b""
        place, mac = raw[:16], raw[16:]
        # The second comparison refuses other spellings of the same bytes.
        if (
            not compare_digest(mac, self._mac(place, account, listing))
            or urlsafe_b64encode(raw) != (text + "=").encode()
        ):
            raise bad("invalid_cursor", "cursor is not one that this list handed out")
        return from_int(kind, int.from_bytes(place, "big"))

    def _mac(self, place: bytes, account: str, listing: str) -> bytes:
        message = b"\0".join((place, account.encode(), listing.encode()))
        return blake2b(message, key=self._key, digest_size=_MAC_LENGTH).digest()
