"""The load generator's process: creates jobs over HTTP, one by one or in batches, and says how long that took."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from tests.bench.child import serve
from tests.bench.figures import spread
from tests.bench.wire import Request, post_all

CREATED = b"HTTP/1.1 201"
TAKEN = b"HTTP/1.1 200"
HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer abcdefgh", "X-Request": "1234567"}
BODY = json.dumps({"customer": "cus_1234567890", "amount": 1999, "currency": "eur", "note": "x" * 100})
_REST = json.dumps({"http_method": "POST", "headers": HEADERS, "body": BODY, "max_retries": 3})[1:]


def instant(at_ms: int) -> str:
    """Return an instant as the API takes it."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{at_ms % 1000:03d}Z"


def job(url: str, at_ms: int) -> str:
    """Return the JSON of a job of usual size, some 430 bytes."""
    return f'{{"url":"{url}","scheduled_at":"{instant(at_ms)}",{_REST}'


def post(path: str, token: str, body: str) -> bytes:
    """Return the request."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


async def answer(request: dict[str, Any]) -> dict[str, Any]:
    what = request.pop("do")
    match what:
        case "create":
            return await create(**request)
        case "fill":
            return await fill(**request)
        case _:
            raise ValueError(f"a load generator cannot {what}")


async def create(
    *, port: int, token: str, connections: int, seconds: float, url: str, ahead_ms: int, count: int = 0
) -> dict[str, Any]:
    """
    Post single jobs for *seconds*, or until there are *count*, each due *ahead_ms* after it is posted, at `url/<instant>/<number>`.

    Far in the future every request is the same, so that making it costs nothing.
    """
    ends_s = time.perf_counter() + seconds

    def requests() -> Iterator[Request]:
        far = post("/v1/jobs", token, job(f"{url}/far", 4_000_000_000_000 // 2)) if ahead_ms == 0 else b""
        for number in range(count) if count else itertools.count():
            if time.perf_counter() >= ends_s:
                return
            if far:
                yield far, CREATED
            else:
                at_ms = int(time.time() * 1000) + ahead_ms
                yield post("/v1/jobs", token, job(f"{url}/{at_ms}/{number}", at_ms)), CREATED

    took_ms, took_s = await post_all(port, requests(), connections=connections)
    return {"count": len(took_ms), "per_s": len(took_ms) / took_s, **spread(took_ms)}


async def fill(
    *,
    port: int,
    token: str,
    connections: int,
    batch: int,
    count: int,
    url: str,
    from_ms: int,
    over_ms: int,
    seconds: float = 600,
) -> dict[str, Any]:
    """Post *count* jobs in batches, evenly spread over *over_ms* from *from_ms* on, for *seconds* at most."""
    ends_s = time.perf_counter() + seconds
    posted = 0

    def requests() -> Iterator[Request]:
        nonlocal posted
        for first in range(0, count, batch):
            if time.perf_counter() >= ends_s:
                return
            jobs = []
            for number in range(first, min(first + batch, count)):
                at_ms = from_ms + number * over_ms // count
                jobs.append(job(f"{url}/{at_ms}/{number}", at_ms))
            posted += len(jobs)
            yield post("/v1/jobs/batch", token, f'{{"jobs":[{",".join(jobs)}]}}'), TAKEN

    refused = 0

    def keep(body: bytes) -> None:
        nonlocal refused
        refused += body.count(b'"error":')

    took_ms, took_s = await post_all(port, requests(), connections=connections, keep=keep, patient=True)
    if refused:
        raise RuntimeError(f"{refused} jobs of {posted} were refused")
    return {"count": posted, "per_s": posted / took_s, **spread(took_ms)}


if __name__ == "__main__":
    serve(answer)
