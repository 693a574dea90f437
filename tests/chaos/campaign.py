"""
Campaign: a cluster, a load, a nemesis, and at the end the verdict over everything that was seen.

    start -- load and nemesis, side by side -- heal -- quiet -- verify -- check -- report
"""

from __future__ import annotations

import asyncio
import gc
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from libs.domain.job import JobStatus
from libs.events.ids import from_int
from libs.store.pool import open_pool
from libs.store.rebuild.verify import differences
from tests.chaos.hurting.children import Targets
from tests.chaos.hurting.cluster import RETRY_BASE_MS, Cluster, Topology
from tests.chaos.hurting.nemesis import Nemesis
from tests.chaos.judging import evidence, record
from tests.chaos.judging.checker import check
from tests.chaos.judging.history import Fault, History
from tests.chaos.judging.view import Violation
from tests.chaos.load import ALL_FATES, Load, now_ms
from tests.chaos.stalls import watch_stalls
from tests.fakes.running.sink import Arrival
from tests.fakes.running.topologies import Client
from tests.fakes.until import until_or_late
from tests.kafka.artifacts import Unavailable

OVERDUE_MS: Final = 1_000.0  # a call that is due for so long waits for something
QUIET_S: Final = 120.0
HOOKS_S: Final = 15.0
FIRST: Final = 32  # jobs that go all the way before the load begins
PATIENCE_S: Final = 180.0
SAY_EVERY_S: Final = 5.0
SPLIT: Final = {"scheduler": 2, "dispatcher": 2, "webhooks": 2, "api": 2}


@dataclass(frozen=True, kw_only=True)
class Order:
    """
    What is to be run.

    Args:
        seconds: how long load and faults go on.
        faults: end as soon as so many were made, and *jobs* were asked for; None: only the time counts.
        per_s: stories begun per second.
        counts: processes of each role.
        only: kinds of faults; all when empty.
        hold_max_s: no fault is held for longer.
        late_ms, recovery_ms: the checker's bounds.
    """

    topology: Topology
    seed: int
    out: Path
    seconds: float
    faults: int | None = None
    jobs: int | None = None
    per_s: float = 60.0
    brokers: int = 1
    partitions: int = 4
    counts: dict[str, int] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    pause_s: tuple[float, float] = (0.5, 4.0)
    hold_max_s: float = 60.0
    late_ms: float = 2_000.0
    recovery_ms: float = 15_000.0
    say: Callable[[str], None] = print


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """
    What came out: the history, and everything that is wrong with it.

    Args:
        deaths: processes that ended by themselves and were started again; no harm if the word was kept.
        sizes: of each process at the beginning and at the end, resident memory in MB and open files.
    """

    order: Order
    begun_at: float
    history: History
    violations: list[Violation]
    differences: list[str]
    wrong: list[str]
    deaths: list[str]
    sizes: tuple[dict[str, tuple[int, int]], dict[str, tuple[int, int]]] = ({}, {})

    @property
    def is_good(self) -> bool:
        return not (self.violations or self.differences or self.wrong)


class Watch:
    """Keeps count while the campaign runs: what is due and not fired, and how late calls are."""

    def __init__(self, load: Load, targets: Targets) -> None:
        self._load = load
        self._read = 0
        self._waiting: set[str] = set()
        self.fired: set[str] = set()
        self.late: deque[tuple[float, float]] = deque(maxlen=2_000)
        self.accepted = 0
        targets.on_arrival = self._arrived

    def _arrived(self, arrival: Arrival) -> None:
        name = record.name_of(arrival.body.decode())
        plan = self._load.plans.get(name)
        if arrival.path.startswith("/hook") or plan is None or name in self.fired:
            return
        self.fired.add(name)
        self._waiting.discard(name)
        self.late.append((arrival.at, arrival.at - plan.fire_at))

    def overdue(self, before: float | None = None) -> int:
        """How many acknowledged jobs, that nobody cancels, should have fired a while ago, or before an instant."""
        for operation in self._load.operations[self._read :]:
            self._read += 1
            if operation.kind == "create" and operation.outcome == "ok":
                self.accepted += 1
                is_certain = not operation.name.endswith("-cancel") and self._load.plans[operation.name].terms is None
                if operation.name not in self.fired and is_certain:
                    self._waiting.add(operation.name)
        before = now_ms() - OVERDUE_MS if before is None else before
        return sum(self._load.plans[name].fire_at < before for name in self._waiting)

    def recent_ms(self) -> list[float]:
        """How late the calls of the last ten seconds were, sorted."""
        since = now_ms() - 10_000
        return sorted(late for at, late in self.late if at > since)


async def run(order: Order) -> Outcome:
    """Run a campaign and return what came out."""
    counts = order.counts or ({"all": 1} if order.topology == "embedded" else SPLIT)
    cluster = Cluster(order.topology, counts, order.out, brokers_count=order.brokers, partitions=order.partitions)
    wrong: list[str] = []
    async with Targets() as targets:
        try:
            await cluster.start()
            if cluster.clocks.why_not is not None:
                order.say(f"no clock steps: {cluster.clocks.why_not}")
            load = Load(
                cluster.apis,
                targets.url,
                seed=order.seed,
                fates=ALL_FATES,
                patience_s=PATIENCE_S,
                stories_max=int(20 * order.per_s),
            )
            async with load:
                return await _run(order, cluster, load, targets, wrong)
        finally:
            wrong += await cluster.stop()


async def _run(order: Order, cluster: Cluster, load: Load, targets: Targets, wrong: list[str]) -> Outcome:
    watch, begun_at, sizes = Watch(load, targets), now_ms(), cluster.sizes()
    nemesis = Nemesis(
        cluster,
        order.seed,
        watch.overdue,
        order.say,
        pause_s=order.pause_s,
        only=order.only,
        hold_max_s=order.hold_max_s,
    )
    deadline = time.monotonic() + order.seconds

    def is_over() -> bool:
        enough_faults = order.faults is not None and len(nemesis.faults) >= order.faults
        enough_jobs = order.jobs is None or len(load.plans) >= order.jobs
        return time.monotonic() > deadline or (enough_faults and enough_jobs)

    stalls: list[Fault] = []
    beside = [
        asyncio.create_task(watch_stalls(stalls)),
        asyncio.create_task(_progress(order, begun_at, load, watch, nemesis)),
    ]
    try:
        start = await _first_calls(load, watch)
        await load.make_endpoint()
        load.begin_schedules(until=is_over)
        storm = asyncio.create_task(load.storm(per_s=order.per_s, seconds=order.seconds * 2, until=is_over))
        try:
            await nemesis.run(until=is_over, at_most=order.faults if order.jobs is None else None)
        except (AssertionError, TimeoutError, Unavailable) as error:
            order.say(f"ending: {error!r}"[:1_000])
            wrong += [f"{error!r} during {nemesis.present}", *cluster.tails().splitlines()]
            deadline = time.monotonic()
        await storm
        await _settle(load, wrong)
        for name in load.schedules:
            await load.delete_schedule(name)  # a tick while the evidence is collected would be in half of it
        order.say("healed; waiting until everything is at its end")
        await _quiet(cluster, load, watch, targets, wrong)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
    faults = [start, *nemesis.faults, *stalls]
    outcome = await _verdict(order, cluster, load, targets, begun_at, faults, wrong, nemesis.deaths)
    return replace(outcome, sizes=(sizes, cluster.sizes()))


async def _first_calls(load: Load, watch: Watch) -> Fault:
    """Let some jobs go all the way: a start, with topics and connections that are cold, is the first thing to recover from."""
    begun_at = now_ms()
    for _ in range(FIRST):
        load.begin("plain")
    await load.settle()
    await until_or_late(lambda: watch.overdue(math.inf) == 0, within_s=HOOKS_S)
    return Fault(kind="start", at=begun_at, until=now_ms(), healed_at=begun_at, is_graceful=True)


async def _progress(order: Order, begun_at: float, load: Load, watch: Watch, nemesis: Nemesis) -> None:
    while True:
        await asyncio.sleep(SAY_EVERY_S)
        late, overdue = watch.recent_ms(), watch.overdue()
        p99 = f"{late[int(len(late) * 0.99)]:.0f} ms" if late else "-"
        order.say(
            f"{(now_ms() - begun_at) / 1000:6.0f} s  {watch.accepted} jobs, {len(watch.fired)} fired, {overdue} overdue, "
            f"{len(nemesis.faults)} faults, lateness p99 of the last 10 s {p99}"
            + (f"; now {nemesis.present}" if nemesis.present else "")
        )


async def _quiet(cluster: Cluster, load: Load, watch: Watch, targets: Targets, wrong: list[str]) -> None:
    """Wait until every story is told, every job at its end, and the webhooks are in."""
    pool = await open_pool(cluster.dsn, name="chaos", size=1)
    deadline = time.monotonic() + QUIET_S
    try:
        await _settle(load, wrong)
        await _all_at_their_ends(pool, deadline)
        # What would come too late is behind this one: it takes the whole way.
        begun = len(load.plans)
        load.begin("plain")
        await load.settle()
        last = list(load.plans)[begun]
        await until_or_late(lambda: last in watch.fired, within_s=HOOKS_S)
        await _all_at_their_ends(pool, deadline)
        await _told(pool, targets)
    finally:
        await pool.close()
    accepted = {each.name for each in load.operations if each.kind == "create" and each.outcome == "ok"}
    expected = {name for name in accepted if load.plans[name].has_webhook}
    await until_or_late(lambda: not watch.overdue() and expected <= record.hooked(targets), within_s=HOOKS_S)


async def _settle(load: Load, wrong: list[str]) -> None:
    try:
        await load.settle(timeout_s=QUIET_S + PATIENCE_S)
    except AssertionError as error:
        wrong.append(str(error))


async def _all_at_their_ends(pool: Any, deadline: float) -> None:
    """Wait until no job is open; when the time is over the checker says which are."""

    async def none_open() -> bool:
        query = "SELECT count(*) FROM jobs WHERE status < 4 AND account = $1"
        return not await pool.fetchval(query, evidence.ACCOUNT)

    await until_or_late(none_open, within_s=deadline - time.monotonic(), every_s=0.1)


async def _told(pool: Any, targets: Targets) -> None:
    """Wait until the endpoint was told of every job that did not go well; the checker says of which it was not."""
    query = "SELECT job_id FROM jobs WHERE status = ANY($2) AND account = $1"
    ended = await pool.fetch(query, evidence.ACCOUNT, [JobStatus.FAILED.value, JobStatus.CANCELLED.value])
    expected = {from_int("job", row["job_id"].int) for row in ended}
    await until_or_late(lambda: expected <= record.told(targets).keys(), within_s=HOOKS_S)


async def _verdict(
    order: Order,
    cluster: Cluster,
    load: Load,
    targets: Targets,
    begun_at: float,
    faults: list[Fault],
    wrong: list[str],
    deaths: list[str],
) -> Outcome:
    ended_at = now_ms()
    more: dict[str, Any] = {"retry_base_ms": RETRY_BASE_MS, "recovery_ms": order.recovery_ms}
    pool = await open_pool(cluster.dsn, name="chaos", size=2)
    try:
        async with cluster.log() as log, Client(cluster.apis()[0]) as client:
            order.say("comparing the tables with the log")
            different = await differences(log, pool)
            order.say("rebuilding the tables from the log")
            status, said = await cluster.command("rebuild")
            if status:
                wrong.append(f"fliq rebuild ended with {status}: {said[-500:]}")
            different += await differences(log, pool)
            history = await evidence.collect(load, targets, client, faults, log, pool, ended_at=ended_at, more=more)
    finally:
        await pool.close()
    order.say(f"checking {len(history.jobs)} jobs, {len(history.operations)} requests, {len(history.calls)} calls")
    gc.collect()
    violations = check(history, late_ms=order.late_ms)
    return Outcome(
        order=order,
        begun_at=begun_at,
        history=history,
        violations=violations,
        differences=different,
        wrong=wrong,
        deaths=deaths,
    )
