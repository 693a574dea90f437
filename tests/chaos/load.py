"""
Load: a seeded client that does what users do, as fast as one likes, and writes down what it was told.

Each story is one job's life as its user lives it: created, perhaps read, perhaps cancelled just when it fires. A request that ends
in a timeout, a reset or a 5xx is `info`: nobody knows. Posts with a key are repeated until they are answered, as the contract
invites; others are not. Everything is bounded: stories at a time, seconds per request, how long a request is repeated.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import aiohttp

from tests.chaos.judging.history import Operation, Plan, SchedulePlan
from tests.fakes.running.topologies import TOKEN

REQUEST_S: Final = 5.0
REPEAT_S: Final = 0.1
PATIENCE_S: Final = 30.0
STORIES_MAX: Final = 200
BATCH: Final = 5
FAR_S: Final = 8.0
NEVER_MS: Final = 10**14  # from 1970, or between two ticks: later than any test
# What becomes of a job, and how often.
FATES: Final = {"plain": 30, "slow": 15, "flaky": 12, "failing": 5, "keyed": 13, "cancel": 20, "bad": 5}
# The same, with what a longer run has room for: jobs that are due later, and many at once.
ALL_FATES: Final = FATES | {"far": 20, "batch": 4}


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

    Args:
        url: where the API is; or what says where its replicas are just now, of which each request takes one by chance.
        fates: what becomes of a job, and how often.
        patience_s: how long a request is repeated until somebody answers it.
        stories_max: stories at a time; what would be more is not begun.
    """

    def __init__(
        self,
        url: str | Callable[[], Sequence[str]],
        sink_url: str,
        *,
        seed: int,
        label: str = "",
        fates: Mapping[str, int] = FATES,
        patience_s: float = PATIENCE_S,
        stories_max: int = STORIES_MAX,
    ) -> None:
        self.plans: dict[str, Plan] = {}
        self.schedules: dict[str, SchedulePlan] = {}
        self.operations: list[Operation] = []
        self._urls = url if callable(url) else lambda: (url,)
        self._sink_url = sink_url
        self._fates = fates
        self._patience_s = patience_s
        self._stories_max = stories_max
        self._draw = random.Random(seed)
        self._chance = random.Random(
            seed + 1
        )  # of the replicas; apart, so that what is wanted depends on the seed alone
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
            if len(self._stories) < self._stories_max:
                self.begin(self._draw.choices(list(self._fates), list(self._fates.values()))[0])
            await asyncio.sleep(max(0.0, begun_at + number / per_s - time.monotonic()))

    def begin(self, fate: str) -> None:
        """Begin one story."""
        name = f"{self._label}-{next(self._numbers)}-{fate}"
        draw = random.Random(self._draw.random())
        story = asyncio.create_task(self._batch(name, draw) if fate == "batch" else self._story(name, fate, draw))
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

    async def delete_schedule(self, name: str) -> None:
        """Delete a schedule, if its create was answered; until it is deleted."""
        made = next((o for o in self.operations if o.name == name and o.kind == "create_schedule" and o.id), None)
        given_up_at = time.monotonic() + self._patience_s
        while made is not None and time.monotonic() < given_up_at:
            path = f"/v1/schedules/{made.id}"
            if (await self._do("delete_schedule", name, "DELETE", path, job_id=made.id)).outcome != "info":
                return
            await asyncio.sleep(REPEAT_S)

    def note_schedule(self, name: str, schedule_id: str, *, invoked_at: float, first_at: float) -> None:
        """Note a schedule that was made past the API, with a tick at *first_at* and no other one."""
        self.schedules[name] = SchedulePlan(name=name, first_at=first_at, period_ms=NEVER_MS)
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
        body = self._wanted(name, fate, draw)
        plan = self.plans[name]
        if plan.key is not None:
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

    def _wanted(self, name: str, fate: str, draw: random.Random) -> dict[str, Any]:
        """Plan a job and return the request for it."""
        failures = {"flaky": draw.randint(1, 2), "failing": 9}.get(fate, 0)
        retries = {"flaky": 2, "failing": 1}.get(fate, 0)
        ahead_ms = -5_000.0 if fate == "bad" else draw.uniform(100, 900 if fate != "far" else FAR_S * 1000)
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
        return body

    async def _batch(self, name: str, draw: random.Random) -> None:
        """Ask for several jobs in one request; each is answered for itself."""
        names = [f"{name}-{number}" for number in range(BATCH)]
        fates = [draw.choice(("plain", "slow", "bad")) for _ in names]
        wanted = [self._wanted(each, fate, draw) for each, fate in zip(names, fates, strict=True)]
        invoked_at = now_ms()
        status, answer = await self._send("POST", "/v1/jobs/batch", {"jobs": wanted})
        results = answer.get("results") or [{}] * BATCH
        for each, result in zip(names, results, strict=True):
            job_id = (result.get("job") or {}).get("id")
            refused = (result.get("error") or {}).get("code")
            # What is refused for reasons of Fliq's own is no refusal of the job: it may have happened.
            is_final = refused is not None and refused not in ("unavailable", "internal_error")
            outcome = "ok" if job_id else "fail" if is_final or (status is not None and 400 <= status < 500) else "info"
            self.operations.append(
                Operation(
                    kind="create",
                    name=each,
                    invoked_at=invoked_at,
                    returned_at=now_ms(),
                    outcome=outcome,  # type: ignore[arg-type]
                    status=status,
                    id=job_id,
                )
            )

    async def _create_with_key(self, name: str, body: dict[str, Any]) -> None:
        given_up_at = time.monotonic() + self._patience_s
        while time.monotonic() < given_up_at:
            if (await self._do("create", name, "POST", "/v1/jobs", body)).outcome != "info":
                return
            await asyncio.sleep(REPEAT_S)
        raise AssertionError(f"{name}: the post with a key was never answered")

    async def _cancel(self, name: str, job_id: str) -> None:
        given_up_at = time.monotonic() + self._patience_s
        while time.monotonic() < given_up_at:
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
        invoked_at = now_ms()
        status, answer = await self._send(method, path, body)
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

    async def _send(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int | None, dict[str, Any]]:
        """Send one request; the status is None when nobody answered, and then whether it happened is not known."""
        assert self._session is not None
        url = self._chance.choice(self._urls())
        try:
            data = None if body is None else json.dumps(body).encode()
            async with self._session.request(method, url + path, data=data) as response:
                text = await response.read()
                return response.status, json.loads(text) if text else {}
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None, {}
