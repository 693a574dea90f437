"""Signing secret: what the account's receivers check signatures with, and its rotation."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp.web import BaseRequest

from services.api.auth import Identity
from services.api.instants import render_instant
from services.api.ports import SigningSecret, SigningSecrets
from services.api.reply import Reply, json_reply
from services.api.request_body import read_json_body


class SigningSecretHandlers:
    """The handlers for the account's signing secret."""

    def __init__(self, secrets: SigningSecrets) -> None:
        self._secrets = secrets

    async def get(self, _: BaseRequest, identity: Identity, __: str) -> Reply:
        """GET /v1/signing-secret."""
        return _reply(await self._secrets.current(identity.account))

    async def rotate(self, request: BaseRequest, identity: Identity, _: str) -> Reply:
        """POST /v1/signing-secret/rotate: the old one signs beside the new one for 24 h."""
        await read_json_body(request)
        return _reply(await self._secrets.rotate(identity.account))


def _reply(secrets: Sequence[SigningSecret]) -> Reply:
    newest, *older = secrets
    until = max((secret.expires_at or 0 for secret in older), default=None)
    body = {
        "secret": newest.secret,
        "created_at": render_instant(newest.created_at),
        "previous_secret_expires_at": None if until is None else render_instant(until),
    }
    return json_reply(200, body, {"Cache-Control": "no-store"})
