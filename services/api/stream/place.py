"""
Place: how far a stream has told the log, as the text of `Last-Event-ID`. Pure, but for the cipher.

    place    for each partition the last position that was told of, and the claim admitted there
    text     base64url of 12 random bytes and the place, sealed under a key of the installation for the account

The claim is needed to judge the decisions behind the position, as every reader of the log does. Of its nonce six characters are
kept: the epoch tells two claims apart as long as no backup was restored. The place is sealed because it says how much others do.
At most some 15 bytes for each partition: about 100 characters for 4 of them, 1,000 for 64.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from libs.domain.reader_fold import ReaderFold
from libs.events import Claim, Envelope, Event

NONCE_BYTES: Final = 12
KEPT: Final = 6  # characters of a claim's nonce
TEXT_MAX: Final = 8_000  # characters; a header is not longer

Place = tuple[int, Claim | None]  # the last position told of in a partition, and the claim admitted there


class Places:
    """Seals and opens places under *key*, the same in every process; *entropy* gives random bytes."""

    def __init__(self, key: bytes, entropy: Callable[[int], bytes]) -> None:
        self._cipher = AESGCM(hmac.digest(key, b"fliq stream: places", "sha256"))
        self._ids = hmac.digest(key, b"fliq stream: ids", "sha256")
        self._entropy = entropy

    def write(self, places: Sequence[Place], account: str) -> str:
        """Return the text of *places*, by partition."""
        nonce = self._entropy(NONCE_BYTES)
        return urlsafe_b64encode(nonce + self._cipher.encrypt(nonce, packed(places), account.encode())).decode()

    def read(self, text: str, account: str) -> list[Place] | None:
        """Return the places in *text*; None if it was not made for *account*."""
        if not text.isascii() or len(text) > TEXT_MAX or len(text) % 4:
            return None
        try:
            raw = urlsafe_b64decode(text)
            return unpacked(self._cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], account.encode()))
        except (ValueError, InvalidTag):
            return None

    def event_id(self, what: str) -> str:
        """Return the id of an event, which *what* tells from all others."""
        return "evt_" + hmac.digest(self._ids, what.encode(), "sha256")[:16].hex()


def packed(places: Sequence[Place]) -> bytes:
    """Return *places* as bytes."""
    out = bytearray()
    for position, claim in places:
        _put(out, position + 1)
        _put(out, 0 if claim is None else claim.epoch)
        if claim is not None:
            out += claim.nonce[:KEPT].encode()
    return bytes(out)


def unpacked(raw: bytes) -> list[Place]:
    """Return the places of which `packed` made *raw*; of each claim the nonce is cut off. Raises ValueError for other bytes."""
    places: list[Place] = []
    at = 0
    while at < len(raw):
        behind, at = _take(raw, at)
        epoch, at = _take(raw, at)
        claim = None
        if epoch:
            claim = Claim(epoch, raw[at : at + KEPT].decode())
            at += KEPT
        places.append((behind - 1, claim))
    return places


def _put(out: bytearray, number: int) -> None:
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def _take(raw: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:  # ends with the bytes
        if at >= len(raw):
            raise ValueError("the bytes end within a number")
        byte = raw[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


class ResumedFold(ReaderFold):
    """A reader that goes on from a place: it knows the beginning of the claim admitted there, and takes the rest from decisions."""

    def __init__(self, partition: int, *, wanted: frozenset[str], place: Place) -> None:
        """Go on behind *place*."""
        position, claim = place
        super().__init__(partition, wanted=wanted, position=position, claim=claim)
        self._cut_off = claim

    def take(self, position: int, envelope: Envelope) -> Event | None:
        """See `ReaderFold.take`."""
        stamp = envelope.claim
        if stamp is not None and self.claim is self._cut_off and self.claim is not None:
            epoch, _, nonce = stamp.partition(".")
            if epoch == str(self.claim.epoch) and nonce[:KEPT] == self.claim.nonce[:KEPT]:
                self.claim, self._cut_off = Claim(self.claim.epoch, nonce), None
        return super().take(position, envelope)


def claim_before(stamps: Sequence[str], next_epoch: int | None) -> Claim | None:
    """
    Return the claim that was admitted where a reader begins in the middle of the log; None if that cannot be told.

    Args:
        stamps: of the decisions from there on, up to the next claim.
        next_epoch: of that claim; None if none came for so long that whoever decides is the owner.
    """
    found: Claim | None = None
    for stamp in stamps:
        epoch, _, nonce = stamp.partition(".")
        if found is None or int(epoch) > found.epoch:
            found = Claim(int(epoch), nonce)
    # Epochs only grow. If no number is left between the two, no claim can have come between them.
    return found if found is not None and next_epoch in (None, found.epoch + 1) else None
