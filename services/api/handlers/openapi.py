"""The OpenAPI document, for everybody."""

from __future__ import annotations

from functools import cache

import orjson
from aiohttp.web import BaseRequest

from services.api.http.auth import Identity
from services.api.http.reply import Reply
from services.api.openapi.document import document


class OpenApi:
    """The handler for the document."""

    def __init__(self, version: str) -> None:
        self._body = _body(version)

    async def get(self, _: BaseRequest, __: Identity, ___: str) -> Reply:
        """GET /v1/openapi.json."""
        return Reply(200, self._body)


@cache
def _body(version: str) -> bytes:
    """Return the document, which is made once for a version."""
    return orjson.dumps(document(version))
