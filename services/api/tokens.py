"""
Tokens: making, listing and revoking API tokens. The secret is shown once, in the answer that makes it.

A token can only make tokens of its own account, with scopes that it has itself.
"""

from __future__ import annotations

from typing import Any

from aiohttp.web import BaseRequest

from services.api.auth import Authenticator, Identity, new_token, token_hash
from services.api.context import Context
from services.api.errors import ApiError, not_found
from services.api.instants import render_instant
from services.api.json_body import parse
from services.api.ports import TokenRow, TokenStore
from services.api.reply import Reply, json_reply, no_content
from services.api.request_body import read_json_body
from services.api.validation import token_request


class Tokens:
    """The handlers for tokens."""

    def __init__(self, context: Context, store: TokenStore, authenticator: Authenticator, *, pepper: bytes) -> None:
        self._c = context
        self._store = store
        self._authenticator = authenticator
        self._pepper = pepper

    async def create(self, request: BaseRequest, identity: Identity, _: str) -> Reply:
        """POST /v1/tokens."""
        raw = await read_json_body(request)
        now = self._c.clock.now()
        wanted = token_request(parse(raw) if raw else {}, now)
        if not identity.scopes.issuperset(wanted.scopes):
            raise ApiError(403, "forbidden", "a token cannot make one with scopes that it lacks itself")
        token = new_token(self._c.mint.secret)
        token_id = "tok_" + self._c.mint.secret(10).hex()
        await self._store.add(
            token_id=token_id,
            account=identity.account,
            name=wanted.name,
            token_hash=token_hash(self._pepper, token),
            scopes=wanted.scopes,
            last_four=token[-4:],
            created_at=now,
            expires_at=wanted.expires_at,
        )
        body = _token(
            token_id, wanted.name, wanted.scopes, last_four=token[-4:], created_at=now, expires_at=wanted.expires_at
        )
        return json_reply(201, body | {"token": token}, {"Cache-Control": "no-store"})

    async def list(self, _: BaseRequest, identity: Identity, __: str) -> Reply:
        """GET /v1/tokens."""
        rows = await self._store.list(identity.account)
        return json_reply(200, {"tokens": [_listed(row) for row in rows]})

    async def revoke(self, _: BaseRequest, identity: Identity, token_id: str) -> Reply:
        """DELETE /v1/tokens/{token_id}: refused here at once, on every replica within 5 s."""
        if (
            not token_id.startswith("tok_")
            or len(token_id) > 64
            or not token_id[4:].isalnum()
            or not token_id.isascii()
        ):
            raise not_found("token")
        if not await self._store.revoke(identity.account, token_id):
            raise not_found("token")
        self._authenticator.forget(token_id)
        return no_content()


def _listed(row: TokenRow) -> dict[str, Any]:
    return _token(
        row.token_id,
        row.name,
        row.scopes,
        last_four=row.last_four,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )


def _token(
    token_id: str, name: str, scopes: Any, *, last_four: str, created_at: int, expires_at: int | None
) -> dict[str, Any]:
    return {
        "id": token_id,
        "name": name,
        "scopes": list(scopes),
        "last_four": last_four,
        "created_at": render_instant(created_at),
        "expires_at": None if expires_at is None else render_instant(expires_at),
    }
