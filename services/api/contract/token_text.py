"""
Token text: how an API token is spelled and hashed. Pure.

A token is `fliq_sk_`, 30 random base62 characters, and 6 base62 characters: the CRC32 of those 30 as a number. The checksum
refuses junk without a look at the tables. The tables hold only a keyed hash.
"""

import hmac
from collections.abc import Callable
from typing import Final
from zlib import crc32

PREFIX: Final = "fliq_sk_"
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LETTERS: Final = frozenset(_ALPHABET)
_RANDOM_LENGTH: Final = 30
_SUM_LENGTH: Final = 6
_TOKEN_LENGTH: Final = len(PREFIX) + _RANDOM_LENGTH + _SUM_LENGTH


def new_token(entropy: Callable[[int], bytes]) -> str:
    """Return a fresh token; *entropy* gives random bytes."""
    letters: list[str] = []
    while len(letters) < _RANDOM_LENGTH:
        # 248 is the largest multiple of 62 in a byte: what lies above would favour the first letters.
        letters += [_ALPHABET[byte % 62] for byte in entropy(_RANDOM_LENGTH) if byte < 248]
    random = "".join(letters[:_RANDOM_LENGTH])
    return PREFIX + random + checksum(random)


def checksum(random: str) -> str:
    """Return the six characters behind the 30 random ones."""
    number = crc32(random.encode("ascii"))
    digits = ""
    for _ in range(_SUM_LENGTH):
        number, digit = divmod(number, 62)
        digits = _ALPHABET[digit] + digits
    return digits


def is_well_formed(token: str) -> bool:
    """Say whether *token* has the shape of a token and its checksum is right."""
    if len(token) != _TOKEN_LENGTH or not token.startswith(PREFIX):
        return False
    random, given = token[len(PREFIX) : -_SUM_LENGTH], token[-_SUM_LENGTH:]
    return _LETTERS.issuperset(random) and checksum(random) == given


def token_hash(pepper: bytes, token: str) -> bytes:
    """Return the 32 bytes that stand for *token* in the tables."""
    return hmac.digest(pepper, token.encode("ascii"), "sha256")
