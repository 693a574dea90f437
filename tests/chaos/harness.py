"""
Harness: one Fliq on one database, hurt and healed, with a load and a sink; and the verdict at the end.

    start     a life; armed with a crash point it may die before it is ready
    kill      as kill -9 does · stop: as a supervisor does · wait_dead: by its own crash point
    verdict   settle the load, wait until every job is at its end, read all back, check it, compare the tables with the log
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from libs.events import ScheduleCreated, Spec, encode
from libs.events.ids import new_schedule_id
from libs.log.postgres import PostgresLog
from libs.store.pool import open_pool
from libs.store.rebuild.verify import differences
from tests.chaos.judging import record
from tests.chaos.judging.checker import check, lateness
from tests.chaos.judging.history import Fault, History
from tests.chaos.judging.view import Violation
from tests.chaos.load import Load, now_ms
from tests.chaos.stalls import watch_stalls
from tests.fakes.running.sink import Sink
from tests.fakes.running.topologies import Client, FliqProcess, RunningFliq
from tests.fakes.until import until, until_or_late

PER_S: Final = 20.0  # stories of the usual load
RETRY_BASE_MS: Final = 200.0
READY_S: Final = 30.0
CALLS_S: Final = 60.0  # a bound for a machine that is very busy
STOP_S: Final = 8.0  # no target of the load takes longer than half a second
QUIET_S: Final = 30.0
PARTITIONS: Final = 4
CRASHED: Final = 137  # the status of a process that a crash point ended
LATE_MS: Final = 2_000.0  # on a machine that others use as well


@dataclass
class Harness:
    """Everything of one chaos run."""

    database_url: str | None
    seed: int
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        chosen = {"FLIQ_RETRY_BASE_SECONDS": str(RETRY_BASE_MS / 1000)} | self.settings
        self.fliq = RunningFliq(database_url=self.database_url, **chosen)
        self.sink = Sink()
        self.faults: list[Fault] = []
        self.stalls: list[Fault] = []
        self.starts_s: list[float] = []
        self._hurt: Fault | None = None

    async def __aenter__(self) -> Self:
        await self.sink.__aenter__()
        self.load = await Load(self.fliq.url, self.sink.url, seed=self.seed).__aenter__()
        self._watching = asyncio.create_task(watch_stalls(self.stalls))
        self.client = Client(self.fliq.url)
        self._probe = Client("http://127.0.0.1", None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is not None and self.fliq.processes:
            print(self.fliq.output())
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        await self.load.__aexit__()
        await self.client.close()
        await self._probe.close()
        await asyncio.to_thread(self.fliq.close)
        await self.sink.__aexit__()

    @property
    def process(self) -> FliqProcess:
        """The process of the present life."""
        return self.fliq.processes[0]

    @property
    def is_dead(self) -> bool:
        """Whether the present life has ended."""
        return self.process.process.poll() is not None

    def spawn(self, *, crash_at: str | None = None) -> None:
        """Begin a life and do not wait."""
        armed = {} if crash_at is None else {"FLIQ_CRASH_AT": crash_at}
        self.fliq.processes = [self.fliq.spawn("all", **armed)]

    async def start(self, *, crash_at: str | None = None) -> bool:
        """Begin a life; says whether it became ready (True) or died at its crash point before (False)."""
        begun = time.monotonic()
        self.spawn(crash_at=crash_at)
        ready = await self.wait_ready(at_most_s=READY_S)
        if ready:
            self.starts_s.append(time.monotonic() - begun)
        elif crash_at is not None and self.process.process.poll() == CRASHED:
            self._hurt = self._hurt or Fault(kind=f"crash at {crash_at}", at=now_ms(), until=0)
        else:
            raise AssertionError(f"not ready in {READY_S} s:\n{self.process.tail()}")
        return ready

    async def wait_ready(self, *, at_most_s: float) -> bool:
        """Wait until the present life is ready; says whether it is. A fault that lasted has ended then."""

        async def state() -> str:
            return "ready" if await self._is_ready() else "dead" if self.is_dead else ""

        if await until_or_late(state, within_s=at_most_s, every_s=0.01) != "ready":
            return False
        if self._hurt is not None:
            self.faults.append(replace(self._hurt, until=now_ms()))
            self._hurt = None
        return True

    async def wait_unready(self, *, at_most_s: float) -> None:
        """Wait until the present life says that it cannot work."""

        async def is_unready() -> bool:
            return not await self._is_ready()

        await until(is_unready, within_s=at_most_s, every_s=0.01, saying=lambda: "it never noticed")

    async def _is_ready(self) -> bool:
        try:
            return (await self._probe.call("GET", f":{self.process.admin_port}/readyz"))[0] == 200
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    async def kill(self) -> None:
        """End the present life with kill -9."""
        self._hurt = self._hurt or Fault(kind="kill", at=now_ms(), until=0)
        await asyncio.to_thread(self.fliq.kill)

    async def stop(self) -> int:
        """End the present life as a supervisor does; returns the exit code."""
        self._hurt = self._hurt or Fault(kind="term", at=now_ms(), until=0)
        begun = time.monotonic()
        status = await asyncio.to_thread(self.process.stop)
        took_s = time.monotonic() - begun
        assert took_s < STOP_S, f"stopping took {took_s:.1f} s:\n{self.process.tail()}"
        return status

    async def wait_dead(self, *, crash_at: str, timeout_s: float) -> bool:
        """Wait until the present life dies at its crash point; says whether it did in time."""
        if not await until_or_late(lambda: self.is_dead, within_s=timeout_s, every_s=0.01):
            return False
        status = self.process.process.returncode
        assert status == CRASHED, f"ended with {status}:\n{self.process.tail()}"
        self._hurt = self._hurt or Fault(kind=f"crash at {crash_at}", at=now_ms() - 50, until=0)
        return True

    def terminate(self) -> None:
        """Ask the present life to stop, and do not wait."""
        os.kill(self.process.pid, signal.SIGTERM)

    async def tick_soon(self, name: str, *, in_ms: int = 2_300) -> None:
        """
        Make a schedule whose first tick comes in *in_ms*; the API would give it the next full minute.

        A fact may be appended by anyone: this is what another replica of the API would append.
        """
        assert self.database_url is not None
        now = int(now_ms())
        created = ScheduleCreated(
            schedule_id=new_schedule_id(now, self.seed % PARTITIONS, os.urandom(8)),
            account="default",
            at=now,
            spec=Spec(url=f"{self.sink.url}/ok/{name}", body=name),
            cron="0 0 1 1 *",  # no second tick, however near the next minute is
            next_run_at=now + in_ms,
        )
        log = PostgresLog(self.database_url, partitions=PARTITIONS)
        try:
            await log.start()
            await log.append(self.seed % PARTITIONS, [encode(created)])
        finally:
            await log.stop()
        self.load.note_schedule(name, created.schedule_id, invoked_at=now, first_at=created.next_run_at)

    async def calls(self, count: int) -> None:
        """Return when the load has called so often more."""
        await self.sink.wait_count(len(self.sink.arrivals) + count, timeout_s=CALLS_S)

    async def storm_while(self, hurting: Coroutine[Any, Any, None]) -> None:
        """Tell stories for as long as *hurting* takes; raise what went wrong in either."""
        hurt = asyncio.create_task(hurting)
        storm = asyncio.create_task(self.load.storm(per_s=PER_S, seconds=120, until=hurt.done))
        await asyncio.wait([hurt, storm])
        hurt.result()
        storm.result()

    async def quiesce(self) -> None:
        """Wait until every story is told, every job at its end and every webhook in; then prove it with one job more."""
        await self.load.settle()
        await self._all_at_their_ends()
        # What would come too late is behind this one: it takes the whole way, webhook included.
        begun = len(self.load.plans)
        self.load.begin("plain")
        await self.load.settle()
        name = list(self.load.plans)[begun]
        await self.sink.wait_for(lambda: any(each.path.endswith(f"/{name}") for each in self.sink.arrivals))
        expected = {plan.name for plan in self.load.plans.values() if plan.has_webhook} - self._refused()
        try:
            await self.sink.wait_for(lambda: expected <= record.hooked(self.sink), timeout_s=10)
        except TimeoutError:
            pass  # the checker says which are missing
        await self._all_at_their_ends()

    async def _all_at_their_ends(self) -> None:
        left: list[Any] = []

        async def none_left() -> bool:
            left[:] = [
                job
                for status in ("scheduled", "running")
                for job in await record.list_all(self.client, "jobs", f"status={status}&limit=100")
            ]
            return not left

        await until(none_left, within_s=QUIET_S, saying=lambda: f"not at their ends after {QUIET_S} s: {left}")

    def _refused(self) -> set[str]:
        """The plans of which nobody knows that they became jobs."""
        accepted = {each.name for each in self.load.operations if each.kind == "create" and each.outcome == "ok"}
        return self.load.plans.keys() - accepted

    async def history(self) -> History:
        """Quiesce and read everything back."""
        await self.quiesce()
        for name in self.load.schedules:
            await self.load.delete_schedule(name)  # a tick while everything is read back would be in half of it
        await self._all_at_their_ends()
        faults = [*self.faults, *self.stalls]
        return await record.history(self.load, self.sink, self.client, faults, retry_base_ms=RETRY_BASE_MS)

    async def make_endpoint(self) -> None:
        """Have the end of every job told to a webhook endpoint at which nobody listens."""
        asked = {
            "url": "http://127.0.0.1:9/told",
            "events": ["job.completed", "job.failed", "job.cancelled"],
            "retry": {"max_retries": 0},
        }
        status, made, _ = await self.client.call("POST", "/v1/webhooks/endpoints", asked)
        assert status == 201, made
        self.deliveries = f"/v1/webhooks/endpoints/{made['id']}/deliveries"

    async def all_told(self) -> None:
        """Wait until the endpoint was told of the end of every job, once."""

        async def differ() -> bool:
            told: list[str] = []
            cursor = ""
            while cursor is not None:
                status, page, _ = await self.client.call("GET", f"{self.deliveries}?limit=100{cursor}")
                assert status == 200, page
                told += [each["job_id"] for each in page["deliveries"]]
                cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
            ended = await record.list_all(self.client, "jobs")
            left[:] = [*({*ended} ^ {*told}), *(each for each in told if told.count(each) > 1)]
            return not left

        left: list[str] = []
        await until(differ, within_s=QUIET_S, saying=lambda: f"not told once: {left}")

    @property
    def has_stood_still(self) -> bool:
        """Whether the machine once stood still for so long that a lease was not certain any more."""
        return any(each.excuses_repetition for each in self.stalls)

    async def verdict(self) -> History:
        """Fail with every violation and difference there is; print the figures of the run."""
        history = await self.history()
        found = check(history, late_ms=LATE_MS)
        different = await fold_differences(self.database_url) if self.database_url is not None else []
        print(summary(history, self.starts_s))
        assert not found, report(found, history)
        assert not different, "\n".join(different)
        return history


async def fold_differences(dsn: str) -> list[str]:
    """Return where the tables at *dsn* differ from the fold of the log."""
    log, pool = PostgresLog(dsn), await open_pool(dsn, name="verify", size=1)
    try:
        await log.start()
        return await differences(log, pool)
    finally:
        await log.stop()
        await pool.close()


def report(found: list[Violation], history: History) -> str:
    """Say what was broken, and what had happened."""
    lines = [str(each) for each in found[:40]]
    lines += [f"  fault: {each.kind} at {each.at:.0f} until {each.until:.0f}" for each in history.faults]
    return "\n".join([f"{len(found)} violations:", *lines])


def summary(history: History, starts_s: list[float]) -> str:
    """One line of figures."""
    late = lateness(history) or [0.0]
    executions = {call.execution_id for call in history.calls}
    return (
        f"chaos: {len(history.jobs)} jobs, {len(history.calls)} calls, {len(history.calls) - len(executions)} repeated, "
        f"{len(history.hooks)} webhooks, {len(history.faults)} faults; lateness p50 {late[len(late) // 2]:.1f} ms, "
        f"max {late[-1]:.1f} ms; start {max(starts_s):.2f} s at most"
    )
