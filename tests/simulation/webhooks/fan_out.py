"""A fan-out reader with everything around it in memory, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from libs.domain.endpoints.endpoint import Endpoint, EndpointConfig, Filter
from libs.events import JobScheduled, Response
from libs.events.ids import is_id, new_endpoint_id
from libs.following.partition_reader import ReaderContext
from libs.log.memory import MemoryLog
from libs.sealing.keyring import NO_SEALING
from services.webhooks.fan_out.directory import GAP_MS
from services.webhooks.fan_out.fan_outs import FanOuts
from services.webhooks.fan_out.ports import FanOutPorts
from tests.fakes.control.endpoints import FakeEndpoints
from tests.fakes.control.folded_jobs import FoldedJobs
from tests.fakes.partition import FoldedTables, Owner, events_of
from tests.fakes.targets import Tally
from tests.simulation.manual_clock import ManualClock

URL = "https://example.com/hook"


class CountedLog(MemoryLog):
    """A log that counts how often it is followed; the fold of the tables only looks what is there."""

    reads = 0

    async def read(self, partition, start, *, max_records=500, wait_s=0.0):  # type: ignore[no-untyped-def]
        self.reads += wait_s > 0
        return await super().read(partition, start, max_records=max_records, wait_s=wait_s)


class Harness:
    """The fan-out of partition 0, its owner, and the endpoints of all accounts."""

    def __init__(self, log: CountedLog, clock: ManualClock) -> None:
        self.log = log
        self.clock = clock
        self.tables = FoldedTables(log)
        self.jobs = FoldedJobs(self.tables)
        self.endpoints = FakeEndpoints()
        self.owner = Owner(log)
        self.tally = Tally()
        self._tasks: list[asyncio.Task[None]] = []
        self.fan_outs: FanOuts | None = None
        self.keyring = NO_SEALING

    async def begin(self) -> None:
        """Begin a life of the service."""
        context = ReaderContext("webhooks", self.log, self.clock, self.tally, 0)
        ports = FanOutPorts(self.endpoints, self.jobs, self.jobs, keyring=self.keyring)
        self.fan_outs = FanOuts(context, ports, self.tables, meter=self.tally)
        self._tasks = [asyncio.create_task(each) for each in self.fan_outs.loops().values()]
        self.fan_outs.gained(0)
        await self.settle()

    async def die(self) -> None:
        """End the life as a crash would: nothing is saved."""
        if self.fan_outs is not None:
            kept, self.jobs.saved = self.jobs.saved, {}
            await self.fan_outs.lost(0)
            self.jobs.saved = kept
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.fan_outs = None

    async def settle(self) -> None:
        """Let a look at the endpoints and what follows it happen."""
        await self.clock.settle(60)
        for _ in range(2):
            await self.clock.advance(GAP_MS)
            await self.clock.settle(60)

    async def pass_time(self, ms: int) -> None:
        """Let *ms* pass, a second at a time."""
        for _ in range(ms // 1_000):
            await self.clock.advance(1_000)
            await self.settle()

    async def endpoint(
        self, *events: str, account: str = "default", wanted: Filter | None = None, include_response: bool = False
    ) -> Endpoint:
        """Make an endpoint that asks for *events*."""
        number = len(self.endpoints.table.by_id)
        made = Endpoint(
            endpoint_id=new_endpoint_id(self.clock.now(), 0, account, number.to_bytes(4, "big")),
            account=account,
            config=EndpointConfig(url=URL, events=events, filter=wanted, include_response=include_response),
            version=1,
            created_at=self.clock.now(),
            changed_at=self.clock.now(),
        )
        assert await self.endpoints.add(made, "whsec_" + "C" * 32)
        return made

    async def ended_job(
        self, status: str = "failed", *, response: Response | None = None, **fields: object
    ) -> JobScheduled:
        """Append a job that ends now; *response* is what was kept of the answer to its attempt."""
        job = await self.owner.schedule(self.clock.now(), **fields)  # type: ignore[arg-type]
        await self.owner.finish(job, status=status, response=response)
        await self.settle()
        return job

    async def deliveries(self) -> list[JobScheduled]:
        """Return the jobs that tell an endpoint, in the order of the log, each once."""
        ledger: dict[str, JobScheduled] = {}
        for each in await self.facts():
            ledger.setdefault(each.job_id, each)
        return list(ledger.values())

    async def facts(self) -> list[JobScheduled]:
        """Return every record of such a job."""
        found = await events_of(self.log, 0, JobScheduled)
        return [each for each in found if isinstance(each, JobScheduled) and is_id(each.account, "whe")]

    async def told(self) -> list[tuple[str, str | None]]:
        """Return event and job of each delivery."""
        return [(told_in(each)["type"], told_in(each)["data"].get("job_id")) for each in await self.deliveries()]


def told_in(delivery: JobScheduled) -> dict[str, Any]:
    """Return what a delivery in the standard format says."""
    return dict(json.loads(delivery.spec.body or ""))


@asynccontextmanager
async def harness() -> AsyncIterator[Harness]:
    """Make a harness whose log is started and whose owner has claimed; stop everything at the end."""
    clock = ManualClock()
    log = CountedLog(partitions=1, clock=clock)
    await log.start()
    made = Harness(log, clock)
    await made.owner.take_over()
    try:
        yield made
    finally:
        await made.die()
        await log.stop()
