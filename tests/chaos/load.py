"""
Load: a seeded client that does what users do, as fast as one likes, and writes down what it was told.

Each story is one job's life as its user lives it: created, perhaps read, perhaps cancelled just when it fires. A request that ends
in a timeout, a reset or a 5xx is `info`: nobody knows. Posts with a key are repeated until they are answered, as the contract
invites; others are not. Everything is bounded: stories at a time, seconds per request, repeats.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections.abc import Callable
from typing import Any, Final

import aiohttp

from tests.chaos.history import Operation, Plan, SchedulePlan
from tests.fakes.running import TOKEN

REQUEST_S: Final = 5.0
REPEAT_S: Final = 0.1
REPEATS_MAX: Final = 200
STORIES_MAX: Final = 200
# What becomes of a job, and how often.
FATES: Final = {"plain": 30, "slow": 15, "flaky": 12, "failing": 5, "keyed": 13, "cancel": 20, "bad": 5}


def now_ms() -> float:
    """Return the instant, ms since 1970 with fractions: the clock of the sink."""
    return time.time_ns() / 1e6


def rfc3339(ms: float) -> str:
    """Return an instant as the API takes it."""
    seconds, rest = divmod(int(ms), 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:03d}Z"


class Load:
    """
    Stories told to the Fliq at *url*, with targets at *sink_url*.

    What was wanted is in `plans` and `schedules`, what was answered in `operations`.
    """

    def __init__(self, url: str, sink_url: str, *, seed: int, label: str = "") -> None:
        self.plans: dict[str, Plan] = {}
        self.schedules: dict[str, SchedulePlan] = {}
        self.operations: list[Operation] = []
        self._url = url
        self._sink_url = sink_url
        self._draw = random.Random(seed)
        self._label = label or f"s{seed}"
        self._numbers = itertools.count(1)
        self._stories: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Load:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=128),
            timeout=aiohttp.ClientTimeout(total=REQUEST_S),
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        for story in self._stories:
            story.cancel()
        await asyncio.gather(*self._stories, return_exceptions=True)
        assert self._session is not None
        await self._session.close()

    async def storm(self, *, per_s: float, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Begin *per_s* stories a second, for *seconds* or *until* something is so."""
        begun_at = time.monotonic()
        for number in itertools.count(1):
            if until() or number > per_s * seconds:
                return
            if len(self._stories) < STORIES_MAX:
                self.begin(self._draw.choices(list(FATES), list(FATES.values()))[0])
            await asyncio.sleep(max(0.0, begun_at + number / per_s - time.monotonic()))

    def begin(self, fate: str) -> None:
        """Begin one story."""
        name = f"{self._label}-{next(self._numbers)}-{fate}"
        story = asyncio.create_task(self._story(name, fate, random.Random(self._draw.random())))
        self._stories.add(story)
        story.add_done_callback(self._stories.discard)

    async def settle(self, *, timeout_s: float = 30.0) -> None:
        """Return when every story has ended; raise what went wrong in one."""
        async with asyncio.timeout(timeout_s):
            await asyncio.gather(*self._stories)

    async def every_minute(self, name: str) -> None:
        """Create a schedule that ticks at every full minute."""
        self.schedules[name] = SchedulePlan(name=name)
        body = {"url": f"{self._sink_url}/ok/{name}", "cron": "* * * * *", "body": name}
        await self._do("create_schedule", name, "POST", "/v1/schedules", body)

    def note_schedule(self, name: str, schedule_id: str, *, invoked_at: float, first_at: float) -> None:
        """Note a schedule that was made past the API."""
        self.schedules[name] = SchedulePlan(name=name, first_at=first_at)
        self.operations.append(
            Operation(
                kind="create_schedule",
                name=name,
                invoked_at=invoked_at,
                returned_at=now_ms(),
                outcome="ok",
                id=schedule_id,
            )
        )

    async def _story(self, name: str, fate: str, draw: random.Random) -> None:
        failures = {"flaky": draw.randint(1, 2), "failing": 9}.get(fate, 0)
        retries = {"flaky": 2, "failing": 1}.get(fate, 0)
        ahead_ms = -5_000.0 if fate == "bad" else draw.uniform(100, 900)
        path = {"slow": f"slow/{draw.choice((50, 200, 400))}", "flaky": f"flaky/{failures}", "failing": "status/503"}
        plan = Plan(
            name=name,
            fire_at=float(int(now_ms() + ahead_ms)),
            max_retries=retries,
            failure_count=failures,
            key=f"key-{name}" if fate == "keyed" else None,
            has_webhook=draw.random() < 0.5,
        )
        self.plans[name] = plan
        body: dict[str, Any] = {
            "url": f"{self._sink_url}/{path.get(fate, 'ok')}/{name}",
            "scheduled_at": rfc3339(plan.fire_at),
            "max_retries": retries,
            "body": name,
        }
        if plan.has_webhook:
            body["webhook_url"] = f"{self._sink_url}/hook/{name}"
        if plan.key is not None:
            body["idempotency_key"] = plan.key
            await asyncio.gather(*[self._create_with_key(name, body) for _ in range(draw.randint(1, 3))])
            return
        created = await self._do("create", name, "POST", "/v1/jobs", body)
        if created.id is None:
            return
        if draw.random() < 0.3:
            await self._do("read", name, "GET", f"/v1/jobs/{created.id}", job_id=created.id)
        if fate == "cancel":
            at = plan.fire_at + draw.uniform(-180, 40)
            await asyncio.sleep(max(0.0, (at - now_ms()) / 1000))
            await self._cancel(name, created.id)
        if draw.random() < 0.2:
            await asyncio.sleep(draw.uniform(0, 1))
            await self._do("read", name, "GET", f"/v1/jobs/{created.id}", job_id=created.id)

    async def _create_with_key(self, name: str, body: dict[str, Any]) -> None:
        for _ in range(REPEATS_MAX):
            if (await self._do("create", name, "POST", "/v1/jobs", body)).outcome != "info":
                return
            await asyncio.sleep(REPEAT_S)
        raise AssertionError(f"{name}: the post with a key was never answered")

    async def _cancel(self, name: str, job_id: str) -> None:
        for _ in range(REPEATS_MAX):
            if (await self._do("cancel", name, "DELETE", f"/v1/jobs/{job_id}", job_id=job_id)).outcome != "info":
                return
            await asyncio.sleep(REPEAT_S)
        raise AssertionError(f"{name}: the cancel was never answered")

    async def _do(
        self,
        kind: str,
        name: str,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        job_id: str | None = None,
    ) -> Operation:
        """Send one request and write down how it ended."""
        assert self._session is not None
        invoked_at = now_ms()
        status: int | None = None
        answer: dict[str, Any] = {}
        try:
            data = None if body is None else json.dumps(body).encode()
            async with self._session.request(method, self._url + path, data=data) as response:
                text = await response.read()
                status, answer = response.status, json.loads(text) if text else {}
        except (aiohttp.ClientError, TimeoutError, OSError):
            pass  # whether it happened is not known: that is what `info` says
        outcome = "info" if status is None or status >= 500 else "ok" if status < 300 else "fail"
        operation = Operation(
            kind=kind,  # type: ignore[arg-type]
            name=name,
            invoked_at=invoked_at,
            returned_at=now_ms(),
            outcome=outcome,  # type: ignore[arg-type]
            status=status,
            id=job_id or answer.get("id"),
            seen=answer.get("status") if kind == "read" and outcome == "ok" else None,
        )
        self.operations.append(operation)
        return operation
