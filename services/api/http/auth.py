"""
Auth: from the Authorization header to an account and its scopes.

A token is `fliq_sk_` + 30 random base62 characters + 6 base62 characters: the CRC32 of those 30 as a number. The
checksum refuses junk without a look at the tables. Tables hold only a keyed hash. What a look-up found is remembered
for `CACHE_TTL_S`, which bounds how long a revoked token may still be taken by a replica that did not see the
revocation: less than the 5 s of the contract.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol
from zlib import crc32

from libs.store.control.accounts import Token
from services.api.contract.errors import ApiError, unavailable

PREFIX: Final = "fliq_sk_"
SCHEME: Final = "Bearer "
CACHE_TTL_S: Final = 4.0
CACHE_MAX: Final = 10_000  # tokens remembered; about 600 bytes each
# Anybody can make up tokens with a right checksum. So that a flood of them cannot keep callers from being looked up,
# tokens that this process never saw to be valid share a few places, and those beyond a queue are asked to come back.
STRANGERS_AT_ONCE: Final = 2
STRANGERS_WAITING: Final = 200
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LETTERS: Final = frozenset(_ALPHABET)
_RANDOM_LENGTH: Final = 30
_SUM_LENGTH: Final = 6
_TOKEN_LENGTH: Final = len(PREFIX) + _RANDOM_LENGTH + _SUM_LENGTH


class Identity(NamedTuple):
    """Who asks: *token_id* of *account*, with *scopes*; *expires_at* in ms since 1970, None for never."""

    token_id: str
    account: str
    scopes: frozenset[str]
    expires_at: int | None


class TokenTable(Protocol):
    """Where tokens are looked up (libs/store/control/accounts.py)."""

    async def find(self, token_hash: bytes) -> Token | None:
        """Return the token with this hash, unless it is revoked; it may have expired."""


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


class Authenticator:
    """Looks tokens up, and remembers them for a moment."""

    def __init__(self, table: TokenTable, *, pepper: bytes, now: Callable[[], int]) -> None:
        """Look up in *table* by hashes keyed with *pepper*; *now* is the wall clock in ms, for expiry."""
        self._table = table
        self._pepper = pepper
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._strangers = asyncio.Semaphore(STRANGERS_AT_ONCE)
        self._strangers_waiting = 0
        self._cache: dict[str, tuple[float, Identity]] = {}  # header -> (until, by the loop's clock; who)

    def remembered(self, header: str) -> Identity | None:
        """Return who *header* was for, if that was looked up a moment ago: the way of nearly every request."""
        entry = self._cache.get(header)
        if entry is None or entry[0] <= self._loop.time():
            return None
        identity = entry[1]
        if identity.expires_at is not None and identity.expires_at <= self._now():
            return None
        return identity

    async def identify(self, header: str | None) -> Identity:
        """
        Return whom the Authorization *header* speaks for.

        Raises:
            ApiError: 401.
        """
        if header is None:
            raise unauthorized("send your API token as `Authorization: Bearer fliq_sk_...`")
        token = header.removeprefix(SCHEME)
        if len(token) == len(header) or not is_well_formed(token):
            raise unauthorized("the API token is malformed")
        asked_at = self._loop.time()
        hashed = token_hash(self._pepper, token)
        found = await (self._table.find(hashed) if header in self._cache else self._find_stranger(hashed))
        if found is None or (found.expires_at is not None and found.expires_at <= self._now()):
            self._cache.pop(header, None)
            raise unauthorized("the API token is unknown, expired or revoked")
        identity = Identity(found.token_id, found.account, found.scopes, found.expires_at)
        if len(self._cache) >= CACHE_MAX:
            # All of it is at most four seconds old: starting anew costs one look-up per live token.
            self._cache.clear()
        # Counted from before the look-up: a revocation just behind it must not gain its duration.
        self._cache[header] = (asked_at + CACHE_TTL_S, identity)
        return identity

    async def _find_stranger(self, hashed: bytes) -> Token | None:
        if self._strangers_waiting >= STRANGERS_WAITING:
            raise unavailable("too many unknown API tokens at the moment, try again")
        self._strangers_waiting += 1
        try:
            async with self._strangers:
                return await self._table.find(hashed)
        finally:
            self._strangers_waiting -= 1

    def forget(self, token_id: str) -> None:
        """Drop what is remembered of a token that was revoked here."""
        for header in [h for h, (_, identity) in self._cache.items() if identity.token_id == token_id]:
            del self._cache[header]


def unauthorized(message: str) -> ApiError:
    """Return the 401."""
    return ApiError(401, "unauthorized", message, {"WWW-Authenticate": 'Bearer realm="fliq"'})
