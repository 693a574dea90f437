"""
Reply: one HTTP answer, written with a single call to the transport.

aiohttp's own Response builds a header map, serialises it and writes twice; for answers of a few hundred bytes that
costs more than everything else in the handler. A reply has the three things that aiohttp's connection asks of a
response: `prepare`, `write_eof`, `keep_alive`.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import orjson

from services.api.contract.api_error import ApiError

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest

_HEAD_OF: Final = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}
JSON: Final = b"application/json"
NO_HEADERS: Final[Mapping[str, str]] = {}


class Reply:
    """
    An answer.

    Args:
        status: the HTTP status.
        body: the JSON document; empty for 204.
        headers: headers besides Content-Type, Content-Length, Date and Connection.
        is_last: the connection is closed behind it.
        media: what the body is, for those that are no JSON.
    """

    __http_exception__ = False
    __slots__ = ("_is_last", "_media", "body", "headers", "keep_alive", "status")

    def __init__(
        self,
        status: int,
        body: bytes,
        headers: Mapping[str, str] = NO_HEADERS,
        *,
        is_last: bool = False,
        media: bytes = JSON,
    ) -> None:
        self.status = status
        self.body = body
        self.headers = headers
        self.keep_alive = False
        self._is_last = is_last
        self._media = media

    async def prepare(self, request: BaseRequest) -> None:
        """Write the answer to *request*; raises ConnectionError when the peer is gone."""
        protocol: Any = request.protocol
        self.keep_alive = request.keep_alive and not self._is_last
        protocol.write(self._bytes(request, protocol.date_line))
        self.body = b""  # what the peer does not read is held once, by the transport
        if protocol.writing_paused:
            await protocol.drain()

    async def write_eof(self) -> None:
        """Everything was written by `prepare`."""

    def _bytes(self, request: BaseRequest, date_line: bytes) -> bytes:
        head = _HEAD_OF[self.status] + date_line
        for name, value in self.headers.items():
            head += f"{name}: {value}\r\n".encode()
        if not self.keep_alive:
            head += b"Connection: close\r\n"
        elif request.version.minor == 0:
            head += b"Connection: keep-alive\r\n"
        if self.status == 204:
            return head + b"\r\n"
        body = self.body
        shown = b"" if request.method == "HEAD" else body
        return b"%bContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (head, self._media, len(body), shown)


def json_reply(status: int, value: Any, headers: Mapping[str, str] = NO_HEADERS) -> Reply:
    """Return an answer with *value* as JSON."""
    return Reply(status, orjson.dumps(value), headers)


def error_reply(error: ApiError, *, is_last: bool = False) -> Reply:
    """Return the answer to a refused request, in the contract's shape."""
    return Reply(error.status, orjson.dumps(error_body(error)), error.headers, is_last=is_last)


def error_body(error: ApiError) -> dict[str, Any]:
    """Return `{"error": {"code", "message"}}`."""
    return {"error": {"code": error.code, "message": error.message}}


def no_content() -> Reply:
    """Return a 204."""
    return Reply(204, b"")
