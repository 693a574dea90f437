"""Access: the account's API tokens, and the secret that signs its calls."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from services.console.api_calls import Call, path_of
from services.console.http_messages import Answer
from services.console.pages.form_fields import wrong
from services.console.visit import Visit

OPERATOR: Final = "operator"
SCOPES: Final = (OPERATOR, "read", "write", "read:jobs", "read:payloads", "read:secrets", "read:tokens", "read:webhooks",
                 "write:jobs", "write:payloads", "write:secrets", "write:tokens", "write:webhooks")  # fmt: skip
WRITE_TOKENS: Final = "write:tokens"
WRITE_SECRETS: Final = "write:secrets"


async def page(visit: Visit) -> Answer:
    """GET /access."""
    return await _show(visit)


async def create_token(visit: Visit) -> Answer:
    """POST /access/tokens. The token is in this answer alone: it is neither in an address nor in a cookie."""
    scopes = visit.request.all_given("scope")
    if not scopes:
        raise wrong("a token needs one scope at least")
    body = {"name": visit.request.given("name") or "API token", "scopes": scopes}
    if visit.request.given("expires_at"):
        body["expires_at"] = visit.request.given("expires_at")
    made = (await visit.make(Call("POST", "/v1/tokens", body), scope=WRITE_TOKENS)).value
    return await _show(visit, made=made)


async def revoke_token(visit: Visit, token_id: str) -> Answer:
    """POST /access/tokens/{id}: ask first, with the number of tokens that go with it."""
    tokens = (await visit.get_or({"tokens": []}, "/v1/tokens"))["tokens"]
    count = 1 + len(_made_by(token_id, tokens))
    if visit.request.given("sure") != str(count):
        others = f" and the {count - 1} that it made" if count > 1 else ""
        return visit.show(
            "ask_one.html",
            page="access",
            title=f"Revoke {count} token{'s' if count > 1 else ''}?",
            text=f"The token {token_id}{others} will be refused within 5 seconds, for good.",
            place=f"/access/tokens/{token_id}",
            back="/access",
            button=f"Revoke {count} token{'s' if count > 1 else ''}",
            sure=count,
        )
    call = Call("DELETE", path_of("tokens", token_id))
    await visit.make(call, scope=WRITE_TOKENS)
    return visit.done("/access", f"{count} token{'s were' if count > 1 else ' was'} revoked.", [call])


async def rotate_secret(visit: Visit) -> Answer:
    """POST /access/secret: ask first."""
    if visit.request.given("sure") != "1":
        return visit.show(
            "ask_one.html",
            page="access",
            title="Replace the signing secret?",
            text="Every call and webhook of the account will be signed with the new one, and for 24 h with the old one as well.",
            place="/access/secret",
            back="/access",
            button="Replace the secret",
        )
    call = Call("POST", "/v1/signing-secret/rotate")
    await visit.make(call, scope=WRITE_SECRETS)
    return visit.done("/access", "The signing secret was replaced.", [call])


async def _show(visit: Visit, made: dict[str, Any] | None = None) -> Answer:
    tokens, secret = await asyncio.gather(visit.get_or(None, "/v1/tokens"), visit.get_or(None, "/v1/signing-secret"))
    scopes = [each for each in SCOPES if each != OPERATOR or visit.session.may(OPERATOR)]  # only who has it can give it
    return visit.show("access.html", page="access", tokens=tokens, signing=secret, made=made, scopes=scopes)


def _made_by(token_id: str, tokens: Sequence[dict[str, Any]]) -> set[str]:
    """Return the tokens that *token_id* made, and those that these made."""
    found: set[str] = set()
    parents = {token_id}
    while parents:
        parents = {str(each["id"]) for each in tokens if each["parent"] in parents} - found
        found |= parents
    return found
