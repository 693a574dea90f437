"""Recovery: an endpoint is sent again what it was told in vain, each delivery once, whoever dies meanwhile."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence

import msgspec
import pytest

from libs.domain.endpoints.delivery import RETRY, delivery_job
from libs.domain.endpoints.endpoint import Endpoint, EndpointConfig
from libs.domain.endpoints.fan_out import Told
from libs.domain.endpoints.recovery import begun, first_id
from libs.domain.endpoints.webhook_event import of_end
from libs.domain.job import JobState, JobStatus, create
from libs.events import JobFinished, JobScheduled, Spec
from libs.events.ids import new_endpoint_id, new_job_id
from libs.log.memory import MemoryLog
from libs.sealing.keyring import NO_SEALING
from libs.store.errors import StoreUnavailable
from services.webhooks.fan_out.directory import EndpointDirectory
from services.webhooks.fan_out.recoverer import EVERY_MS, PAGE, UNDER_WAY_MAX, Recoverer, RecoveryPorts
from tests.fakes.control.endpoints import FakeEndpoints
from tests.fakes.control.recoveries import FakeRecoveries
from tests.fakes.partition import events_of
from tests.simulation.manual_clock import ManualClock

NOW = 1_790_000_000_000
PARTITIONS = 4


class Failed:
    """What the endpoint was told in vain; the redeliveries in the log are under way until the test ends them."""

    def __init__(self, jobs: Sequence[JobScheduled]) -> None:
        self.jobs = sorted(jobs, key=_tail)
        self.open = 0

    async def failed(self, endpoint_id: str, *, after: str, below: str, limit: int) -> list[tuple[JobState, Spec]]:
        first = bisect_right(self.jobs, after[-26:], key=_tail)
        last = bisect_left(self.jobs, below[-26:], key=_tail)
        return [
            (msgspec.structs.replace(create(each, 0), status=JobStatus.FAILED, attempt=1), each.spec)
            for each in self.jobs[first : min(last, first + limit)]
        ]

    async def open_count(self, account: str, limit: int) -> int:
        return min(self.open, limit)


def _tail(job: JobScheduled) -> str:
    return job.job_id[-26:]


class Harness:
    """A recoverer with everything around it in memory."""

    def __init__(self, count: int) -> None:
        self.clock = ManualClock(NOW)
        self.log = MemoryLog(partitions=PARTITIONS)
        self.endpoints = FakeEndpoints()
        self.endpoint = Endpoint(
            endpoint_id=new_endpoint_id(NOW, 1, "acme", b"1234"),
            account="acme",
            config=EndpointConfig(url="https://example.com/hook", events=("*",)),
            version=1,
            created_at=NOW,
            changed_at=NOW,
        )
        self.endpoints.table.add(self.endpoint, "s")
        self.deliveries = Failed([self._told(number) for number in range(count)])
        self.recoveries = FakeRecoveries(self.endpoints.table)
        self.served = {1}

    def _told(self, number: int) -> JobScheduled:
        job_id = new_job_id(NOW - 10_000, number % PARTITIONS, number.to_bytes(8, "big"))
        at = NOW - 5_000 + number
        end = JobFinished(job_id=job_id, account="acme", at=at, status="failed", attempt=1)
        return delivery_job(
            Told(of_end(end, schedule_id=None, host=None), self.endpoint, "job.failed"), number % PARTITIONS
        )

    async def life(self, rounds: int) -> None:
        """Let a process live for so many rounds."""
        directory = EndpointDirectory(self.endpoints, self.clock)
        recoverer = Recoverer(
            directory,
            RecoveryPorts(self.recoveries, self.deliveries),
            self.log,
            self.clock,
            serves=self.served.__contains__,
            keyring=NO_SEALING,
        )
        tasks = [asyncio.create_task(each) for each in (directory.run(), recoverer.run())]
        for _ in range(rounds):
            await self.clock.advance(EVERY_MS)
            await self.clock.settle(60)
            await self.clock.advance(50)
            await self.clock.settle(60)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def made(self) -> list[JobScheduled]:
        """Return what is in the log."""
        found = [each for part in range(PARTITIONS) for each in await events_of(self.log, part, JobScheduled)]
        return [each for each in found if isinstance(each, JobScheduled)]


async def test_each_is_sent_again_once_whoever_dies() -> None:
    """A page that was appended and not noted is made again, with the same ids; what is outside of the time is left."""
    here = Harness(1_200)
    await here.log.start()
    until = NOW - 5_000 + 1_100
    await here.recoveries.begin(begun(here.endpoint.endpoint_id, "r", since=NOW - 5_000, until=until, now=NOW))
    await here.life(1)
    here.recoveries.fails = StoreUnavailable("dies here, says the test")
    await here.life(1)
    here.recoveries.fails = None
    await here.life(4)

    made = await here.made()
    ids = Counter(each.job_id for each in made)
    firsts = {each.replay_of for each in made}
    wanted = {each.job_id for each in here.deliveries.jobs if each.at < until}
    assert firsts == wanted
    assert len(ids) == len(wanted) == 1_100
    assert len(made) > 1_100
    assert {each.retry for each in made} == {RETRY}
    (ended,) = here.recoveries.last.values()
    assert (ended.status, ended.recovered_count) == ("completed", 1_100)
    assert ended.reached[-26:] < first_id(until)[-26:]
    await here.log.stop()


@pytest.mark.parametrize("count", [2_000, pytest.param(100_000, marks=pytest.mark.nightly)])
async def test_two_kills_repeat_nothing(count: int) -> None:
    """Killed twice, each time between a page in the log and its note: each delivery is sent again, under one id."""
    here = Harness(count)
    await here.log.start()
    await here.recoveries.begin(begun(here.endpoint.endpoint_id, "r", since=0, until=NOW + count, now=NOW))
    rounds = count // PAGE
    for _ in range(2):
        await here.life(rounds // 4)
        here.recoveries.fails = StoreUnavailable("dies here, says the test")
        await here.life(1)
        here.recoveries.fails = None
    await here.life(rounds)

    made = await here.made()
    assert len(made) == count + 2 * PAGE
    assert len({each.job_id for each in made}) == count
    assert {each.replay_of for each in made} == {each.job_id for each in here.deliveries.jobs}
    assert [(each.status, each.recovered_count) for each in here.recoveries.last.values()] == [("completed", count)]
    await here.log.stop()


async def test_it_waits_while_many_are_under_way() -> None:
    """So a recovery of any size holds up little."""
    here = Harness(PAGE + 1)
    await here.log.start()
    await here.recoveries.begin(begun(here.endpoint.endpoint_id, "r", since=0, until=NOW, now=NOW))
    here.deliveries.open = UNDER_WAY_MAX
    await here.life(3)
    assert await here.made() == []
    here.deliveries.open = UNDER_WAY_MAX - 10
    await here.life(1)
    assert len(await here.made()) == 10
    await here.log.stop()


async def test_only_who_serves_the_partition_recovers_and_a_disabled_endpoint_stops_it() -> None:
    """Two processes do not do it twice; nothing is sent to an endpoint that was disabled meanwhile."""
    here = Harness(3)
    await here.log.start()
    await here.recoveries.begin(begun(here.endpoint.endpoint_id, "r", since=0, until=NOW, now=NOW))
    here.served.clear()
    await here.life(2)
    assert await here.made() == []
    here.served.add(1)
    here.endpoints.table.change(msgspec.structs.replace(here.endpoint, version=2, disabled_reason="gone"))
    await here.life(2)
    assert await here.made() == []
    assert [each.status for each in here.recoveries.last.values()] == ["stopped"]
    await here.log.stop()
