"""
Reference: the API's reference, made by Swagger UI from the API's own document, and its try-it.

    /docs                the page, for everybody
    /docs/openapi.json   the document, from the API
    /docs/call/v1/...    a call of the API with the session's token

The token stays in the sealed cookie: the page's script has only the secret of the session, as every form of the console has.
"""

from __future__ import annotations

import hmac
from typing import Final
from urllib.parse import urlencode

import orjson

from services.console.api_calls import ApiCalls, ApiRefused, Call
from services.console.http_messages import HTML, REFERENCE_POLICY, Answer, Request
from services.console.rendering import Templates
from services.console.session import Session, comes_from_us

PATH: Final = "/docs"
JSON: Final = "application/json"
SECRET_HEADER: Final = "x-fliq-secret"  # noqa: S105 - a name
_DOCUMENT: Final = f"{PATH}/openapi.json"
_CALLS: Final = f"{PATH}/call"
_METHODS: Final = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
_PASSED: Final = ("content-type", "idempotency-key", "if-match", "if-none-match")  # headers of a call
_SHOWN: Final = (  # headers of an answer
    *("etag", "location", "retry-after", "fliq-change", "fliq-existing", "fliq-stale", "idempotent-replayed"),
    *("ratelimit", "ratelimit-policy"),
)


async def answer(request: Request, session: Session | None, api: ApiCalls, templates: Templates, base: str) -> Answer:
    """Answer what is at `PATH` or below it."""
    if request.path.startswith(f"{_CALLS}/v1/"):
        return await _call(request, session, api)
    if request.method not in ("GET", "HEAD"):
        return _refusal(405, "method_not_allowed", "pages are read with GET")
    if request.path == PATH:
        secret = "" if session is None else session.secret
        account = "" if session is None else session.account
        body = templates.render("reference.html", base=base, secret=secret, account=account)
        return Answer(200, body, HTML, {"Content-Security-Policy": REFERENCE_POLICY})
    if request.path == _DOCUMENT:
        try:
            return Answer(200, orjson.dumps((await api.call("", Call("GET", "/v1/openapi.json"))).value), JSON)
        except ApiRefused as refusal:
            return _refusal(refusal.status, refusal.code, refusal.message)
    return _refusal(404, "not_found", "there is no such page")


async def _call(request: Request, session: Session | None, api: ApiCalls) -> Answer:
    if request.method not in _METHODS:
        return _refusal(405, "method_not_allowed", "the API has no such method")
    if session is None:
        return _refusal(401, "unauthorized", "log in to the console first: calls are made with its token")
    given = request.headers.get(SECRET_HEADER, "")
    if not comes_from_us(request.headers) or not hmac.compare_digest(given.encode(), session.secret.encode()):
        return _refusal(403, "forbidden", "the call does not come from this session's page: load it again")
    path = request.path.removeprefix(_CALLS) + (f"?{urlencode(request.query)}" if request.query else "")
    headers = {name: request.headers[name] for name in _PASSED if name in request.headers}
    try:
        status, body, said = await api.pass_on(session.token, request.method, path, request.document, headers)
    except ApiRefused as refusal:
        return _refusal(refusal.status, refusal.code, refusal.message)
    return Answer(status, body, said.get("content-type", JSON), {name: said[name] for name in _SHOWN if name in said})


def _refusal(status: int, code: str, message: str) -> Answer:
    return Answer(status, orjson.dumps({"error": {"code": code, "message": message}}), JSON)
