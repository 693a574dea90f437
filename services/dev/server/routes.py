"""
Routes: what `fliq dev` has below `/dev`. All need its token.

    GET  /dev/clock             {"now": instant, "is_virtual": bool}
    POST /dev/clock/advance     {"by": "P30D"} or {"to": instant}: moves the clock, and returns the calls that were made meanwhile
    GET  /dev/calls             all calls since the start or the last reset, oldest first
    POST /dev/targets/{host}    {"status": 503} or {"answers": [{"status": 503}, {"status": 200}]}: what calls to this host get; the
                                last answer stays. {"answers": []}: the host is called again
    POST /dev/reset             cancels what waits, deletes schedules, forgets calls and answers; returns a token of a new account
"""

from __future__ import annotations

import asyncio
import hmac
from typing import Any, Final

import aiohttp
import msgspec
import orjson
from aiohttp.web import BaseRequest

from libs.domain.instants import rfc3339
from libs.runtime.clock import Clock, Entropy
from libs.store.control.accounts import Accounts
from services.api.contract.api_error import ApiError, not_found
from services.api.contract.instants import parse_instant
from services.api.contract.token_text import new_token
from services.api.http.app import Mount
from services.api.http.reply import Reply, error_reply
from services.dev.server.advance import Advancer, NotQuiet
from services.dev.server.recorded_egress import ANSWERS_MAX, DELAY_MAX_MS, Calls, TargetAnswer
from services.dev.server.spans import span_ms
from services.process.keys.bootstrap_tokens import bootstrap, installation_key

PATH: Final = "/dev"
_CLEARED_MAX: Final = 1_000  # rounds of a hundred: a reset ends
_HOST_MAX: Final = 255


class DevRoutes:
    """
    Answers what is below `/dev`.

    Args:
        url: where this Fliq is.
        token: what every request has to bring.
        secret_key: FLIQ_SECRET_KEY, if it is set.

    Attributes:
        advancer: moves the clock; None if it goes by itself.
    """

    def __init__(
        self,
        *,
        url: str,
        token: str,
        clock: Clock,
        calls: Calls,
        accounts: Accounts,
        secret_key: str | None,
        entropy: Entropy,
    ) -> None:
        self._url = url
        self._token = token
        self._clock = clock
        self._calls = calls
        self._accounts = accounts
        self._secret_key = secret_key
        self._entropy = entropy
        self._tokens = [token]  # of the accounts that something may be left of
        self._resets = 0
        self._resetting = asyncio.Lock()
        self.advancer: Advancer | None = None

    @property
    def mount(self) -> Mount:
        """What the API has to know of it."""
        return Mount(PATH, "dev", self._answer)

    async def _answer(self, request: BaseRequest, body: bytes) -> Reply:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            raise ApiError(401, "unauthorized", "the routes below /dev need the token that fliq dev printed")
        try:
            return await self._route(request.method, request.path.removeprefix(PATH), body)
        except ValueError as error:
            return error_reply(ApiError(400, "invalid_request", str(error)))

    async def _route(self, method: str, path: str, body: bytes) -> Reply:
        match method, path.rstrip("/").split("/")[1:]:
            case "GET", ["clock"]:
                return _reply({"now": rfc3339(self._clock.now()), "is_virtual": self.advancer is not None})
            case "POST", ["clock", "advance"]:
                return await self._advance(_document(body))
            case "GET", ["calls"]:
                return _reply({"calls": list(self._calls.made)})
            case "POST", ["targets", host] if 0 < len(host) <= _HOST_MAX:
                return self._set_answers(host.lower(), _document(body))
            case "POST", ["reset"]:
                return await self._reset()
        raise not_found("route")

    async def _advance(self, asked: dict[str, Any]) -> Reply:
        if self.advancer is None:
            raise ApiError(409, "clock_not_virtual", "the clock goes by itself: start fliq dev --virtual-clock")
        if len(asked) != 1 or next(iter(asked)) not in ("by", "to"):
            raise ValueError('say {"by": "P30D"} or {"to": "2027-01-31T09:00:00Z"}')
        try:
            if "by" in asked:
                done = await self.advancer.advance(by_ms=span_ms(asked["by"]))
            else:
                to_ms = parse_instant(asked["to"]) if isinstance(asked["to"], str) else None
                if to_ms is None or to_ms < self._clock.now():
                    raise ValueError("to is an instant that is not before the clock's, such as 2027-01-31T09:00:00Z")
                done = await self.advancer.advance(to_ms=to_ms)
        except NotQuiet as error:
            raise ApiError(500, "not_quiet", str(error)) from None
        return _reply(
            {
                "now": rfc3339(done.now),
                "calls": done.calls,
                "steps": done.steps,
                "clock_work_ms": round(done.clock_work_s * 1_000),
                "is_partial": done.is_partial,
            }
        )

    def _set_answers(self, host: str, asked: dict[str, Any]) -> Reply:
        given = asked["answers"] if set(asked) == {"answers"} else [asked]
        answers = msgspec.convert(given, list[TargetAnswer])  # its error is a ValueError
        if len(answers) > ANSWERS_MAX:
            raise ValueError(f"at most {ANSWERS_MAX} answers")
        if any(not 100 <= each.status <= 599 or not 0 <= each.delay_ms <= DELAY_MAX_MS for each in answers):
            raise ValueError(f"status is 100 to 599, delay_ms 0 to {DELAY_MAX_MS}")
        self._calls.answers[host] = answers
        return _reply({"host": host, "answers": len(answers)})

    async def _reset(self) -> Reply:
        async with self._resetting:
            async with aiohttp.ClientSession(self._url) as http:
                for token in self._tokens:
                    await _clear(http, token)
            if self.advancer is not None:
                await self.advancer.quiet()
            self._calls.forget()
            self._resets += 1
            account, token = f"dev-{self._resets}", new_token(self._entropy.entropy)
            pepper = await installation_key(self._secret_key, self._accounts)
            await bootstrap(self._accounts, [(account, token)], pepper=pepper, entropy=self._entropy, clock=self._clock)
            self._tokens = [self._token, token]  # those before have nothing left
            return _reply({"account": account, "token": token})


async def _clear(http: aiohttp.ClientSession, token: str) -> None:
    """Delete all schedules of a token's account, and stop all jobs that have not ended."""
    headers = {"Authorization": f"Bearer {token}"}
    for listed, method, tail in (
        ("schedules", "DELETE", ""),
        ("jobs?status=scheduled", "POST", "/stop"),
        ("jobs?status=running", "POST", "/stop"),
    ):
        kind = listed.partition("?")[0]
        for _ in range(_CLEARED_MAX):
            sign = "&" if "?" in listed else "?"
            async with http.get(f"/v1/{listed}{sign}limit=100", headers=headers) as answer:
                items = (await answer.json())[kind]
            if not items:
                break
            for item in items:
                async with http.request(method, f"/v1/{kind}/{item['id']}{tail}", headers=headers) as answer:
                    await answer.read()


def _document(body: bytes) -> dict[str, Any]:
    found = orjson.loads(body or b"{}")  # its error is a ValueError
    if not isinstance(found, dict):
        raise ValueError("a JSON object is expected here")
    return found


def _reply(document: dict[str, Any]) -> Reply:
    return Reply(200, orjson.dumps(document))
