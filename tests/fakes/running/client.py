"""A small client of the API, and the tokens and instants that it speaks of."""

from __future__ import annotations

import json
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import aiohttp

from tests.fakes.until import until

TRIES = 20
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def make_token(secret: str) -> str:
    """Return the token whose 30 random characters are *secret*, as the contract spells it, without Fliq's own code."""
    assert len(secret) == 30
    checksum, digits = zlib.crc32(secret.encode()), ""
    while checksum:
        checksum, digit = divmod(checksum, 62)
        digits = BASE62[digit] + digits
    return "fliq_sk_" + secret + digits.rjust(6, "0")


TOKEN = make_token("defaultaccount0000000000000001")
OTHER_TOKEN = make_token("otheraccount000000000000000002")


def in_seconds(seconds: float) -> str:
    """Return the instant so far ahead as the API takes it."""
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def instant_ms(text: str) -> float:
    """Return an instant of the API as ms since 1970."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000


class Client:
    """Talks to the API with one token; answers are (status, JSON body or None, headers)."""

    def __init__(self, url: str, token: str | None = TOKEN) -> None:
        self.url = url
        self.token = token
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=256), timeout=aiohttp.ClientTimeout(total=30)
        )

    async def close(self) -> None:
        await self._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        data: bytes | None = None,
    ) -> tuple[int, Any, dict[str, str]]:
        """Send one request; *body* is sent as JSON, *data* as it is."""
        sent = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        async with self._session.request(method, self.url + path, data=data, headers=sent | (headers or {})) as answer:
            text = await answer.read()
            return answer.status, json.loads(text) if text else None, dict(answer.headers)

    async def create(self, url: str, at: float | str, **fields: Any) -> dict[str, Any]:
        """
        Create a job *at* so many seconds ahead, or at an instant; returns the job.

        An instant so many seconds ahead may have passed by the time the request is read, on a machine that is busy with
        something else: then it is asked for anew.
        """
        for _ in range(TRIES):
            when = at if isinstance(at, str) else in_seconds(at)
            status, job, _ = await self.call("POST", "/v1/jobs", {"url": url, "scheduled_at": when, **fields})
            if status != 400 or isinstance(at, str) or job["error"]["code"] != "invalid_scheduled_at":
                break
        assert status == 201, (status, job)
        return job  # type: ignore[no-any-return]

    async def job(self, job_id: str) -> dict[str, Any]:
        status, job, _ = await self.call("GET", f"/v1/jobs/{job_id}")
        assert status == 200, (status, job)
        return job  # type: ignore[no-any-return]

    async def wait_status(self, job_id: str, *statuses: str, timeout_s: float = 15.0) -> dict[str, Any]:
        """Return the job when its status is one of *statuses* (terminal ones when none is named)."""
        wanted = statuses or ("success", "failed", "cancelled")
        seen: list[dict[str, Any]] = []

        async def arrived() -> dict[str, Any] | None:
            seen[:] = [await self.job(job_id)]
            return seen[0] if seen[0]["status"] in wanted else None

        found = await until(arrived, within_s=timeout_s, saying=lambda: f"{seen[0]} is all after {timeout_s} s")
        assert found is not None
        return found
