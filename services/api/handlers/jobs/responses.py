"""Responses: what was kept of the answer to one attempt."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from aiohttp.web import BaseRequest

from libs.domain.responses.captured import decode
from libs.sealing.data_key import Broken
from libs.sealing.keyring import Shredded
from libs.store.reads.responses import KeptResponse, Responses
from services.api.contract.api_error import ApiError, not_found
from services.api.handlers.context import Context
from services.api.handlers.jobs.jobs import find_current
from services.api.http.auth import Identity
from services.api.http.reply import Reply, json_reply
from services.api.state.consistency import FRESH, STALE

_ATTEMPT: Final = re.compile(r"[1-9][0-9]{0,3}")


class KeptResponses:
    """The handler of what was kept."""

    def __init__(self, context: Context, responses: Responses) -> None:
        """Read from *responses*."""
        self._c = context
        self._responses = responses

    async def get(self, _: BaseRequest, identity: Identity, ids: str) -> Reply:
        """GET /v1/jobs/{job_id}/executions/{attempt_num}/response."""
        job_id, _slash, number = ids.partition("/")
        _state, _spec, is_fresh = await find_current(self._c, identity.account, job_id)
        if _ATTEMPT.fullmatch(number) is None:
            raise not_found("execution")
        try:
            kept = await self._responses.find(identity.account, job_id, int(number))
        except (Shredded, Broken):
            raise ApiError(
                410, "response_forgotten", "what was kept of this answer cannot be opened any more: its key was deleted"
            ) from None
        if kept is None:
            raise not_found("execution")
        return json_reply(200, _shown(kept), FRESH if is_fresh else STALE)


def _shown(kept: KeptResponse) -> dict[str, Any]:
    if kept.data is not None:
        captured = decode(kept.data)
        return {"status_code": kept.status_code} | msgspec.structs.asdict(captured)
    if kept.is_forgotten:
        raise ApiError(410, "response_forgotten", "what was kept of answers of that time is forgotten")
    if not kept.is_ended:
        raise ApiError(404, "no_response", "the attempt has not ended yet")
    raise ApiError(404, "no_response", "nothing was kept of the answer to this attempt")
