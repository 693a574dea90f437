"""
Tokens: making, listing and revoking API tokens. The secret is shown once, in the answer that makes it.

A token can only make tokens of its own account, with scopes that it has itself. What it made lives no longer than it, and is
revoked with it. One token that can make and revoke tokens always stays.
"""

from __future__ import annotations

from typing import Any, Final, cast

from aiohttp.web import BaseRequest

from libs.domain.instants import rfc3339
from libs.store.control.accounts import Accounts, LastToken, ParentGone, Token
from services.api.contract.api_error import ApiError, bad, not_found
from services.api.contract.requests import token_request
from services.api.contract.token_text import MANAGING_SCOPES, new_token, token_hash
from services.api.handlers.context import Context
from services.api.http.auth import REFUSED, Authenticator, Identity, unauthorized
from services.api.http.reply import Reply, json_reply, no_content
from services.api.http.request_body import read_json

SHOWN_AT_ONCE: Final = 200  # tokens of a list in one piece of work: about 1 ms


class Tokens:
    """The handlers for tokens."""

    def __init__(self, context: Context, accounts: Accounts, authenticator: Authenticator, *, pepper: bytes) -> None:
        self._c = context
        self._accounts = accounts
        self._authenticator = authenticator
        self._pepper = pepper

    async def create(self, request: BaseRequest, identity: Identity, _: str) -> Reply:
        """POST /v1/tokens."""
        data = await read_json(request, is_optional=True)
        now = self._c.clock.now()
        wanted = token_request(data, now)
        if not identity.scopes.issuperset(wanted.scopes):
            raise ApiError(403, "forbidden", "a token cannot make one with scopes that it lacks itself")
        ends_at = identity.expires_at
        if ends_at is not None and wanted.expires_at is not None and wanted.expires_at > ends_at:
            reason = f"expires_at must not be later than the end of the token that asks, {rfc3339(ends_at)}"
            raise bad("invalid_expires_at", reason)
        secret = new_token(self._c.mint.secret)
        token = Token(
            token_id="tok_" + self._c.mint.secret(10).hex(),
            account=identity.account,
            name=wanted.name,
            scopes=frozenset(wanted.scopes),
            last_four=secret[-4:],
            created_at=now,
            expires_at=wanted.expires_at or ends_at,
            parent=identity.token_id,
        )
        try:
            is_stored = await self._accounts.add_token(token, token_hash(self._pepper, secret))
        except ParentGone:  # revoked on another replica a moment ago
            self._authenticator.forget([identity.token_id])
            raise unauthorized(REFUSED) from None
        if not is_stored:
            raise ApiError(
                409, "too_many_tokens", "the account has as many tokens as can be; revoke those it needs no more"
            )
        return json_reply(201, _shown(token) | {"token": secret}, {"Cache-Control": "no-store"})

    async def list(self, request: BaseRequest, identity: Identity, _: str) -> Reply:
        """GET /v1/tokens."""
        shown = []
        async with self._c.lists.turn(identity.account):
            tokens = await self._accounts.tokens(identity.account)
            for start in range(0, len(tokens), SHOWN_AT_ONCE):
                await cast(Any, request.protocol).pause()
                shown += [_shown(token) for token in tokens[start : start + SHOWN_AT_ONCE]]
        return json_reply(200, {"tokens": shown})

    async def revoke(self, _: BaseRequest, identity: Identity, token_id: str) -> Reply:
        """DELETE /v1/tokens/{token_id}, with all that it made: refused here at once, on every replica within 5 s."""
        if (
            not token_id.startswith("tok_")
            or len(token_id) > 64
            or not token_id[4:].isalnum()
            or not token_id.isascii()
        ):
            raise not_found("token")
        try:
            revoked = await self._accounts.revoke(identity.account, token_id, keeping=MANAGING_SCOPES)
        except LastToken:
            reason = (
                "no token of the account could create or revoke tokens any more: create another one with the scope"
                " `write:tokens` first, with `fliq tokens create` if this token made all others"
            )
            raise ApiError(409, "last_token", reason) from None
        if not revoked:
            raise not_found("token")
        self._authenticator.forget(revoked)
        return no_content()


def _shown(token: Token) -> dict[str, Any]:
    return {
        "id": token.token_id,
        "name": token.name,
        "scopes": sorted(token.scopes),
        "last_four": token.last_four,
        "created_at": rfc3339(token.created_at),
        "expires_at": None if token.expires_at is None else rfc3339(token.expires_at),
        "parent": token.parent,
    }
