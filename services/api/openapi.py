"""OpenAPI: the description of the API that it serves of itself."""

from __future__ import annotations

import orjson
from aiohttp.web import BaseRequest

from services.api.auth import Identity
from services.api.reply import Reply


class OpenApi:
    def __init__(self, version: str) -> None:
        self._body = orjson.dumps({"openapi": "3.1.0", "info": {"title": "Fliq", "version": version}, "paths": {}})

    async def get(self, _: BaseRequest, __: Identity, ___: str) -> Reply:
        """GET /v1/openapi.json."""
        return Reply(200, self._body)
