"""
Auth: from the Authorization header to an account and its scopes.

The result of a look-up is remembered for `CACHE_TTL_S`. So long may a replica that did not see a revocation still take the
revoked token: less than the 5 s of the contract.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from services.api.contract.api_error import ApiError
from services.api.contract.token_text import covered, is_well_formed, token_hash
from services.api.http.token_lookups import Find, TokenLookups

SCHEME: Final = "bearer"
REFUSED: Final = "the API token is unknown, expired or revoked"
CACHE_TTL_S: Final = 4.0
CACHE_MAX: Final = 10_000  # tokens remembered; about 600 bytes each


class Identity(NamedTuple):
    """The caller: *token_id* of *account*, with *scopes* and all below them; *expires_at* in ms since 1970, None for never."""

    token_id: str
    account: str
    scopes: frozenset[str]
    expires_at: int | None


class Authenticator:
    """Looks tokens up and remembers them for `CACHE_TTL_S`."""

    def __init__(self, find: Find, *, pepper: bytes, now: Callable[[], int]) -> None:
        """
        Look tokens up.

        Args:
            find: `Accounts.find_tokens`: the tokens with some hashes, unless they are revoked; they may have expired.
            pepper: keys the hashes.
            now: the wall clock in ms since 1970, for expiry.
        """
        self._lookups = TokenLookups(find)
        self._pepper = pepper
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._cache: dict[str, tuple[float, Identity]] = {}  # header -> (until, by the loop's clock; who)

    def remembered(self, header: str) -> Identity | None:
        """Return the identity that *header* had a moment ago, if it was looked up then: nearly every request takes this way."""
        entry = self._cache.get(header)
        if entry is None or entry[0] <= self._loop.time():
            return None
        identity = entry[1]
        if identity.expires_at is not None and identity.expires_at <= self._now():
            return None
        return identity

    def last_account(self, header: str) -> str | None:
        """Return whose *header* was when it was looked up last; it may have been revoked since."""
        entry = self._cache.get(header)
        return None if entry is None else entry[1].account

    async def identify(self, header: str | None, address: str = "") -> Identity:
        """
        Return the identity behind the Authorization *header* of a request from *address*.

        Raises:
            ApiError: 401; 503 if too many look-ups wait for the address.
        """
        if header is None:
            raise unauthorized("send your API token as `Authorization: Bearer fliq_sk_...`")
        scheme, _, rest = header.partition(" ")
        token = rest.strip(" ")
        if scheme.lower() != SCHEME or not is_well_formed(token):  # RFC 9110 §11.1: the scheme is case-insensitive
            raise unauthorized(
                "the API token is malformed: send the whole of it, as `Authorization: Bearer fliq_sk_...`"
            )
        asked_at = self._loop.time()
        found = await self._lookups.find(token_hash(self._pepper, token), address)
        if found is None or (found.expires_at is not None and found.expires_at <= self._now()):
            self._cache.pop(header, None)
            raise unauthorized(REFUSED)
        identity = Identity(found.token_id, found.account, covered(found.scopes), found.expires_at)
        if len(self._cache) >= CACHE_MAX:
            # Every entry is at most four seconds old: to start anew costs one look-up for each token in use.
            self._cache.clear()
        # Count from before the look-up: it must not delay a revocation that comes right after it.
        self._cache[header] = (asked_at + CACHE_TTL_S, identity)
        return identity

    def forget(self, token_ids: Collection[str]) -> None:
        """Forget tokens that were revoked here."""
        for header in [h for h, (_, identity) in self._cache.items() if identity.token_id in token_ids]:
            del self._cache[header]


def unauthorized(message: str) -> ApiError:
    """Return the 401."""
    return ApiError(401, "unauthorized", message, {"WWW-Authenticate": 'Bearer realm="fliq"'})
