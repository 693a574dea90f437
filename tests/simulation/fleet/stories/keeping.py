"""
Keeping: some fleets forget ended jobs, carry over what lives, and trim their log, all within two minutes: days are that short.

The keepers are the product's own. They may die at each of their steps: before and after every slice of the janitor, every look at
the tables, every record that is carried, every trim (`Step`). What is deleted stays with the judge: the rows that were swept
(tests/fakes/control/history_rows.py), the records that were trimmed (log_link.py).

At the end, for each partition: the fold of all records that ever were is the truth. The tables may lack what it says is forgotten.
The fold of the trimmed log alone, which begins with what it carries, must end with the same rows; what it lacks must be older.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any, Final, TypeVar

from libs.domain.history.choice import HistoryTerms
from libs.domain.job import JobState
from libs.domain.jobs.delivery import DeliveryState
from libs.domain.schedule import ScheduleState
from libs.events import read
from libs.events.ids import delivery_id, is_id, partition_of
from libs.store.carried import seals
from libs.store.projection.changes import PartitionChanges
from libs.store.rebuild.forgotten_states import forgotten_in
from libs.store.rebuild.older_rows import Older, known_specs
from libs.store.rebuild.replay import Replay
from services.scheduler.history.history_keeper import HistoryKeeper
from services.scheduler.history.log_keeper import LogKeeper
from services.scheduler.service import SchedulerService
from tests.fakes.control.carried import MemoryCarried
from tests.fakes.database import Database, Rows
from tests.simulation.fleet.chronicle import SimClock
from tests.simulation.fleet.log_link import LogLink, LogServer
from tests.simulation.fleet.loop import Process
from tests.simulation.fleet.store_link import Remote, StoreServer

S = TypeVar("S", bound=Any)

SHARE: Final = 0.05  # of all seeds
SECONDS: Final = 120.0
HISTORY_MS: Final = 55_000  # longer than a request that is repeated can take, with a clock that is wrong
SKEW_MS: Final = 4_000  # of clocks, at the most
LOG_MS: Final = 24_000  # longer than a replica of the tables can lag
_KEEPERS: Final = "services.scheduler.history"
_HANDLERS: Final = "services.api.handlers"
LIMITS: Final = (
    ("libs.domain.history.choice", "DAY_MS", HISTORY_MS),
    (f"{_KEEPERS}.log_keeper", "DAY_MS", LOG_MS),
    (f"{_KEEPERS}.log_keeper", "LEAST_MS", HISTORY_MS),
    (f"{_KEEPERS}.log_keeper", "LOOK_EVERY_MS", 3_000),
    (f"{_KEEPERS}.log_keeper", "TRIM_STEP", 40),
    (f"{_KEEPERS}.history_keeper", "LOOK_EVERY_MS", 3_000),
    (f"{_KEEPERS}.history_keeper", "SLICE", 2),
    ("libs.store.carried.carried_rows", "PIECE_ROWS", 2),
    ("libs.store.carried.seals", "HOUR_MS", 5_000),
    ("libs.store.carried.seals", "MARGIN_MS", 2 * SKEW_MS),
    ("tests.fakes.control.carried", "SKEW_MS", SKEW_MS),
    ("libs.store.rebuild.older_rows", "SKEW_MS", SKEW_MS),
    ("tests.fakes.control.carried", "LATE_MS", 15_000),
    (f"{_HANDLERS}.schedules.schedule_runs", "LATE_MS", 15_000),
    (f"{_HANDLERS}.jobs.job_keys", "LATE_MS", 15_000),
    (f"{_HANDLERS}.jobs.job_creation", "LATE_MS", 15_000),
)


def is_keeping(seed: str) -> bool:
    """Whether the fleet of *seed* forgets and trims."""
    return random.Random(f"{seed} log days").random() < SHARE


def keeps(scenario: S) -> S:
    """Return *scenario* as that of a fleet that forgets and trims."""
    return replace(
        scenario,
        sizes=replace(scenario.sizes, keeps=True),
        limits=(*scenario.limits, *LIMITS),
        seconds=SECONDS,
        job_count=2 * scenario.job_count,
        has_older=False,  # older builds stop at what is carried
    )


def swept_jobs(database: Database, accounts: Collection[str], listed: Sequence[str]) -> set[str]:
    """Return the jobs of *accounts* that were swept: they need not be *listed*."""
    gone = {key for table, key, job in database.swept if table is database.jobs and job.account in accounts}
    return gone - set(listed)


class Step:
    """Counts the steps of one process's keepers, and lets it die in the middle of one."""

    def __init__(self, process: Process, loop: Any) -> None:
        """Count for *process*; it dies when `left` is used up."""
        self.left: int | None = None
        self.dies: Callable[[], None] = lambda: None
        self._process = process
        self._loop = loop

    async def __call__(self) -> None:
        if self.left is None:
            return
        self.left -= 1
        if self.left <= 0:
            self.left = None
            self.dies()
            self._loop.kill(self._process)
            await asyncio.sleep(0)  # from which nobody returns

    async def around(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Do *work*, between two steps."""
        await self()
        done = await work()
        await self()
        return done


class _Stepping:
    """Anything whose methods are steps: the janitor of the tables, the log."""

    def __init__(self, inner: Any, step: Step, names: tuple[str, ...]) -> None:
        self._inner = inner
        self._step = step
        self._names = names

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if name not in self._names:
            return method

        async def call(*args: Any) -> Any:
            return await self._step.around(partial(method, *args))

        return call


class _Opened:
    """What is carried, without a generator: one that a dead process left would go on when it is collected."""

    def __init__(self, tables: Remote, step: Step, partition: int) -> None:
        self._tables = tables
        self._step = step
        self._partition = partition
        self._left: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._found, name)

    async def __aenter__(self) -> _Opened:
        self._found = await self._step.around(partial(self._tables.carried, self._partition))
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    def pieces(self, at: int) -> _Opened:
        self._left = self._found.all_pieces(at)[::-1]
        return self

    def __aiter__(self) -> _Opened:
        return self

    async def __anext__(self) -> Any:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


class _Sealing:
    def __init__(self, tables: Remote, step: Step, *wanted: int) -> None:
        self._ask: Any = partial(step.around, partial(tables.sealing, *wanted))

    def __aiter__(self) -> _Sealing:
        return self

    async def __anext__(self) -> Any:
        if self._ask is None:
            raise StopAsyncIteration
        ask, self._ask = self._ask, None
        return await ask()


class Keepers:
    """The keepers of one process, as a service that starts and stops."""

    def __init__(
        self, process: Process, clock: SimClock, log: LogLink, tables: Remote, service: SchedulerService, counts: Any
    ) -> None:
        """Keep what *service* owns."""

        def count(name: str) -> Callable[..., None]:
            def add(amount: int = 1) -> None:
                counts[name] += amount

            return add

        names = ("decided", "deleted", "carried", "trimmed")
        metrics: Any = SimpleNamespace(
            **{name: count(f"kept {name}") for name in names}, is_pressed=lambda _: None, overdue=lambda _: None
        )
        self.step = Step(process, log._loop)
        pausing: Any = _Stepping(clock, self.step, ("pause",))
        janitor: Any = _Stepping(tables, self.step, ("look", "sweep", "oldest_end", "ended_rows"))
        self._keepers = (
            HistoryKeeper(janitor, service.owners, pausing, HistoryTerms(days=1, failed_days=1), metrics),
            LogKeeper(
                event_log=_Stepping(log, self.step, ("begin", "trim")),  # type: ignore[arg-type]
                carrier=SimpleNamespace(
                    opened=partial(_Opened, tables, self.step), sealing=partial(_Sealing, tables, self.step)
                ),
                positions=janitor,
                owners=service.owners,
                clock=pausing,
                days=1,
                metrics=metrics,
            ),
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self._tasks = [asyncio.create_task(each.run(), name="keeper") for each in self._keepers]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _WhatIsLeft:
    """The log as it is, for a fold that nothing hurts."""

    def __init__(self, log: LogServer) -> None:
        self._log = log

    async def read(self, partition: int, position: int, *, max_records: int, wait_s: float = 0.0) -> Any:
        place = self._log.place(partition)
        return place.records[position - place.begin :][:max_records]


async def kept(log: LogServer, store: StoreServer) -> list[str]:
    """Return where tables and trimmed log are not what all records say."""
    found: list[str] = []
    for partition in range(log.partition_count):
        whole = Replay(None, partition)  # type: ignore[arg-type]  # it reads nothing
        stands = store.database.progress(partition)
        for record in log.records(partition)[: stands[0] + 1]:
            whole.changes.add(
                applied := whole.ledger.apply(record.position, read(partition, record.envelope), record.envelope.claim)
            )
            whole.seals.take(applied)
        stored = store.database.rows(partition)
        if stands != (whole.position, whole.ledger.claim):
            found.append(f"tables: partition {partition} stands at {stands}, the log at {whole.position}")
        if store.database.floors(partition) != whole.ledger.floors:
            found.append(f"tables: partition {partition} forgets {store.database.floors(partition)}")
        found += _apart("tables", stored, whole, Older(0, 0))
        begin = log.place(partition).begin
        if begin:
            trimmed = Replay(_WhatIsLeft(log), partition, begin=begin)  # type: ignore[arg-type]
            async for _ in trimmed.begin_with_carried():
                pass
            while await trimmed.step(whole.position):
                pass
            if (trimmed.ledger.claim, trimmed.ledger.floors) != (whole.ledger.claim, whole.ledger.floors):
                found.append(
                    f"trimmed: partition {partition} ends with {trimmed.ledger.claim}, {trimmed.ledger.floors}"
                )
            found += _apart("trimmed", stored, trimmed, Older.than(trimmed.beginning))
            found += _unsealed(partition, store.database.carried(partition), whole, trimmed)
    return found


async def timelines(harness: Any, clients: Any, node: Any) -> list[str]:
    """Return the jobs whose timeline, as *node* tells it, is not what the log has left of it."""
    found, log, database = [], harness.log, harness.store.database
    for job in list(database.jobs.values()):
        if is_id(job.account, "whe"):
            continue
        begin = log.place(partition_of(job.job_id)).begin
        token = clients._tokens[job.account]
        status, body, _ = await node.request("GET", f"/v1/jobs/{job.job_id}/events", b"", token)
        answer = json.loads(body)
        if database.jobs.get(job.job_id) is not job or log.place(partition_of(job.job_id)).begin != begin:
            continue  # forgotten or trimmed while it was asked
        left = [number for number, position in enumerate(job.offsets) if position >= begin]
        said = None if status != 200 else [each["position"] for each in answer["events"]]
        is_whole = len(left) == len(job.offsets)
        tried = None if is_whole else [number + 1 for number in range(job.attempt)]
        told = (
            None
            if status != 200 or "executions" not in answer
            else [each["attempt_num"] for each in answer["executions"]]
        )
        is_said = status == 200 and answer.get("trimmed") is (None if is_whole else True)
        if (said, told) != (left, tried) or not is_said:
            found.append(f"timeline: {job.job_id}: {status} {answer}, left are {left}")
    return found


def _unsealed(partition: int, tables: MemoryCarried, whole: Replay, trimmed: Replay) -> Iterator[str]:
    """Yield the hours whose rows are not what the log says, and the rows that neither records nor a sum prove."""
    sealed, floors = trimmed.seals, trimmed.ledger.floors
    if (sealed.known, sealed.before) != (whole.seals.known, whole.seals.before):
        yield f"seals: partition {partition}: the trimmed log has {sealed.known}, and all of it {whole.seals.known}"
    for each in seals.apart(sealed.known, tables.sealing(0, sealed.before), floors):
        yield f"seals: partition {partition}: {each}"
    for job in tables.jobs.values():
        is_known = job.job_id in trimmed.ledger.states or floors.forget_job(
            job, tables.deliveries.get(delivery_id(job.job_id))
        )
        key = seals.key_of(job)
        if not is_known and seals.is_kept(key, floors) and key not in sealed.known:
            yield f"seals: {job} is older than the log, and nothing proves it"


def _apart(name: str, stored: Rows, replay: Replay, older: Older) -> Iterator[str]:
    """Yield the rows of *stored* that the fold does not have, and are not *older*, and those that are forgotten by neither."""
    forgotten = forgotten_in(replay.ledger)
    folded: PartitionChanges = replay.changes
    known = known_specs(replay.ledger.states.values())
    jobs: Callable[[Any], bool] = lambda key: key in forgotten.ids  # noqa: E731
    tables: tuple[tuple[str, Any, Any, Callable[[Any, Any], bool], Callable[[Any], bool]], ...] = (
        ("jobs", stored.jobs, _of(replay, JobState), lambda _, row: older.has_state(row), jobs),
        ("schedules", stored.schedules, _of(replay, ScheduleState), lambda _, row: older.has_state(row), jobs),
        ("deliveries", stored.deliveries, _of(replay, DeliveryState), lambda _, row: older.has_state(row), jobs),
        (
            "specs",
            stored.specs,
            folded.specs,
            lambda key, _: key[-26:] not in known and older.has_spec(key),
            lambda key: not forgotten.needs(key),
        ),
        (
            "executions",
            stored.executions,
            folded.executions,
            lambda _, row: older.has_execution(row),
            lambda key: key[0] in forgotten.ids,
        ),
        ("usage", stored.usage, folded.usage, lambda key, _: older.has_day(key[1]), lambda _: False),
    )
    for table, ours, theirs, may_be_older, is_forgotten in tables:
        for key in sorted({*ours, *theirs}, key=str):
            mine, said = ours.get(key), theirs.get(key)
            if mine == said or (mine is None and is_forgotten(key)) or (said is None and may_be_older(key, mine)):
                continue
            yield f"{name}: {table}: {key} is {mine}, and the log says {said}"


def _of(replay: Replay, kind: type) -> dict[str, Any]:
    return {key: state for key, state in replay.ledger.states.items() if isinstance(state, kind)}
