"""Log-in: a token becomes a session."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from services.console.api_calls import ApiCalls, ApiRefused, Call
from services.console.http_messages import Answer, Request, query_of, see_other
from services.console.rendering import Templates
from services.console.session import Sessions

TOKEN: Final = re.compile(r"fliq_sk_[0-9A-Za-z]{36}", re.ASCII)


def ask(request: Request, base: str) -> Answer:
    """Return the answer to somebody who is not logged in: the log-in, which leads back to the page."""
    place = f"{base}/login"
    if request.method == "GET" and request.path not in ("", "/"):
        asked = quote(request.path, safe="/") + query_of(**dict(request.query))
        place += query_of(then=asked)
    if request.headers.get("hx-request"):
        return Answer(401, headers={"HX-Redirect": place})
    return see_other(place)


async def log_in(
    request: Request, api: ApiCalls, sessions: Sessions, templates: Templates, base: str, secret: str
) -> Answer:
    """Show the form, or begin a session with the token that it holds."""
    then = request.given("then") or request.asked("then")
    is_try = request.method == "POST"
    token, problem, status = request.given("token"), "", 200
    if is_try and not TOKEN.fullmatch(token):
        problem, status = "This is no API token. It begins with fliq_sk_ and has 36 characters behind that.", 400
    elif is_try:
        try:
            account = (await api.call(token, Call("GET", "/v1/account"))).value
        except ApiRefused as refusal:
            status = refusal.status
            problem = {
                401: "This token is unknown, expired or revoked.",
                403: "This token has not the scope read:jobs, which every page needs.",
            }.get(status, refusal.message)
        else:
            scopes = frozenset(account["token"]["scopes"])
            headers = sessions.begin(token, account["account"], scopes, secret, request)
            return see_other(base + (then if _is_own(then) else "/"), headers)
    body = templates.render("login.html", base=base, then=then, problem=problem, ended=bool(request.asked("ended")))
    return Answer(status, body)


def _is_own(place: str) -> bool:
    """Return whether *place* is a page of the console and nothing else, such as another host."""
    return place.startswith("/") and not place.startswith("//") and "\\" not in place and place.isprintable()
