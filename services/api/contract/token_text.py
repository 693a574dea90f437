"""
Token text: how an API token is spelled and hashed, and what its scopes are called. Pure.

A token is `fliq_sk_`, 30 random base62 characters, and 6 base62 characters: the CRC32 of those 30 as a number. The checksum
refuses junk without a look at the tables. The tables hold only a keyed hash.
"""

import hmac
from collections.abc import Callable, Iterable, Mapping
from typing import Final
from zlib import crc32

PREFIX: Final = "fliq_sk_"
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LETTERS: Final = frozenset(_ALPHABET)
_RANDOM_LENGTH: Final = 30
_SUM_LENGTH: Final = 6
_TOKEN_LENGTH: Final = len(PREFIX) + _RANDOM_LENGTH + _SUM_LENGTH

# Each scope, and what a token with it may do. `read` and `write` stand for all scopes below them, also for later ones.
SCOPES: Final[Mapping[str, str]] = {
    "operator": "see partitions, processes and lag of the whole installation",
    "read": "do all that the scopes `read:…` allow",
    "read:jobs": "see jobs, schedules, executions and timelines",
    "read:payloads": "see headers and bodies of jobs, schedules and webhook endpoints in answers to `GET`, and answers of targets",
    "read:secrets": "see the signing secrets of the account and its webhook endpoints",
    "read:tokens": "list tokens",
    "read:webhooks": "see webhook endpoints",
    "write": "do all that the scopes `write:…` allow",
    "write:jobs": "create, cancel and replay jobs; create, pause, resume and delete schedules",
    "write:payloads": "see headers and bodies of schedules and webhook endpoints in answers to changes",
    "write:secrets": "replace signing secrets, and see the new ones",
    "write:tokens": "create and revoke tokens",
    "write:webhooks": "create, change and delete webhook endpoints, together with `read:jobs`",
}
ALL_SCOPES: Final = ("read", "write")
MANAGING_SCOPES: Final = ("write", "write:tokens")  # of tokens that can make and revoke others


def covered(scopes: Iterable[str]) -> frozenset[str]:
    """Return *scopes* and all that are below them."""
    given = tuple(scopes)
    return frozenset(name for name in SCOPES if name in given or name.partition(":")[0] in given)


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
