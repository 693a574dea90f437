"""
Known head: a client sends the same head with every request; the second time, it is not parsed again.

A connection keeps the head that it parsed last, byte for byte, with the request that came of it. If exactly these bytes come again,
with a body of the same length and nothing behind it, they mean the same: only the body is another. Whatever differs in one byte, or
comes in pieces or with more behind it, is parsed. So what handlers make of the head alone is made once, too (`of_head`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final, NamedTuple, TypeVar

from aiohttp import HttpVersion11
from aiohttp.web import BaseRequest

DATA_MAX: Final = 65_536  # bytes of a head with its body
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
# What makes a connection, or the framing of what follows, depend on more than the head and the length.
_MORE: Final = ("Transfer-Encoding", "Upgrade", "Expect", "Trailer")
_END: Final = b"\r\n\r\n"

T = TypeVar("T")


class WholeBody:
    """A body that came with its head: what handlers and aiohttp use of a stream."""

    __slots__ = ("_data", "_error", "total_bytes")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._error: BaseException | None = None
        self.total_bytes = len(data)

    def is_eof(self) -> bool:
        """Return True: all of it is there."""
        return True

    def read_nowait(self) -> bytes:
        """Return the body, once."""
        data, self._data = self._data, b""
        return data

    async def readany(self) -> bytes:
        """Return the body, once; empty afterwards."""
        return self.read_nowait()

    def exception(self) -> BaseException | None:
        """Return the error that was set."""
        return self._error

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """Note why the body is not to be read any more."""
        self._error = exc


class Request(BaseRequest):
    """
    A request.

    Attributes:
        whole: its body if its head was not parsed again; the stream of the first such request does not count.
        found: what was made of its head (see `of_head`), once that is known.
    """

    whole: WholeBody | None = None
    found: dict[Callable[..., Any], Any] | None = None

    @property
    def content(self) -> Any:
        """The body."""
        return super().content if self.whole is None else self.whole


def of_head(work: Callable[[BaseRequest], T]) -> Callable[[BaseRequest], T]:
    """Return *work*, which looks at nothing but the head of a request, so that it is done once for a head that comes again."""

    @wraps(work)
    def once(request: BaseRequest) -> T:
        found: dict[Callable[..., Any], Any] | None = getattr(request, "found", None)
        if found is None:
            return work(request)
        if work not in found:
            found[work] = work(request)  # an error is not kept: it is raised again
        return found[work]  # type: ignore[no-any-return]

    return once


class KnownHead(NamedTuple):
    """
    A head, to the empty line at its end.

    Args:
        size: of the head and its body, in bytes.
        request: what it means.
    """

    head: bytes
    size: int
    request: Request

    def is_head_of(self, data: bytes) -> bool:
        """Return whether *data* is this head with a body, and nothing else."""
        return len(data) == self.size and data.startswith(self.head)

    def with_body(self, data: bytes) -> Request:
        """Return the request that *data*, whose head this is, asks for; the one before it must have been answered."""
        request = self.request
        request.whole = WholeBody(data[len(self.head) :])
        if len(request):  # what handlers noted
            request.clear()
        return request


def known_head(data: bytes, request: Request) -> KnownHead | None:
    """Return the head of *request*, of which *data* was parsed; None if *data* is not one whole request of the plain kind."""
    size, headers = data.find(_END) + len(_END), request.headers
    length = headers.get("Content-Length", "0")
    is_plain = (
        request.method in _METHODS
        and data.startswith(request.method.encode())
        and request.version == HttpVersion11
        and request.keep_alive
        and not any(name in headers for name in _MORE)
    )
    if not is_plain or size < len(_END) or not length.isdecimal() or size + int(length) != len(data):
        return None
    request.found = {}
    return KnownHead(data[:size], len(data), request)
