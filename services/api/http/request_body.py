"""
Request body: reading it with a bound on size and time.

A small body arrives with its header and is there when the handler starts: no wait, no timer. Every other body is read piece by
piece against both bounds. Compressed bodies are refused, so the bytes that are counted are the bytes that are parsed.
"""

import asyncio
from typing import Any, Final, cast

from aiohttp.web import BaseRequest, RequestPayloadError

from services.api.contract.api_error import ApiError, bad
from services.api.contract.json_body import parse, parsing
from services.api.http.known_head import of_head

BODY_MAX: Final = 1_048_576  # bytes
BODY_READ_S: Final = 15.0
PARSED_AT_ONCE: Final = 65_536  # bytes; a longer body is received and parsed in pieces, each in its account's turn

# curl's `-d` announces the form type by itself: such a body is read as JSON too, and refused if it is not JSON.
_CONTENT_TYPES: Final = frozenset(
    {
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=utf-8",
        "application/x-www-form-urlencoded",
    }
)
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class LastError(ApiError):
    """A refusal of what was not read to its end: the connection is closed behind the answer."""


async def read_json(request: BaseRequest, *, is_optional: bool = False) -> Any:
    """Return the JSON document in the body of *request*, `{}` if it is optional and there is none; raises as both steps do."""
    raw = await read_json_body(request)
    return {} if is_optional and not raw else await parse_json(request, raw)


async def parse_json(request: BaseRequest, raw: bytes) -> Any:
    """Return the JSON document *raw*, the body of *request*; raises as `parse`."""
    if len(raw) <= PARSED_AT_ONCE:
        return parse(raw)
    steps = parsing(raw)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
        await cast(Any, request.protocol).pause()


async def read_json_body(request: BaseRequest, *, timeout_s: float = BODY_READ_S) -> bytes:
    """
    Return the body of *request*, announced as JSON; empty when there is none.

    Raises:
        ApiError: 400 for another type, coding or broken framing.
        LastError: 408 when it does not come in time, 413 when it is too long.
    """
    payload = request.content
    if "Transfer-Encoding" in request.headers and request.headers["Transfer-Encoding"].lower() != "chunked":
        raise LastError(400, "invalid_content_type", "a body in another transfer coding than chunked is not taken")
    try:
        body = payload.read_nowait() if payload.is_eof() else await _read_slowly(request, timeout_s)
    except RequestPayloadError:
        raise LastError(400, "invalid_request", "the body is not framed as its header says") from None
    if len(body) > BODY_MAX:
        raise _too_large()
    if body and (why_not := _why_not_json(request)):
        raise bad("invalid_content_type", why_not)
    return body


@of_head
def _why_not_json(request: BaseRequest) -> str:
    """Return why what the head of *request* announces is not taken as JSON; empty if it is."""
    content_type = request.headers.get("Content-Type")
    if content_type is not None and content_type not in _CONTENT_TYPES and not _is_json(content_type):
        return "Content-Type must be application/json, in UTF-8"
    codings = ",".join(request.headers.getall("Content-Encoding", ())).lower().split(",")
    if any(coding.strip() not in ("", "identity") for coding in codings):
        return "a compressed body is not taken"
    return ""


async def _read_slowly(request: BaseRequest, timeout_s: float) -> bytes:
    length = request.headers.get("Content-Length")
    if length is not None and length.isdecimal() and int(length) > BODY_MAX:
        raise _too_large()
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(_CONTINUE)
    payload = request.content
    pieces = []
    size = 0
    try:
        async with asyncio.timeout(timeout_s):
            while piece := await payload.readany():
                size += len(piece)
                if size > BODY_MAX:
                    raise _too_large()
                pieces.append(piece)
                await cast(Any, request.protocol).pause()  # the next piece may be a thousand chunks
    except BaseException as error:
        pieces.clear()  # the error's traceback holds this frame, and so the pieces, until garbage is collected
        if isinstance(error, TimeoutError):
            raise LastError(408, "request_timeout", f"the body did not arrive within {timeout_s:g} s") from None
        raise
    return b"".join(pieces)


def _too_large() -> LastError:
    return LastError(413, "payload_too_large", f"the body must be at most {BODY_MAX:,} bytes")


def _is_json(content_type: str) -> bool:
    media, _, parameters = content_type.partition(";")
    if media.strip().lower() != "application/json":
        return False
    name, _, charset = parameters.strip().lower().partition("=")
    return not name or (name == "charset" and charset.strip('"') in ("utf-8", "utf8"))
