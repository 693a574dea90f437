"""
Two hours in which an endpoint is down, while fan-out and dispatcher are killed at each of their crash points, over and over.

The deliveries are jobs: their decisions are those of the scheduler (libs/domain/jobs/decisions.py), and the dispatcher makes them.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from libs.domain.endpoints.endpoint import Endpoint, EndpointConfig, Ordering
from libs.domain.job import JobState
from libs.domain.jobs.decisions import decide, owed_at
from libs.events import JobScheduled, Spec
from libs.events.ids import delivery_id, new_endpoint_id, new_job_id, told_endpoint
from libs.events.retry_policy import RetryPolicy
from libs.following.partition_reader import ReaderContext
from services.dispatcher import attempt_calls
from services.dispatcher import reader as due_reader
from services.webhooks.fan_out import directory
from services.webhooks.fan_out import reader as fan_out_reader
from services.webhooks.fan_out.fan_outs import FanOuts
from services.webhooks.fan_out.ports import FanOutPorts
from tests.fakes import events
from tests.fakes.control.folded_jobs import FoldedJobs
from tests.simulation.dispatcher.harness import HOST, Harness, harness
from tests.simulation.webhooks.test_two_hours import Killed, Killer
from tests.simulation.webhooks.test_webhook_retries import answer

HOOK = "http://hooks.example"
POINTS = (
    *("dispatcher.after_snapshot", "dispatcher.before_send", "dispatcher.after_send", "dispatcher.after_append"),
    *("webhooks.after_fan_out", "webhooks.before_fan_out_save"),
)
RETRY = RetryPolicy(max_retries=20, delay_ms=60_000, max_delay_ms=900_000)
BASE_S = 30.0
STEP_MS = 30_000
DOWN_STEPS = 2 * 3_600_000 // STEP_MS
TRIES = 3  # of each job of the account
ROUNDS_MAX = 40  # of decisions in one step


class House:
    """Fan-out, dispatcher and owner of partition 0: both services begin and die together."""

    def __init__(self, here: Harness) -> None:
        self.here = here
        self.jobs = FoldedJobs(here.tables)
        self._fan_outs: FanOuts | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._events: dict[str, tuple[str, int]] = {}

    async def endpoint(self, ordering: Ordering) -> Endpoint:
        """Make an endpoint that asks for everything."""
        now = self.here.clock.now()
        endpoint_id = new_endpoint_id(now, 0, "default", b"only")
        config = EndpointConfig(url=f"{HOOK}/me", events=("*",), retry=RETRY, ordering=ordering)
        made = Endpoint(
            endpoint_id=endpoint_id, account="default", config=config, version=1, created_at=0, changed_at=0
        )
        assert await self.here.endpoints.add(made, "whsec_" + "C" * 32)
        self.here.tables.secrets[endpoint_id] = ("whsec_" + "C" * 32,)
        return made

    async def fail_a_job(self, number: int) -> str:
        """Ask for a job whose target fails it."""
        now = self.here.clock.now()
        job = events.asked(
            new_job_id(now, 0, number.to_bytes(8, "big")),
            now,
            account="default",
            spec=Spec(url=f"{HOST}/{number}"),
            max_retries=TRIES - 1,
        )
        await self.here.owner.append(job)
        return job.job_id

    async def begin(self) -> None:
        """Begin a life of the services."""
        here = self.here
        context = ReaderContext("webhooks", here.log, here.clock, here.tally, 0)
        ports = FanOutPorts(here.endpoints, self.jobs, self.jobs)
        self._fan_outs = FanOuts(context, ports, here.tables, meter=here.tally)
        self._tasks = [asyncio.create_task(each) for each in self._fan_outs.loops().values()]
        self._fan_outs.gained(0)
        await here.begin_anew()

    async def die(self) -> None:
        """End the life as a crash would: nothing is saved."""
        kept, self.jobs.saved = self.jobs.saved, {}
        if self._fan_outs is not None:
            with suppress(Killed):  # it saves at its end, which the dead do not
                await self._fan_outs.lost(0)
        self.jobs.saved = kept
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.here.die()

    async def begin_anew(self) -> None:
        await self.begin()

    async def step(self, ms: int) -> None:
        """Let *ms* pass and decide all that is owed then."""
        await self.here.clock.advance(ms)
        for _ in range(ROUNDS_MAX):
            now = self.here.clock.now()
            states = (await self.here.tables.fold(0)).states.of(JobState).values()
            owed = [each for each in states if (at := owed_at(each, 0)) is not None and at <= now]
            if not owed:
                return
            for state in owed:
                await self.here.owner.decide(decide(state, now, 0.5, BASE_S))
            await self.here.clock.advance(1_000)

    async def told(self) -> dict[str, tuple[str, int]]:
        """Return of which job and which of its events each delivery tells: an attempt by its number, the end last."""
        for each in await self.here.facts(JobScheduled):
            if told_endpoint(each.account) is not None:
                data = json.loads(each.spec.body or "")["data"]
                number = data["attempt_num"] if "execution_id" in data else TRIES + 1
                self._events[delivery_id(each.job_id)] = data["job_id"], number
        return self._events


@asynccontextmanager
async def house(monkeypatch: pytest.MonkeyPatch, killer: Killer) -> AsyncIterator[House]:
    """Make a house whose processes *killer* ends."""
    for module in (attempt_calls, due_reader, fan_out_reader):
        monkeypatch.setattr(module, "crash_at", killer.crash_at)
    monkeypatch.setattr(directory, "GAP_MS", 1_000)  # else the clock stops twenty times a second, for two hours
    async with harness() as here:
        made = House(here)
        try:
            yield made
        finally:
            killer.has_struck, killer.armed = False, None
            await made.die()


@pytest.mark.parametrize("ordering", ["job", "none"])
async def test_every_event_arrives_and_those_of_a_job_in_their_order(
    monkeypatch: pytest.MonkeyPatch, ordering: Ordering
) -> None:
    """All under one id each. In order, no later event of a job is sent before an earlier one was taken."""
    killer = Killer(POINTS)
    async with house(monkeypatch, killer) as here:
        await here.endpoint(ordering)
        egress = here.here.egress
        egress.answers[HOST], egress.answers[HOOK] = answer(500), answer(503)
        await here.begin()
        killer.armed = POINTS[0]
        job_ids = []
        for number in range(DOWN_STEPS):
            if number % (DOWN_STEPS // 4) == 0:
                job_ids.append(await here.fail_a_job(number))
            await killer.live_on(here)
            await here.step(STEP_MS)
        down_count = len(egress.calls)
        del egress.answers[HOOK]
        killer.armed = None
        await killer.live_on(here)
        killer.armed = None
        for _ in range(200):
            await here.step(STEP_MS)

        print(dict(killer.kills), f"{down_count} calls while it was down, {len(egress.calls)} in all")
        assert min(killer.kills[point] for point in POINTS) >= 2
        told = await here.told()
        assert Counter(told.values()) == Counter((job, n) for job in job_ids for n in range(1, TRIES + 2))
        sent = [told[str(call.header("webhook-id"))] for call in egress.calls if call.request.url.startswith(HOOK)]
        taken = [
            told[str(call.header("webhook-id"))]
            for call in egress.calls[down_count:]
            if call.request.url.startswith(HOOK)
        ]
        assert sorted(taken) == sorted(told.values())
        is_in_order = all(
            [n for job, n in sent if job == each] == sorted(n for job, n in sent if job == each) for each in job_ids
        )
        assert is_in_order is (ordering == "job")
