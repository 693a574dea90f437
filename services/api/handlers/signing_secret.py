"""Signing secret: the key with which receivers check the account's signatures, and its rotation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aiohttp.web import BaseRequest

from libs.egress.signing import new_secret
from libs.store.control.accounts import Accounts
from services.api.contract import requests
from services.api.contract.api_error import ApiError
from services.api.handlers.context import Context
from services.api.http.auth import Identity
from services.api.http.reply import Reply, json_reply
from services.api.http.request_body import read_json

_SECRET_BYTES: Final = 32


class SigningSecret:
    """The handlers for the account's signing secret."""

    def __init__(self, context: Context, accounts: Accounts) -> None:
        self._c = context
        self._accounts = accounts

    async def get(self, _: BaseRequest, identity: Identity, __: str) -> Reply:
        """GET /v1/signing-secret."""
        secrets = await self._secrets(identity.account)
        if not secrets:
            await self._accounts.ensure_account(identity.account, self._new())
            secrets = await self._secrets(identity.account)
        return _reply(secrets)

    async def rotate(self, request: BaseRequest, identity: Identity, _: str) -> Reply:
        """POST /v1/signing-secret/rotate: for 24 h the old one signs as well."""
        requests.empty_request(await read_json(request, is_optional=True))
        if not await self._accounts.rotate_signing_secret(identity.account, self._new()):
            message = "every secret of the last 24 h still signs, and there are as many as can be; try again later"
            raise ApiError(409, "too_many_signing_secrets", message)
        return _reply(await self._secrets(identity.account))

    async def _secrets(self, account: str) -> Sequence[str]:
        return (await self._accounts.signing_secrets([account])).get(account, ())

    def _new(self) -> str:
        return new_secret(self._c.mint.secret(_SECRET_BYTES))


def _reply(secrets: Sequence[str]) -> Reply:
    if not secrets:
        raise ApiError(
            409, "spec_shredded", "the signing secret cannot be opened any more, its key is gone: replace it"
        )
    body = {"secret": secrets[0], "previous_secrets": list(secrets[1:])}
    return json_reply(200, body, {"Cache-Control": "no-store"})
