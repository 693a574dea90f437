"""Account: what the account that asks may use, what it uses, and what the token that asks may do."""

from __future__ import annotations

from typing import Any

from aiohttp.web import BaseRequest

from libs.store.control.limits import Limits
from services.api.contract.instants import utc_day
from services.api.handlers.context import Context
from services.api.http.auth import Identity
from services.api.http.reply import Reply, json_reply


class Account:
    """The handler of the account."""

    def __init__(self, context: Context) -> None:
        self._c = context

    async def get(self, _: BaseRequest, identity: Identity, __: str) -> Reply:
        """GET /v1/account."""
        account = identity.account
        limits = self._c.limits_of(account)
        waiting = await self._c.use.use(account)
        use: dict[str, Any] = {
            "executions_today": await self._c.queries.usage(account, utc_day(self._c.clock.now())),
            "waiting_jobs": waiting.jobs if waiting is not None and limits.waiting_jobs else None,
            "stored_bytes": waiting.stored_bytes if waiting is not None and limits.stored_bytes else None,
        }
        token = {"id": identity.token_id, "scopes": sorted(identity.scopes)}
        return json_reply(200, {"account": account, "limits": _shown(limits), "use": use, "token": token})


def _shown(limits: Limits) -> dict[str, int | None]:
    return {name: value or None for name, value in limits._asdict().items()}
