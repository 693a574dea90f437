"""Carrying: between aiohttp's requests and those of the console."""

from __future__ import annotations

from aiohttp import web

from services.console.http_messages import Answer, Request, fields_of

FORM: str = "application/x-www-form-urlencoded"
JSON: str = "application/json"


def request_of(request: web.BaseRequest, body: bytes, path: str) -> Request | None:
    """
    Return a request below *path* for the console; None if it is not below it.

    Raises:
        ValueError: it has too many fields, or its form is not one.
    """
    target, _, query = request.raw_path.partition("?")
    if not is_below(target, path):
        return None
    headers = {name.lower(): value for name, value in request.headers.items()}
    media, below, asked = headers.get("content-type", ""), target.removeprefix(path), fields_of(query)
    if body and media.startswith(JSON):
        return Request(request.method, below, asked, [], headers, body)
    if body and not media.startswith(FORM):
        raise ValueError("the body is neither a form nor JSON")
    return Request(request.method, below, asked, fields_of(body.decode("utf-8")) if body else [], headers)


def is_below(target: str, path: str) -> bool:
    """Return whether the *target* of a request is the console's *path* or below it."""
    return target == path or target.startswith(f"{path}/")


async def send_stream(answer: Answer, request: web.BaseRequest) -> web.StreamResponse:
    """Send *answer*, which has a stream, until the stream ends or the browser leaves."""
    assert answer.stream is not None  # noqa: S101 - who calls has looked
    response = web.StreamResponse(status=answer.status, headers={**answer.headers, "Content-Type": answer.content_type})
    try:
        await response.prepare(request)
        async for piece in answer.stream.pieces():
            await response.write(piece)
    except ConnectionError:
        pass  # the browser has left
    finally:
        answer.stream.close()
    return response


def response_of(answer: Answer) -> web.Response:
    """Return *answer* as aiohttp sends it."""
    return web.Response(
        status=answer.status,
        body=answer.body,
        headers={**answer.headers, "Content-Type": answer.content_type},
    )
