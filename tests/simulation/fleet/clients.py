"""
Clients: what users do, and what they were told. A story is one job's or schedule's life as its user lives it.

A request that ends in a timeout, a reset or a 5xx is `info`: nobody knows. Posts with a key, cancels and changes of schedules are
repeated until they are answered; plain posts are not.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import orjson

from libs.domain.instants import rfc3339
from tests.chaos.judging.history import Operation, Plan
from tests.simulation.fleet.chronicle import Chronicle
from tests.simulation.fleet.loop import SimLoop
from tests.simulation.fleet.node import Node
from tests.simulation.fleet.stories.labels import asked
from tests.simulation.fleet.stories.schedules import (
    MOVES_MAX,
    MOVING,
    OFTENER,
    RESUMES,
    RULES,
    RUN_MS,
    ScheduleOp,
    ScheduleStory,
    before_a_tick_of_both_s,
)

REQUEST_S: Final = 5.0
REPEATS_MAX: Final = 150
SKEW_MS: Final = 1_000  # a range that ends now for its user may end in the future for the API that is asked
FATES: Final = {
    "plain": 22,
    "slow": 8,
    "flaky": 14,
    "failing": 6,
    "hang": 4,
    "keyed": 14,
    "cancel": 18,
    "far": 8,
    "bad": 2,
    "batch": 4,
    "once": 12,
    "singleton": 5,
    "waiting": 5,
}
Body = Mapping[str, Any] | None
KEYS: Final = {"keyed": "idempotency_key", "singleton": "singleton_key", "waiting": "waiting_key"}
HELD_KEYS: Final = ("singleton", "waiting")  # held by a job, not for ever


class Clients:
    """All users."""

    def __init__(
        self, loop: SimLoop, chronicle: Chronicle, nodes: Sequence[Node], tokens: dict[str, str], *, seed: str
    ) -> None:
        """Talk to those of *nodes* that have an API, with the tokens of the accounts."""
        self.plans: dict[str, Plan] = {}
        self.operations: list[Operation] = []
        self.schedules: dict[str, ScheduleStory] = {}
        self.violations: list[str] = []
        self.ends_at = 0.0
        self.far_s = 40.0  # for how long the jobs wait that wait long
        self._loop = loop
        self._chronicle = chronicle
        self._apis = [node for node in nodes if "api" in node.roles]
        self._tokens = tokens
        self._draw = random.Random(f"{seed} clients")
        self._seed = seed
        self._stories: list[asyncio.Task[None]] = []

    def tell(self, count: int, schedule_count: int, *, seconds: float) -> None:
        """Begin *count* stories of jobs and *schedule_count* of schedules at random instants of the next *seconds*."""
        self.ends_at = self._loop.time() + seconds
        fates = self._draw.choices(list(FATES), list(FATES.values()), k=count)
        herd_at = self._loop.time() + self._draw.uniform(2, seconds)
        for number, fate in enumerate(fates):
            begins_at = self._draw.uniform(0.5, seconds)
            draw = random.Random(f"{self._seed} story {number}")
            herd = herd_at if draw.random() < 0.25 else None
            self._begin(begins_at, self._story(f"{fate}-{number}", fate, draw, herd))
        for number in range(schedule_count):
            draw = random.Random(f"{self._seed} schedule {number}")
            self._begin(draw.uniform(0.5, 9.0), self._schedule(f"cron-{number}", draw))

    def _begin(self, after_s: float, story: Any) -> None:
        async def wait() -> None:
            await asyncio.sleep(after_s)
            await story

        self._stories.append(self._loop.create_task(wait()))

    async def settle(self) -> None:
        """Return when every story is told; raise what went wrong in one."""
        await asyncio.gather(*self._stories)

    # --- jobs -------------------------------------------------------------------------------------------------------------

    async def _story(self, name: str, fate: str, draw: random.Random, herd_at: float | None) -> None:
        if fate == "batch":
            await self._batch(name, draw)
            return
        account = "default" if draw.random() < 0.75 else "other"
        plan, body = self._job(name, fate, draw, herd_at)
        if plan.key is not None:
            posts = [self._create_with_key(name, body, account, draw) for _ in range(draw.randint(1, 3))]
            await asyncio.gather(*posts)
            if draw.random() < 0.3 and fate not in HELD_KEYS:
                await asyncio.sleep(draw.uniform(0, 6))
                await self._create_with_key(name, body, account, draw)
            return
        created = await self._do("create", name, "POST", "/v1/jobs", body, account, draw)
        if created.id is None:
            return
        if draw.random() < 0.4:
            await self._read(name, created.id, account, draw)
        if fate == "cancel":
            at = (
                (plan.fire_at - self._chronicle.now_exact()) / 1000
                + draw.choice((-3.0, -0.1, -0.05, 0.0))
                + draw.uniform(-0.1, 0.03)
            )
            await asyncio.sleep(max(0.0, at))
            await self._cancel(name, created.id, account, draw)
            if draw.random() < 0.3:
                await self._read(name, created.id, account, draw)
        for _ in range(draw.randint(0, 2)):
            await asyncio.sleep(draw.uniform(0, 4))
            await self._read(name, created.id, account, draw)

    def _job(
        self, name: str, fate: str, draw: random.Random, herd_at: float | None = None
    ) -> tuple[Plan, dict[str, Any]]:
        failures = {"flaky": draw.randint(1, 2), "failing": 9, "hang": 9, "once": 9}.get(fate, 0)
        retries = {"flaky": 2, "failing": draw.randint(0, 2), "hang": draw.randint(0, 1)}.get(fate, 0)
        ahead_s = draw.choice((0.15, 0.5, 1.0, 3.0)) * (0.5 + draw.random())
        if fate in ("far", "once"):
            ahead_s = draw.uniform(5, self.far_s)
        if fate in HELD_KEYS:
            ahead_s = draw.uniform(20, 40)  # every request is answered while the job waits
        if fate == "bad":
            ahead_s = -5.0
        fire_at = self._chronicle.now() + ahead_s * 1000
        if herd_at is not None and fate != "bad":
            fire_at = max(fire_at, float(self._chronicle.now() + int((herd_at - self._loop.time()) * 1000)))
        plan = Plan(
            name=name,
            fire_at=float(int(fire_at)),
            max_retries=retries,
            failure_count=failures,
            key=f"key-{name}" if fate in KEYS else None,
            has_webhook=draw.random() < 0.5,
            has_policy=retries > 0 and draw.random() < 0.5,
        )
        self.plans[name] = plan
        path = {
            "slow": f"slow/{draw.choice((50, 400, 2_500))}",
            "flaky": f"flaky/{failures}",
            "failing": "failing",
            "hang": "hang",
            "once": "failing",
        }
        body: dict[str, Any] = {
            "url": f"http://t{draw.randint(1, 2)}.example/{path.get(fate, 'ok')}/{name}",
            "scheduled_at": rfc3339(int(plan.fire_at)),
            "max_retries": retries,
            "body": name,
            **asked(name),
        }
        if fate == "hang":
            body["timeout_seconds"] = 1
        if fate == "once":  # its policy forbids what `max_retries` alone allows
            del body["max_retries"]
            body["retry"] = {"max_retries": 2, "retry_on": ["network"]}
        elif plan.has_policy:
            body["retry"] = {"max_retries": retries, "max_elapsed_seconds": 86_400}
        elif draw.random() < 0.1:
            body["expires_in_seconds"] = 86_400
        if plan.has_webhook:
            body["webhook_url"] = f"http://t3.example/hook/{name}"
        if plan.key is not None:
            body[KEYS[fate]] = plan.key
        return plan, body

    async def _batch(self, name: str, draw: random.Random) -> None:
        names = [f"{name}-{index}" for index in range(draw.randint(2, 5))]
        bodies = [self._job(each, draw.choice(("plain", "flaky", "far")), draw)[1] for each in names]
        invoked_at = self._chronicle.now_exact()
        status, answer = await self._send("POST", "/v1/jobs/batch", {"jobs": bodies}, "default", draw)
        for index, each in enumerate(names):
            result = (answer or {}).get("results", [{}] * len(names))[index] if status == 200 else {}
            outcome = "ok" if "job" in result else "info" if status is None or status >= 500 else "fail"
            self._note(
                "create", each, invoked_at, outcome, 201 if "job" in result else status, result.get("job", {}).get("id")
            )

    async def _create_with_key(self, name: str, body: dict[str, Any], account: str, draw: random.Random) -> None:
        async def post() -> bool:
            return (await self._do("create", name, "POST", "/v1/jobs", body, account, draw)).outcome != "info"

        await self._until_answered(f"{name}: the post with a key", post, draw)

    async def _cancel(self, name: str, job_id: str, account: str, draw: random.Random) -> None:
        async def cancel() -> bool:
            done = await self._do("cancel", name, "DELETE", f"/v1/jobs/{job_id}", None, account, draw, job_id)
            return done.outcome != "info"

        await self._until_answered(f"{name}: the cancel", cancel, draw)

    async def _until_answered(self, what: str, ask: Callable[[], Awaitable[object]], draw: random.Random) -> None:
        for _ in range(REPEATS_MAX):
            if await ask():
                return
            await asyncio.sleep(draw.uniform(0.05, 0.6))
        self.violations.append(f"unanswered: {what} was never answered")

    async def _read(self, name: str, job_id: str, account: str, draw: random.Random) -> None:
        await self._do("read", name, "GET", f"/v1/jobs/{job_id}", None, account, draw, job_id)

    # --- schedules --------------------------------------------------------------------------------------------------------

    async def _schedule(self, name: str, draw: random.Random) -> None:
        rule = draw.choice(RULES)
        story = self.schedules[name] = ScheduleStory(name=name, rule=rule)
        target = f"slow/{RUN_MS}" if "overlap" in rule else "ok"
        body = {"url": f"http://t1.example/{target}/{name}", "body": name, **rule, **asked(name)}
        if draw.random() < 0.4:
            body["webhook_url"] = f"http://t3.example/hook/{name}"
        made = await self._change(story, "create", "POST", "/v1/schedules", body, draw)
        if made is None:
            return
        schedule_id = made["id"]
        story.ids.append(schedule_id)
        path = f"/v1/schedules/{schedule_id}"
        if (
            draw.random() < 0.7 and "overlap" not in rule and rule is not MOVING
        ):  # jobs of a back-fill run beside those of ticks
            await asyncio.sleep(self._just_before_a_tick_s(draw) + draw.uniform(2.0, 6.0))
            until = self._chronicle.now() - SKEW_MS
            # No more than the last tick: one of before, which an outage left out, would be called a minute after its instant.
            since, now = rfc3339(max(int(story.ops[0].invoked_at) + 1, until - 44_000)), rfc3339(until)
            if since < now:
                fields = {"since": since, "before": now, "pace_seconds": 0.1}
                await self._surely(story, "backfill", "POST", f"{path}/backfill", draw, fields)
        for count in range(MOVES_MAX if rule is MOVING else 0):
            await asyncio.sleep(before_a_tick_of_both_s(self._chronicle.now_exact(), draw))
            to = (OFTENER, MOVING)[count % 2]
            if self._loop.time() > self.ends_at or await self._change(story, "move", "PATCH", path, to, draw) is None:
                break  # one that nobody answered may count at any time: no other follows
        while draw.random() < 0.3 and self._loop.time() < self.ends_at:
            await asyncio.sleep(draw.uniform(0.5, 20) if draw.random() < 0.5 else self._just_before_a_tick_s(draw))
            await self._surely(story, "pause", "POST", f"{path}/pause", draw)
            await asyncio.sleep(draw.uniform(0.5, 15))
            kind = draw.choice(RESUMES)
            await self._surely(story, kind, "POST", f"{path}/resume", draw, {"catch_up": kind == "catch_up"})
        while draw.random() < 0.5 and self._loop.time() < self.ends_at:
            await asyncio.sleep(draw.uniform(0.5, 20) if draw.random() < 0.5 else self._just_before_a_tick_s(draw))
            retries, story.max_runs = draw.randint(0, 20), draw.randint(10**6, 10**9)
            # All calls of a run that times out fail: with more retries it would never be at its end.
            story.max_retries = min(retries, 2) if "timeout_seconds" in rule else retries
            fields = {"max_retries": story.max_retries}, {"max_runs": story.max_runs}
            await asyncio.gather(*[self._surely(story, "patch", "PATCH", path, draw, each) for each in fields])
        await asyncio.sleep(max(self.ends_at - self._loop.time(), 0) * draw.choice((0.5, 1.0, 1.0)))
        await self._surely(story, "delete", "DELETE", path, draw)

    def _just_before_a_tick_s(self, draw: random.Random) -> float:
        """Return how long it is until a moment just before a full minute."""
        return (60.0 - draw.uniform(0.1, 2.0) - self._chronicle.now_exact() / 1000) % 60.0

    async def _surely(
        self,
        story: ScheduleStory,
        kind: str,
        method: str,
        path: str,
        draw: random.Random,
        body: dict[str, Any] | None = None,
    ) -> None:
        async def change() -> bool:
            return await self._change(story, kind, method, path, body, draw) is not None

        await self._until_answered(f"{story.name}: {kind}", change, draw)

    async def _change(
        self, story: ScheduleStory, kind: str, method: str, path: str, body: Body, draw: random.Random
    ) -> dict[str, Any] | None:
        invoked_at = self._chronicle.now_exact()
        status, answer = await self._send(method, path, body, "default", draw)
        status = 204 if (kind, status) == ("delete", 404) else status  # an earlier try did it
        if kind == "backfill" and status == 400 and any(node.skew_ms for node in self._apis):
            status = None  # to an API whose clock is behind the end of the back-fill lies in the future: it is asked for again
        outcome = "info" if status is None or status >= 500 else "ok" if status < 300 else "fail"
        if outcome == "fail":
            self.violations.append(f"schedule_refused: {story.name}: {kind} was answered {status} {answer}")
        returned_at = self._chronicle.now_exact()
        op = ScheduleOp(kind=kind, invoked_at=invoked_at, returned_at=returned_at, outcome=outcome, asked=body)
        story.ops.append(op)
        return None if outcome == "info" else (answer or {})

    def may_be_late(self, name: str) -> bool:
        """Say whether the jobs of the schedule *name* may wait: for each other, or for the end of a pause."""
        story = self.schedules.get(name)
        return story is not None and ("overlap" in story.rule or any(op.kind == "catch_up" for op in story.ops))

    async def end(self, schedule_id: str) -> None:
        """Delete a schedule that its user does not know of."""
        node = next(each for each in self._apis if each.app is not None)
        future = node.request("DELETE", f"/v1/schedules/{schedule_id}", b"", self._tokens["default"])
        future.add_done_callback(_look)
        await asyncio.wait([future], timeout=REQUEST_S)

    # --- requests ---------------------------------------------------------------------------------------------------------

    async def _do(
        self,
        kind: str,
        name: str,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        account: str,
        draw: random.Random,
        job_id: str | None = None,
    ) -> Operation:
        invoked_at = self._chronicle.now_exact()
        status, answer = await self._send(method, path, body, account, draw)
        outcome = "info" if status is None or status >= 500 else "ok" if status < 300 else "fail"
        if status == 500:
            self.violations.append(f"internal_error: {method} {path} was answered 500")
        seen = (answer or {}).get("status") if kind == "read" and outcome == "ok" else None
        return self._note(kind, name, invoked_at, outcome, status, job_id or (answer or {}).get("id"), seen)

    def _note(
        self,
        kind: Any,
        name: str,
        invoked_at: float,
        outcome: Any,
        status: int | None,
        job_id: str | None,
        seen: str | None = None,
    ) -> Operation:
        returned_at = self._chronicle.now_exact()
        operation = Operation(
            kind=kind,
            name=name,
            invoked_at=invoked_at,
            returned_at=returned_at,
            outcome=outcome,
            status=status,
            id=job_id,
            seen=seen,
        )
        self.operations.append(operation)
        self._chronicle.note(f"client {kind} {name} -> {outcome} {status} {job_id or ''} {seen or ''}")
        return operation

    async def _send(
        self, method: str, path: str, body: Body, account: str, draw: random.Random
    ) -> tuple[int | None, dict[str, Any] | None]:
        node = draw.choice(self._apis)
        await asyncio.sleep(draw.uniform(0.0002, 0.002))
        future = node.request(method, path, b"" if body is None else orjson.dumps(body), self._tokens[account])
        future.add_done_callback(_look)
        done, _ = await asyncio.wait([future], timeout=REQUEST_S)
        if not done or future.exception() is not None:
            return None, None
        status, text, is_stale = future.result()
        await asyncio.sleep(draw.uniform(0.0002, 0.002))
        answer = orjson.loads(text) if text else None
        if is_stale:
            answer = {**answer, "status": None}  # what it shows is a state that was
        return status, answer

    async def list_all(self, account: str, node: Node) -> list[str]:
        """Walk the list of an account's jobs to its end."""
        ids: list[str] = []
        cursor = ""
        while True:
            status, text, _ = await node.request("GET", f"/v1/jobs?limit=20{cursor}", b"", self._tokens[account])
            page = orjson.loads(text)
            if status != 200:
                raise RuntimeError(f"the list was answered {status}: {page}")
            ids += [each["id"] for each in page["jobs"]]
            if page["next_cursor"] is None:
                return ids
            cursor = f"&cursor={page['next_cursor']}"


def _look(future: asyncio.Future[Any]) -> None:
    """Look at an error, so that it does not count as unnoticed when the caller has gone away."""
    if not future.cancelled():
        future.exception()
