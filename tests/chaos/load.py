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
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, TypeVar

import aiohttp

from tests.chaos.judging.history import Kind, Operation, Plan, SchedulePlan
from tests.chaos.kinds import jobs, schedules
from tests.fakes.running.topologies import TOKEN

T = TypeVar("T")

REQUEST_S: Final = 5.0
REPEAT_S: Final = 0.1
REPEAT_MAX_S: Final = 0.8  # in an outage all stories ask again, and none is to keep the machine from recovering
PATIENCE_S: Final = 30.0
STORIES_MAX: Final = 200
BATCH: Final = 5
FAR_S: Final = 8.0
NEVER_MS: Final = 10**14  # from 1970, or between two ticks: later than any test
# What becomes of a job, and how often.
FATES: Final = {"plain": 30, "slow": 15, "flaky": 12, "failing": 5, "keyed": 13, "cancel": 20, "bad": 5}
# The same, with what a longer run has room for: jobs that are due later, many at once, and those with rules of their own.
ALL_FATES: Final = FATES | {"far": 20, "batch": 4} | {name: kind.weight for name, kind in jobs.JOB_KINDS.items()}
TOLD: Final = ("job.failed", "job.cancelled")  # of what the endpoint of the account is told


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
        self.shown: dict[str, dict[str, Any]] = {}
        self.is_over: Callable[[], bool] = lambda: True
        self.sink_url = sink_url
        self._urls = url if callable(url) else lambda: (url,)
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
        if fate in jobs.JOB_KINDS:
            self._tell(jobs.tell(self, name, jobs.JOB_KINDS[fate], draw))
        else:
            self._tell(self._batch(name, draw) if fate == "batch" else self._story(name, fate, draw))

    def begin_schedules(self, *, until: Callable[[], bool]) -> None:
        """Begin a schedule of each kind; what is done with them is done *until* something is so."""
        self.is_over = until
        for name, kind in schedules.SCHEDULE_KINDS.items():
            draw = random.Random(self._draw.random())
            self._tell(schedules.tell(self, f"{self._label}-{name}", kind, draw))

    def _tell(self, told: Coroutine[Any, Any, None]) -> None:
        story = asyncio.create_task(told)
        self._stories.add(story)
        story.add_done_callback(self._stories.discard)

    async def settle(self, *, timeout_s: float = 30.0) -> None:
        """Return when every story has ended; raise what went wrong in one."""
        async with asyncio.timeout(timeout_s):
            await asyncio.gather(*self._stories)

    async def every_minute(self, name: str) -> None:
        """Create a schedule that ticks at every full minute."""
        self.schedules[name] = SchedulePlan(name=name)
        body = {"url": f"{self.sink_url}/ok/{name}", "cron": "* * * * *", "body": name}
        await self.do("create_schedule", name, "POST", "/v1/schedules", body)

    async def delete_schedule(self, name: str) -> None:
        """Look at a schedule for the last time and delete it, if its create was answered."""
        made = next((o for o in self.operations if o.name == name and o.kind == "create_schedule" and o.id), None)
        if made is not None and made.id is not None:
            if self.schedules[name].fields is not None:
                await self.show_schedule(name, made.id)
            await self.surely("delete_schedule", name, "DELETE", f"/v1/schedules/{made.id}", job_id=made.id)

    async def show_schedule(self, name: str, schedule_id: str) -> dict[str, Any]:
        """Return the schedule as a GET shows it, and keep it."""

        async def read() -> dict[str, Any] | None:
            status, shown = await self._send("GET", f"/v1/schedules/{schedule_id}", None)
            return None if status is None or status >= 500 else shown

        self.shown[name] = await self._until_answered(f"{name}: the GET", read)
        return self.shown[name]

    async def change_schedule(self, name: str, schedule_id: str, patch: dict[str, Any]) -> None:
        """
        Change a schedule until it is known that it is so.

        Each request names the version that it changes. So one that nobody answered can count no more once there is a newer version.
        """
        invoked_at = now_ms()

        async def change() -> Operation | None:
            shown = await self.show_schedule(name, schedule_id)
            if not patch.items() <= shown.items():
                version = f'"v{shown["version"]}"'
                status, _ = await self._send("PATCH", f"/v1/schedules/{schedule_id}", patch, version)
                if status != 200:
                    return None
            return self._note("change_schedule", name, invoked_at, "ok", 200, schedule_id, asked=patch)

        await self._until_answered(f"{name}: the change", change)

    async def make_endpoint(self) -> None:
        """Have an endpoint told of the ends of jobs that did not go well; it fails each fifth time."""
        retry = {"max_retries": 20, "backoff": "fixed", "delay_seconds": 0.3, "jitter": "none"}
        asked = {"url": f"{self.sink_url}/told", "events": [*TOLD], "retry": retry}
        await self.surely("create_endpoint", "the endpoint", "POST", "/v1/webhooks/endpoints", asked)

    def note_schedule(self, name: str, schedule_id: str, *, invoked_at: float, first_at: float) -> None:
        """Note a schedule that was made past the API, with a tick at *first_at* and no other one."""
        self.schedules[name] = SchedulePlan(name=name, first_at=first_at, period_ms=NEVER_MS)
        self._note("create_schedule", name, invoked_at, "ok", None, schedule_id)

    async def _story(self, name: str, fate: str, draw: random.Random) -> None:
        body = self._wanted(name, fate, draw)
        plan = self.plans[name]
        if plan.key is not None:
            post = ("create", name, "POST", "/v1/jobs", body)
            await asyncio.gather(*[self.surely(*post) for _ in range(draw.randint(1, 3))])
            return
        created = await self.do("create", name, "POST", "/v1/jobs", body)
        if created.id is None:
            return
        if draw.random() < 0.3:
            await self.do("read", name, "GET", f"/v1/jobs/{created.id}", job_id=created.id)
        if fate == "cancel":
            at = plan.fire_at + draw.uniform(-180, 40)
            await asyncio.sleep(max(0.0, (at - now_ms()) / 1000))
            await self.surely("cancel", name, "DELETE", f"/v1/jobs/{created.id}", job_id=created.id)
        if draw.random() < 0.2:
            await asyncio.sleep(draw.uniform(0, 1))
            await self.do("read", name, "GET", f"/v1/jobs/{created.id}", job_id=created.id)

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
            "url": f"{self.sink_url}/{path.get(fate, 'ok')}/{name}",
            "scheduled_at": rfc3339(plan.fire_at),
            "max_retries": retries,
            "body": name,
        }
        if plan.has_webhook:
            body["webhook_url"] = f"{self.sink_url}/hook/{name}"
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
            self._note("create", each, invoked_at, outcome, status, job_id)

    async def surely(self, kind: Kind, name: str, method: str, path: str, *args: Any, **options: Any) -> Operation:
        """Send a request until it is answered."""

        async def ask() -> Operation | None:
            done = await self.do(kind, name, method, path, *args, **options)
            return None if done.outcome == "info" else done

        return await self._until_answered(f"{name}: {kind}", ask)

    async def _until_answered(self, what: str, ask: Callable[[], Awaitable[T | None]]) -> T:
        given_up_at, pause_s = time.monotonic() + self._patience_s, REPEAT_S
        while time.monotonic() < given_up_at:
            if (answer := await ask()) is not None:
                return answer
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, REPEAT_MAX_S)
        raise AssertionError(f"{what} was never answered")

    async def do(
        self,
        kind: Kind,
        name: str,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        job_id: str | None = None,
        asked: Mapping[str, Any] | None = None,
        version: str | None = None,
    ) -> Operation:
        """Send one request and write down how it ended; *version* is the one that it changes."""
        invoked_at = now_ms()
        status, answer = await self._send(method, path, body, version)
        outcome = "info" if status is None or status >= 500 else "ok" if status < 300 else "fail"
        seen = None
        if outcome == "ok" and kind in ("read", "stop"):
            seen = answer.get("status") if kind == "read" else answer.get("ended_by", answer.get("status"))
        return self._note(kind, name, invoked_at, outcome, status, job_id or answer.get("id"), seen=seen, asked=asked)

    def _note(
        self, kind: Any, name: str, invoked_at: float, outcome: Any, status: int | None, job_id: str | None, **more: Any
    ) -> Operation:
        operation = Operation(
            kind=kind,
            name=name,
            invoked_at=invoked_at,
            returned_at=now_ms(),
            outcome=outcome,
            status=status,
            id=job_id,
            **more,
        )
        self.operations.append(operation)
        return operation

    def instant_in(self, seconds: float) -> float:
        """Return the instant in so many seconds, whole ms."""
        return float(int(now_ms() + seconds * 1000))

    def text_of(self, at: float) -> str:
        """Return an instant as the API takes it."""
        return rfc3339(at)

    async def _send(
        self, method: str, path: str, body: dict[str, Any] | None, version: str | None = None
    ) -> tuple[int | None, dict[str, Any]]:
        """Send one request; the status is None when nobody answered, and then whether it happened is not known."""
        assert self._session is not None
        url = self._chance.choice(self._urls())
        try:
            data = None if body is None else json.dumps(body).encode()
            headers = {} if version is None else {"If-Match": version}
            async with self._session.request(method, url + path, data=data, headers=headers) as response:
                text = await response.read()
                return response.status, json.loads(text) if text else {}
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None, {}
