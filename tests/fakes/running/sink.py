"""
Sink: a real HTTP server on loopback that plays the users' targets and records every call with its instant of arrival.

What it answers is chosen by the path, so that a test can say it in the job's URL:

    /ok                 200                      /status/<n>      that status
    /flaky/<k>/<name>   500 for the first k calls of <name>, then 200
    /slow/<ms>          200 so long after it came        /hang            never answers
    /hang-once/<name>   the first call of <name> is never answered, then 200
    /retry-after/<s>    429 with Retry-After for the first call, then 200
    /snooze/<s>         200 with Fliq-Snooze for the first call, then 200 (of any path, so add a name)
    /enough             500 with Fliq-Retry: no
    /hook-flaky/<k>     a receiver of webhooks: 500 for the first k of any path, then 200
    /told               500 for each fifth call, from the first on, else 200
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """One call: *at* is its arrival, ms since 1970, with fractions."""

    at: float
    method: str
    path: str
    query: str
    headers: dict[str, str]
    raw_headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def job_id(self) -> str | None:
        """The job that called, by its header."""
        return self.headers.get("X-Fliq-Job-Id")

    @property
    def execution_id(self) -> str | None:
        """The execution that called, by its header."""
        return self.headers.get("X-Fliq-Execution-Id")


@dataclass
class Sink:
    """Records calls; `wait_for` waits for what a test expects instead of sleeping."""

    arrivals: list[Arrival] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self._changed = asyncio.Event()
        self._seen: Counter[str] = Counter()
        self._runner: web.AppRunner | None = None
        self._released = asyncio.Event()

    @property
    def url(self) -> str:
        """Where the sink listens."""
        return f"http://127.0.0.1:{self.port}"

    def by_job(self) -> dict[str | None, list[Arrival]]:
        """Arrivals by job id, in order of arrival."""
        found: dict[str | None, list[Arrival]] = defaultdict(list)
        for arrival in self.arrivals:
            found[arrival.job_id].append(arrival)
        return found

    def of(self, job_id: str) -> list[Arrival]:
        """The arrivals of one job's calls."""
        return [arrival for arrival in self.arrivals if arrival.job_id == job_id]

    def at(self, path: str) -> list[Arrival]:
        """The arrivals at one path."""
        return [arrival for arrival in self.arrivals if arrival.path == path]

    async def wait_for(self, condition: Callable[[], object], *, timeout_s: float = 15.0) -> None:
        """Return as soon as *condition* holds; it is asked again after every arrival."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def wait_count(self, count: int, *, timeout_s: float = 15.0) -> None:
        """Return when *count* calls have arrived."""
        await self.wait_for(lambda: len(self.arrivals) >= count, timeout_s=timeout_s)

    async def __aenter__(self) -> Sink:
        """Listen on `port`, on a free one where it is 0."""
        server = web.Server(self._answer, access_log=None)
        runner = web.ServerRunner(server)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port, backlog=4096)
        await site.start()
        self.port = runner.addresses[0][1]
        self._runner = runner
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection."""
        self._released.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        at = time.time_ns() / 1e6
        body = await request.read()
        self.arrivals.append(
            Arrival(
                at=at,
                method=request.method,
                path=request.path,
                query=request.query_string,
                headers=dict(request.headers),
                raw_headers=tuple((k.decode(), v.decode("utf-8", "replace")) for k, v in request.raw_headers),
                body=body,
            )
        )
        self._seen[request.path] += 1
        self._changed.set()
        return await self._play(request.path, at)

    async def _play(self, path: str, at: float) -> web.StreamResponse:
        parts = path.strip("/").split("/")
        match parts:
            case ["status", status, *_]:
                return web.Response(status=int(status))
            case ["flaky" | "hook-flaky", failures, *_]:
                return web.Response(status=500 if self._seen[path] <= int(failures) else 200)
            case ["slow", milliseconds, *_]:
                await asyncio.sleep((at + int(milliseconds)) / 1000 - time.time())
            case ["hang", *_]:
                await self._released.wait()
            case ["hang-once", *_] if self._seen[path] == 1:
                await self._released.wait()
            case ["retry-after", seconds, *_] if self._seen[path] == 1:
                return web.Response(status=429, headers={"Retry-After": seconds})
            case ["snooze", seconds, *_] if self._seen[path] == 1:
                return web.Response(headers={"Fliq-Snooze": seconds})
            case ["told", *_] if self._seen[path] % 5 == 1:
                return web.Response(status=500)
            case ["enough", *_]:
                return web.Response(status=500, headers={"Fliq-Retry": "no"})
            case ["echo", *_]:
                last = self.arrivals[-1]
                told = f"{last.query} {last.headers} {last.body.decode()}"
                return web.Response(status=500, text=told, headers={"X-Echo": last.query})
            case ["redirect", *_]:
                return web.Response(status=302, headers={"Location": f"{self.url}/redirected"})
            case _:
                pass
        return web.Response(text="ok")
