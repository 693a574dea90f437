"""
API calls: what the console asks of the API, over HTTP, as every other client does.

In `fliq all` the API is at the other end of loopback. So nothing that the console can do is closed to another client.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import aiohttp
import msgspec
import orjson

TIMEOUT_S: Final = 15.0  # more than the longest wait of the API
CONNECTIONS_MAX: Final = 64
STREAMS_MAX: Final = 32  # of the connections, so that pages are never without one
STREAM_LASTS_S: Final = 600.0  # then the browser comes back, and its session is looked at again
STREAM_QUIET_S: Final = 45.0  # the API writes every 15 s
ANSWER_MAX: Final = 16 << 20  # bytes
SHOWN_BODY_MAX: Final = 1_200  # characters of a body that are shown in a command


class Call(NamedTuple):
    """A call of the API: *path* with its query, *body* as JSON, *headers* besides the token."""

    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = {}


class ApiAnswer(NamedTuple):
    """An answer: *value* is the document, None if there is none."""

    status: int
    value: Any
    headers: Mapping[str, str]


class ApiRefused(Exception):
    """The API answered with an error; *status* is 503 and *code* `unreachable` if it did not answer."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class OpenStream:
    """A stream of the API; *ended* is called once, when it has ended."""

    def __init__(self, answer: aiohttp.ClientResponse, ended: Callable[[], None]) -> None:
        self._answer = answer
        self._ended = ended
        self._is_open = True

    async def pieces(self) -> AsyncIterator[bytes]:
        """Return what the API writes, for `STREAM_LASTS_S` at most."""
        try:
            async with asyncio.timeout(STREAM_LASTS_S):
                async for piece in self._answer.content.iter_any():
                    yield piece
        except (aiohttp.ClientError, TimeoutError, OSError):
            pass  # the browser comes back, and then it is told why
        finally:
            self.close()

    def close(self) -> None:
        """Leave the API's stream."""
        if self._is_open:
            self._is_open = False
            self._answer.close()
            self._ended()


class ApiCalls:
    """Calls the API at the address that *url_of* returns."""

    def __init__(self, url_of: Callable[[], str]) -> None:
        self._url_of = url_of
        self._session: aiohttp.ClientSession | None = None
        self._stream_count = 0

    async def call(self, token: str, call: Call) -> ApiAnswer:
        """
        Make *call* with *token*.

        Raises:
            ApiRefused: the answer is no success, or there is none in time.
        """
        headers = {"Authorization": f"Bearer {token}", **call.headers}
        data = None
        if call.body is not None:
            data = orjson.dumps(call.body)
            headers["Content-Type"] = "application/json"
        try:
            async with self._open().request(
                call.method, self._url_of() + call.path, data=data, headers=headers, allow_redirects=False
            ) as answer:
                raw = await _read(answer.content)
                value = orjson.loads(raw) if raw else None
                status, said = answer.status, {name.lower(): text for name, text in answer.headers.items()}
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ApiRefused(503, "unreachable", f"the API does not answer ({type(error).__name__})") from None
        if status >= 300:
            raise _refused(status, value)
        return ApiAnswer(status, value, said)

    async def pass_on(
        self, token: str, method: str, path: str, document: bytes, headers: Mapping[str, str]
    ) -> tuple[int, bytes, dict[str, str]]:
        """
        Make a call of the API's reference with *token*, as it is; return status, body and headers, by name in lower case.

        Raises:
            ApiRefused: there is no answer in time.
        """
        said = {**headers, "Authorization": f"Bearer {token}"}
        try:
            async with self._open().request(
                method, self._url_of() + path, data=document or None, headers=said, allow_redirects=False
            ) as answer:
                raw = await _read(answer.content)
                return answer.status, raw, {name.lower(): text for name, text in answer.headers.items()}
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ApiRefused(503, "unreachable", f"the API does not answer ({type(error).__name__})") from None

    async def listen(self, token: str, call: Call) -> OpenStream:
        """
        Open a stream of the API; who gets it must read its pieces or close it.

        Raises:
            ApiRefused: the answer is no success, there is none in time, or this process reads too many streams.
        """
        if self._stream_count >= STREAMS_MAX:
            raise ApiRefused(429, "too_many_streams", "too many people listen through this console at the moment")
        headers = {"Authorization": f"Bearer {token}", **call.headers}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_S, sock_read=STREAM_QUIET_S)
        self._stream_count += 1
        try:
            answer = await self._open().request(
                call.method, self._url_of() + call.path, headers=headers, timeout=timeout, allow_redirects=False
            )
        except BaseException as error:
            self._leave_stream()
            if isinstance(error, (aiohttp.ClientError, TimeoutError, OSError)):
                message = f"the API does not answer ({type(error).__name__})"
                raise ApiRefused(503, "unreachable", message) from None
            raise
        opened = OpenStream(answer, self._leave_stream)
        if answer.status == 200:
            return opened
        try:
            value = orjson.loads(await _read(answer.content))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            value = None
        finally:
            opened.close()
        raise _refused(answer.status, value)

    def _leave_stream(self) -> None:
        self._stream_count -= 1

    async def close(self) -> None:
        """Close the connections; may be called twice."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
                connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session


def path_of(*parts: str) -> str:
    """Return the path of *parts* below `/v1`, each escaped."""
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def curl(call: Call) -> str:
    """Return *call* as a command for a shell in which `$FLIQ` and `$TOKEN` are set."""
    words = [f'curl -s "$FLIQ"{shlex.quote(call.path)} -H "Authorization: Bearer $TOKEN"']
    if call.method != "GET" and not (call.method == "POST" and call.body is not None):
        words.append(f"-X {call.method}")
    words += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in call.headers.items()]
    if call.body is not None:
        body = msgspec.json.encode(call.body).decode()
        words.append("-H 'Content-Type: application/json'")
        words.append(f"-d {shlex.quote(body)}" if len(body) <= SHOWN_BODY_MAX else "-d @body.json")
    return " ".join(words)


def _refused(status: int, value: Any) -> ApiRefused:
    refusal = value.get("error", {}) if isinstance(value, dict) else {}
    return ApiRefused(status, str(refusal.get("code", status)), str(refusal.get("message", "no reason given")))


async def _read(content: aiohttp.StreamReader) -> bytes:
    pieces = []
    size = 0
    async for piece in content.iter_any():
        size += len(piece)
        if size > ANSWER_MAX:
            raise ValueError("the answer is too long")
        pieces.append(piece)
        await asyncio.sleep(0)
    return b"".join(pieces)
