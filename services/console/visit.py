"""
Visit: one request of somebody who is logged in, and what pages need to answer it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from services.console.api_calls import ApiAnswer, ApiCalls, ApiRefused, Call, OpenStream, curl
from services.console.http_messages import Answer, Request, query_of, see_other
from services.console.rendering import Templates
from services.console.session import Session, Sessions

WRITE_JOBS: Final = "write:jobs"


class Forbidden(Exception):
    """The token of the session lacks *scope*."""

    def __init__(self, scope: str) -> None:
        super().__init__(scope)
        self.scope = scope


class Visit:
    """A request with its session."""

    def __init__(
        self,
        request: Request,
        session: Session,
        *,
        api: ApiCalls,
        templates: Templates,
        sessions: Sessions,
        base: str,
        now: Callable[[], int],
        nonce: Callable[[], str],
    ) -> None:
        self.request = request
        self.session = session
        self.base = base
        self.now = now
        self._nonce = nonce
        self._api = api
        self._templates = templates
        self._sessions = sessions
        self._is_stale = False

    async def get(self, path: str, **query: object) -> Any:
        """Return the document at *path* of the API; raises ApiRefused."""
        answer = await self._api.call(self.session.token, Call("GET", path + query_of(**query)))
        self._is_stale = self._is_stale or "fliq-stale" in answer.headers
        return answer.value

    async def listen(self, call: Call) -> OpenStream:
        """Return the stream that *call* opens; raises ApiRefused."""
        return await self._api.listen(self.session.token, call)

    async def ask(self, call: Call) -> Any:
        """Return the answer to a *call* that changes nothing, though it is a POST; raises ApiRefused."""
        return (await self._api.call(self.session.token, call)).value

    async def get_or(self, other: Any, path: str, **query: object) -> Any:
        """Return the document at *path*; *other* if the API refuses to show it, as it does without the scope."""
        try:
            return await self.get(path, **query)
        except ApiRefused as refusal:
            if refusal.status in (403, 404, 409):
                return other
            raise

    async def make(self, call: Call, *, scope: str = WRITE_JOBS) -> ApiAnswer:
        """Make a *call* that changes something; raises Forbidden if the token lacks *scope*, and ApiRefused."""
        self.need(scope)
        return await self._api.call(self.session.token, call)

    def need(self, scope: str) -> None:
        """Raise Forbidden if the token lacks *scope*."""
        if not self.session.may(scope):
            raise Forbidden(scope)

    def show(self, template: str, *, page: str, status: int = 200, **values: Any) -> Answer:
        """Return *template*; *page* is the entry of the menu that is marked."""
        said = self._sessions.said(self.request) if status == 200 else None
        body = self._templates.render(
            template,
            base=self.base,
            here=self.base + self.request.path,
            page=page,
            session=self.session,
            secret=self.session.secret,
            said=said,
            stale=self._is_stale,
            now=self.now(),
            once=self._nonce(),
            **values,
        )
        return Answer(status, body, headers=self._sessions.forget_said(self.request) if said is not None else {})

    def done(self, place: str, text: str, calls: Sequence[Call], *, problems: Sequence[str] = ()) -> Answer:
        """Return the answer to a write: go to *place* of the console, which shows *text* and the *calls* that were made."""
        shown = [curl(call) for call in calls[:3]]
        said = {"text": text, "calls": shown, "more": max(0, len(calls) - 3), "problems": list(problems[:5])}
        headers = self._sessions.say(said, self.request) or self._sessions.say({**said, "calls": []}, self.request)
        return see_other(self.base + place, headers)
