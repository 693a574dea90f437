"""
Request: the bytes of one outgoing HTTP/1.1 request. Pure.

The API refuses bad methods and headers when a job is created. They are refused here once more, because a stored job may be older
than today's rules, and because a request that a receiver could read as two is the worst that Fliq could send. Only Fliq sets the
framing headers (`Host`, `Content-Length`, `Connection`); a caller's headers cannot change them.

Source: RFC 9110 §5 (tokens and field values), RFC 9112 §3 and §6 (request line, framing).
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from libs.domain.responses.answer_keeper import AnswerKeeper
from libs.egress.url_rules import Target

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_METHODS_WITH_LENGTH = frozenset({"POST", "PUT", "PATCH"})  # RFC 9110 §8.6: say 0 when there is no body

FRAMING_HEADERS = frozenset(
    {
        *("connection", "content-length", "expect", "host", "http2-settings", "keep-alive", "te", "trailer"),
        *("transfer-encoding", "upgrade", "proxy-authenticate", "proxy-authorization", "proxy-connection"),
    }
)
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")
_IN_VALUES = bytes([9, *range(0x20, 0x7F), *range(0x80, 0x100)])
_PATH = re.compile(r"/[\x21-\x7e]*")


class OutgoingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """
    One call to make.

    Args:
    method: one of METHODS, upper case.
    url: as returned by `EgressPolicy.check_url`.
    headers: in the order in which they are sent, without framing and hop-by-hop headers.
    body: None and b"" differ only for GET, HEAD, DELETE and OPTIONS, which get a Content-Length if there is a body, even an
        empty one.
    account: the owner of the call, for fair queue and pace.
    key: names the call when it comes again after it was put off.
    keeper: gathers what is kept of the answer; none if nothing is.
    """

    method: str
    url: str
    headers: list[tuple[str, str]]
    body: bytes | None = None
    account: str = ""
    key: str = ""
    keeper: AnswerKeeper | None = None


class RequestRefused(ValueError):
    """The request cannot be sent safely. The message is for the operator's log and contains no value of the request."""


def serialise(request: OutgoingRequest, target: Target) -> bytes:
    """
    Return the bytes to send.

    Raises:
        RequestRefused: the method, a header or the target must not be sent.
    """
    if request.method not in METHODS:
        raise RequestRefused("method is not one of those Fliq sends")
    if _PATH.fullmatch(target.path) is None:
        raise RequestRefused("request target holds a character that must be encoded")
    names = tuple([name for name, _ in request.headers])
    values = tuple([value for _, value in request.headers])
    if not _may_be_values("".join(values)):
        raise RequestRefused("a header value holds a character that must not be sent")
    lines = [
        f"{request.method} {target.path} HTTP/1.1\r\nHost: {target.authority.host_header}\r\n",
        _header_lines(names) % values,
    ]
    body = request.body
    if body is not None or request.method in _METHODS_WITH_LENGTH:
        lines.append(f"Content-Length: {len(body or b'')}\r\n")
    # Some servers send the answer to HEAD with a body. So that connection is not used again, and the server is told.
    lines.append("Connection: close\r\n\r\n" if request.method == "HEAD" else "\r\n")
    return "".join(lines).encode("latin-1") + (body or b"")


def _may_be_values(text: str) -> bool:
    """Whether *text* holds only what header values may hold. A regular expression takes five times as long."""
    try:
        return not text.encode("latin-1").translate(None, _IN_VALUES)
    except UnicodeEncodeError:
        return False


@lru_cache(256)
def _header_lines(names: tuple[str, ...]) -> str:
    """Return the lines of these headers, with `%s` for each value. Most calls have the same names, so the result is cached."""
    kinds = [_kind(name) for name in names]
    lines = [name.replace("%", "%%") + ": %s\r\n" for name in names]
    if "accept" not in kinds:
        lines.append("Accept: */*\r\n")
    if "accept-encoding" not in kinds:
        # We never decompress. Plain bytes keep the beginning of the answer readable in the target's own logs.
        lines.append("Accept-Encoding: identity\r\n")
    return "".join(lines)


def _kind(name: str) -> str:
    """Return *name* in lower case."""
    if _TOKEN.fullmatch(name) is None:
        raise RequestRefused("a header name is not a token")
    lowered = name.lower()
    if lowered.replace("_", "-") in FRAMING_HEADERS:
        raise RequestRefused("a header takes part in framing")
    return lowered
