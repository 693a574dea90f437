"""
Request: the bytes of one outgoing HTTP/1.1 request. Pure.

The rim. The API refuses bad methods and headers when a job is made; here they are refused again, because what was stored
may be older than today's rules and because a request that can be split is the worst thing this room could send. Framing
(`Host`, `Content-Length`, `Connection`) is ours alone: no caller's header takes part in it.

Source: RFC 9110 §5 (tokens and field values), RFC 9112 §3 and §6 (request line, framing).
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from libs.egress.policy import Target

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_METHODS_WITH_LENGTH = frozenset({"POST", "PUT", "PATCH"})  # RFC 9110 §8.6: say 0 when there is no body

FRAMING_HEADERS = frozenset(
    {
        *(
            "host",
            "content-length",
            "transfer-encoding",
            "connection",
            "keep-alive",
            "te",
            "trailer",
            "upgrade",
            "expect",
        ),
        *("proxy-connection", "proxy-authorization", "proxy-authenticate", "http2-settings"),
    }
)
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")
_NOT_IN_VALUES = re.compile(r"[^\t\x20-\x7e\x80-\xff]")
_PATH = re.compile(r"/[\x21-\x7e]*")


class OutgoingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """
    One call to make.

    method: one of METHODS, upper case. url: as `EgressPolicy.check_url` returned it. headers: in the order in which they
    are sent, framing and hop-by-hop headers excluded. body: None and b"" differ only for GET, HEAD, DELETE and OPTIONS,
    which carry a Content-Length when there is a body, even an empty one. account: whose call it is, for fairness.
    """

    method: str
    url: str
    headers: list[tuple[str, str]]
    body: bytes | None = None
    account: str = ""


class RequestRefused(ValueError):
    """A request that cannot be written without risk. The message is for the operator's log and holds no value of it."""


def serialise(request: OutgoingRequest, target: Target) -> bytes:
    """
    Return the request as it goes on the wire.

    Raises:
        RequestRefused: a method, header or target that must not be sent.
    """
    if request.method not in METHODS:
        raise RequestRefused("method is not one of those Fliq sends")
    if _PATH.fullmatch(target.path) is None:
        raise RequestRefused("request target holds a character that must be encoded")
    lines = [f"{request.method} {target.path} HTTP/1.1\r\nHost: {target.authority.host_header}\r\n"]
    values = []
    has_accept = has_encoding = False
    for name, value in request.headers:
        kind = _kind(name)
        has_accept |= kind == "accept"
        has_encoding |= kind == "accept-encoding"
        values.append(value)
        lines.append(f"{name}: {value}\r\n")
    if _NOT_IN_VALUES.search("".join(values)) is not None:
        raise RequestRefused("a header value holds a character that must not be sent")
    if not has_accept:
        lines.append("Accept: */*\r\n")
    if not has_encoding:
        # We never decompress; asking for plain bytes keeps the answer's first bytes readable for the target's own logs.
        lines.append("Accept-Encoding: identity\r\n")
    body = request.body
    if body is not None or request.method in _METHODS_WITH_LENGTH:
        lines.append(f"Content-Length: {len(body or b'')}\r\n")
    lines.append("Connection: close\r\n\r\n")
    return "".join(lines).encode("latin-1") + (body or b"")


@lru_cache(4096)
def _kind(name: str) -> str:
    """Return *name* in lower case. Names repeat from call to call, so judging one costs a look-up."""
    if _TOKEN.fullmatch(name) is None:
        raise RequestRefused("a header name is not a token")
    lowered = name.lower()
    if lowered.replace("_", "-") in FRAMING_HEADERS:
        raise RequestRefused("a header takes part in framing")
    return lowered
