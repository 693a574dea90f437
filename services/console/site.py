"""
Site: finds the page of a request and sees that only who is logged in gets one.

Order: static files and the log-in need no session; a write needs a page of ours, the session's secret, and the scope of its call.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

import structlog

from services.console.api_calls import ApiCalls, ApiRefused
from services.console.http_messages import SECURITY_HEADERS, Answer, Request, see_other
from services.console.pages import login, reference
from services.console.pages.routes import find
from services.console.rendering import Templates
from services.console.sealing import Seal
from services.console.session import Sessions, comes_from_us, is_own_form
from services.console.visit import Forbidden, Visit

STATIC: Final = Path(__file__).parent / "static"
_NO_STORE: Final = {"Cache-Control": "no-store"}

_log = structlog.get_logger("console")


class Site:
    """
    Answers the requests of browsers.

    Args:
        api: calls the API.
        path: where the console's pages begin, such as `/console`.
        key: sessions are sealed under it; the same in every process that answers.
        now: the wall clock in ms since 1970.
        entropy: gives random bytes.
    """

    def __init__(
        self, api: ApiCalls, *, path: str, key: bytes, now: Callable[[], int], entropy: Callable[[int], bytes]
    ) -> None:
        self._api = api
        self._path = path
        self._now = now
        self._entropy = entropy
        self._sessions = Sessions(Seal(key, entropy), path=path, now=now)
        self._templates = Templates(now)

    async def answer(self, request: Request) -> Answer:
        """Answer *request*; raises nothing but CancelledError."""
        try:
            answer = await self._answer(request)
        except Exception as error:  # noqa: BLE001 - the person gets a page, and the log the defect
            _log.error("console_page_crashed", exc_info=error)
            answer = self._problem(500, "Something went wrong", "The console could not make this page.")
        headers = {**SECURITY_HEADERS, **_NO_STORE, **answer.headers}
        return answer._replace(headers=headers)

    async def close(self) -> None:
        """Close the connections to the API."""
        await self._api.close()

    async def _answer(self, request: Request) -> Answer:
        if request.path.startswith("/static/"):
            return _static_file(request)
        is_write = request.method == "POST"
        if request.method not in ("GET", "HEAD", "POST") and not request.path.startswith(f"{reference.PATH}/"):
            return self._problem(405, "Not a page", "Pages are read with GET, and actions are POST.")
        if is_write and not comes_from_us(request.headers):
            return self._problem(403, "Not from here", "The request does not come from a page of this console.")
        if request.path == reference.PATH or request.path.startswith(f"{reference.PATH}/"):
            session = self._sessions.of(request)
            return await reference.answer(request, session, self._api, self._templates, self._path)
        if request.path == "/login":
            return await login.log_in(
                request, self._api, self._sessions, self._templates, self._path, self._entropy(16).hex()
            )
        session = self._sessions.of(request)
        if session is None:
            return login.ask(request, self._path)
        if is_write and not is_own_form(session, request):
            return self._problem(403, "Not from here", "The form does not belong to this session. Load the page again.")
        if request.path == "/logout" and is_write:
            return see_other(f"{self._path}/login", self._sessions.end(request))
        visit = Visit(
            request,
            session,
            api=self._api,
            templates=self._templates,
            sessions=self._sessions,
            base=self._path,
            now=self._now,
            nonce=lambda: self._entropy(12).hex(),
        )
        return await self._page(visit)

    async def _page(self, visit: Visit) -> Answer:
        request = visit.request
        found = find(request.method, request.path)
        if found is None:
            return self._refused(visit, 404, "There is no such page", "The address names no page of the console.")
        handler, scope, ids = found
        try:
            if scope:
                visit.need(scope)
            return await handler(visit, *ids)
        except Forbidden as error:
            text = f"Your API token does not have the scope {error.scope}. Log in with one that has it."
            return self._refused(visit, 403, "Your token may not do this", text)
        except ApiRefused as refusal:
            if refusal.status == 401:
                return see_other(f"{self._path}/login?ended=1", self._sessions.end(request))
            return self._refused(visit, refusal.status, _title(refusal), refusal.message, refusal.code)

    def _refused(self, visit: Visit, status: int, title: str, text: str, code: str = "") -> Answer:
        return visit.show("refused.html", page="", status=status, title=title, text=text, code=code)

    def _problem(self, status: int, title: str, text: str) -> Answer:
        body = self._templates.render("problem.html", base=self._path, title=title, text=text, status=status)
        return Answer(status, body)


def _title(refusal: ApiRefused) -> str:
    return {
        403: "Your token may not do this",
        404: "There is no such thing",
        409: "Not possible any more",
        412: "Somebody else changed it",
        429: "Too much at once",
        503: "Fliq does not answer at the moment",
    }.get(refusal.status, "The API refused this")


@cache
def _file(name: str) -> tuple[bytes, str, str] | None:
    """Return a file of the console, its type and its tag; None if there is no such file."""
    known = {each.name: each for each in STATIC.iterdir() if each.suffix in (".css", ".js", ".svg")}
    if name not in known:
        return None
    body = known[name].read_bytes()
    media = mimetypes.types_map[known[name].suffix]
    return body, f"{media}; charset=utf-8", f'"{sha256(body).hexdigest()[:16]}"'


def _static_file(request: Request) -> Answer:
    found = _file(request.path.removeprefix("/static/"))
    if found is None:
        return Answer(404, b"no such file\n", "text/plain; charset=utf-8")
    body, media, tag = found
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Answer(304, headers=headers)
    return Answer(200, body, media, headers)
