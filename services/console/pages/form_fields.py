"""Form fields: from what a person wrote into a form to the fields of a request of the API. Pure."""

from __future__ import annotations

from typing import Any, Final

from services.console.api_calls import ApiRefused
from services.console.http_messages import Request

METHODS: Final = ("POST", "GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


def wrong(message: str) -> ApiRefused:
    """Return the refusal of a form, as the API would refuse it."""
    return ApiRefused(400, "invalid_form", message)


def number_of(request: Request, name: str) -> int | None:
    """Return a whole number of the form, None if the field is empty; raises ApiRefused."""
    text = request.given(name)
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise wrong(f"{name} is not a whole number") from None


def headers_of(text: str) -> dict[str, str] | None:
    """Return the headers of lines such as `Name: value`, None if there are none; raises ApiRefused."""
    found = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        name, mark, value = line.partition(":")
        if not mark:
            raise wrong(f"headers: the line {line[:60]!r} is not like Name: value")
        found[name.strip()] = value.strip()
    return found or None


def replaced_headers(request: Request) -> dict[str, str | None] | None:
    """Return the patch that makes the form's `headers` out of its `old_headers`: a merge patch keeps what it does not name."""
    before, after = headers_of(request.given("old_headers")) or {}, headers_of(request.given("headers"))
    return None if after is None else {**dict.fromkeys(before), **after}


def lines_of(headers: dict[str, str] | None) -> str:
    """Return *headers* as lines of a form."""
    return "\n".join(f"{name}: {value}" for name, value in (headers or {}).items())


def call_fields(request: Request) -> dict[str, Any]:
    """Return what a job or schedule calls, as the form says it; fields that are empty are left out."""
    body = next((value for name, value in request.form if name == "body"), "").replace("\r\n", "\n")
    given = {
        "url": request.given("url"),
        "http_method": request.given("http_method"),
        "headers": headers_of(request.given("headers")),
        "body": body,
        "max_retries": number_of(request, "max_retries"),
        "webhook_url": request.given("webhook_url"),
    }
    return {name: value for name, value in given.items() if value not in (None, "")}


def rule_fields(request: Request, *, asked: bool = False) -> dict[str, Any]:
    """Return the rule of a schedule as a form says it, out of the query if *asked*."""
    get = request.asked if asked else request.given
    kind, zone = get("kind") or "cron", get("timezone")
    if kind == "every":
        try:
            return {"every": {"seconds": int(get("seconds"))}}
        except ValueError:
            raise wrong("every: say how many seconds lie between two runs") from None
    return {"cron": get("cron"), **({"timezone": zone} if zone else {})}
