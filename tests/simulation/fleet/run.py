"""
Run: one seed from its beginning to the judge.

    draw the scenario -> start every node -> stories and blows, side by side -> heal -> stories end -> quiet -> judge
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import random
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import structlog

from libs.store import errors
from libs.store.control.accounts import Token
from services.api.contract.token_text import new_token, token_hash
from tests.fakes.leases import LeaseRow
from tests.simulation.first_build import reading
from tests.simulation.fleet.chronicle import Chronicle
from tests.simulation.fleet.clients import Clients
from tests.simulation.fleet.endpoint import has_endpoint, make_endpoint
from tests.simulation.fleet.judge import Evidence, judge, unfinished
from tests.simulation.fleet.log_link import LogServer
from tests.simulation.fleet.loop import PROCESS, SimLoop, Stalled
from tests.simulation.fleet.nemesis import Blow, Nemesis, draw_blows, draw_keeper_blows
from tests.simulation.fleet.node import PEPPER, ROLES, Harness, Node, Sizes
from tests.simulation.fleet.store_link import StoreServer
from tests.simulation.fleet.stories.keeping import is_keeping, keeps, kept, swept_jobs, timelines
from tests.simulation.fleet.targets import Targets
from tests.simulation.manual_clock import SeededEntropy

ACCOUNTS: Final = ("default", "other")
QUIET_WITHIN_S: Final = 60.0  # after the last story and the last instant asked for
LIMITED_WITHIN_S: Final = 300.0  # the same if jobs wait for days of ten seconds
OLDER: Final = 1  # the node that may be of an older build: another one has each of its roles
ALONE: Final = tuple((role,) for role in ROLES)
LAYOUTS: Final = (
    (ROLES, ROLES),
    (ROLES, ROLES),
    (*ALONE, *ALONE),
    (("scheduler", "webhooks"), ("scheduler", "webhooks"), ("dispatcher", "api"), ("dispatcher", "api")),
    (ROLES, ("scheduler",), ("dispatcher",), ("api",)),
    (ROLES, ROLES, ROLES),
)
# Limits, drawn small in some runs so that they are met; what belongs together is set together.
_HORIZON, _DECIDER, _OWNER = (f"services.scheduler.{name}" for name in ("horizon", "decider", "partition_owner"))
_UNREAD: Final = "services.scheduler.sharing.unread_decisions"
LIMITS: Final[tuple[tuple[tuple[str, str, tuple[int, ...]], ...], ...]] = (
    ((_HORIZON, "HORIZON_MS", (4_000, 8_000, 20_000)),),
    ((_HORIZON, "LOAD_MAX", (10, 30)),),
    ((_HORIZON, "LOAD_MAX", (10, 20)), (_HORIZON, "STATES_MAX", (20, 40)), (_HORIZON, "HORIZON_MS", (8_000, 20_000))),
    ((_UNREAD, "UNREAD_MAX", (1, 2, 5)),),
    ((_DECIDER, "EXAMINED_MAX", (1, 3)),),
    ((_DECIDER, "QUEUES_MAX", (1, 4)), (_DECIDER, "QUEUE_LEAST", (2, 4))),
    ((_OWNER, "READ_MAX", (1, 2, 7)),),
    ((_OWNER, "UNSAVED_MAX", (1, 3)),),
    (("libs.following.partition_reader", "READ_MAX", (1, 3)),),
    (("libs.following.loader", "BATCH_MAX", (1, 2)),),
    (("libs.following.loader", "SPEC_MAX", (0, 100)),),
    (("services.dispatcher.reader", "READ_MAX", (1, 3)),),
    (("libs.log.fact_appender", "GROUP_MAX", (1, 2)),),
)
# Looks that come several times a second would be half of what a run costs.
PACED: Final = (
    ("services.api.state.creation_limits", "LOOK_S", 2.0),
    ("libs.store.leases.lease_keeper", "CHECK_S", 0.5),
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended."""

    seed: int
    violations: list[str]
    blows: list[Blow]
    digest: str
    seconds: float
    counts: dict[str, int] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What a seed draws: sizes, layout, limits, length and load."""

    sizes: Sizes
    layout: tuple[tuple[str, ...], ...]
    limits: tuple[tuple[str, str, Any], ...]
    seconds: float
    job_count: int
    schedule_count: int
    late_ms: float
    has_older: bool


def draw_scenario(seed: str) -> Scenario:
    """Draw the scenario of *seed*."""
    draw = random.Random(f"{seed} setup")
    is_tight = draw.random() < 0.4
    schedule_count = draw.choice((0, 0, 0, 1, 2))  # what ticks by the minute makes a run long
    sizes = Sizes(
        partitions=draw.choice((1, 2, 2, 3)),
        lead_ms=draw.choice((75, 75, 75, 20, 300)),
        retry_base_s=draw.choice((0.2, 0.5, 1.0)),
        slots=draw.choice((2, 4, 8)) if is_tight else 2_000,
        concurrency=draw.choice((2, 4)) if is_tight else 1_000,
        per_host=draw.choice((1, 2)) if is_tight else 50,
        window=draw.choice((3, 6)) if is_tight else 20_000,
        gather_ms=draw.choice((1, 5, 16)),
        daily_limit=0,
        webhook_retries=draw.choice((0, 0, 1)),
    )
    limits = [
        (module, name, draw.choice(values))
        for group in LIMITS
        if draw.random() < 0.3 and is_tight
        for module, name, values in group
    ]
    scenario = Scenario(
        sizes=sizes,
        layout=draw.choice(LAYOUTS),
        limits=tuple(limits),
        seconds=draw.choice((20.0, 40.0, 80.0, 80.0) if schedule_count else (8.0, 12.0, 20.0)),
        job_count=draw.randint(6, 22),
        schedule_count=schedule_count,
        late_ms=60_000.0 if is_tight else 1_000.0,
        # Builds of the first contract know no endpoints, and send each webhook once.
        has_older=draw.random() < 0.9 and not sizes.webhook_retries and not has_endpoint(seed),
    )
    if is_keeping(seed):
        return keeps(scenario)
    if draw.random() < 0.15 and not schedule_count:
        # Days of ten seconds, so that jobs wait for the next one: late, and not for a fault.
        return replace(
            scenario,
            sizes=replace(sizes, daily_limit=draw.choice((2, 4, 8))),
            limits=(*scenario.limits, ("libs.domain.instants", "DAY_MS", 10_000)),
            late_ms=300_000.0,
        )
    return scenario


@contextlib.contextmanager
def limited(limits: Sequence[tuple[str, str, Any]]) -> Iterator[None]:
    """Set modules' limits, and set them back."""
    before = []
    for module, name, value in limits:
        room = importlib.import_module(module)
        before.append((room, name, getattr(room, name)))
        setattr(room, name, value)
    try:
        yield
    finally:
        for room, name, value in reversed(before):
            setattr(room, name, value)


class Run:
    """One run of a scenario."""

    def __init__(self, seed: int, blows: Sequence[Blow] | None = None) -> None:
        """Draw the scenario of *seed*; *blows* stand in for the faults that it would draw."""
        name = str(seed)
        self.seed = seed
        self.scenario = scenario = draw_scenario(name)
        self.loop = loop = SimLoop(seed)
        self.chronicle = chronicle = Chronicle(loop)
        self.harness = Harness(
            loop=loop,
            chronicle=chronicle,
            log=LogServer(loop, chronicle, partitions=scenario.sizes.partitions, seed=name),
            store=StoreServer(loop, chronicle, seed=name),
            targets=Targets(loop, chronicle, seed=name),
            sizes=scenario.sizes,
            seed=name,
        )
        tokens = self._fill_tables()
        self.nodes = [
            Node(self.harness, f"n{number}{''.join(role[0] for role in roles)}", roles)
            for number, roles in enumerate(scenario.layout)
        ]
        self.nodes[OLDER].is_older = scenario.has_older
        self.clients = Clients(loop, chronicle, self.nodes, tokens, seed=name)
        if scenario.sizes.keeps:
            self.clients.far_s = scenario.seconds
        if blows is None:
            blows = draw_blows(name, seconds=scenario.seconds, node_count=len(self.nodes))
            if blows and scenario.has_older:
                blows = sorted([*blows, *self._deaths_beside_the_older()], key=lambda blow: blow.at_s)
            if blows and scenario.sizes.keeps:
                blows += draw_keeper_blows(name, seconds=scenario.seconds, node_count=len(self.nodes))
        self.nemesis = Nemesis(self.harness, self.nodes, blows)
        self.blows = list(blows)
        self.violations: list[str] = []
        self.is_over = False

    def _deaths_beside_the_older(self) -> Iterator[Blow]:
        """Yield deaths of the older node and of those from which it could take partitions over."""
        draw = random.Random(f"{self.seed} older")
        roles = {*self.nodes[OLDER].roles} - {"api"}
        for number, node in enumerate(self.nodes):
            if roles & {*node.roles}:
                for _ in range(2):
                    at_s = draw.uniform(4.0, self.scenario.seconds)
                    yield Blow(kind="kill", at_s=at_s, for_s=draw.uniform(0.2, 6.0), node=number, number=0, amount=0.5)

    def _fill_tables(self) -> dict[str, str]:
        database = self.harness.store.database
        entropy = SeededEntropy(1)
        tokens = {}
        for account in ACCOUNTS:
            token = tokens[account] = new_token(entropy.entropy)
            hashed = token_hash(PEPPER, token)
            scopes = frozenset(("read", "write"))
            database.tokens_by_hash[hashed] = Token(f"tok_{account}", account, "sim", scopes, token[-4:], 0, None)
            database.secrets[account] = ("whsec_" + account[0].upper() * 32,)
        if has_endpoint(str(self.seed)):
            make_endpoint(self.harness)
        for partition in range(self.scenario.sizes.partitions):
            for role in ("scheduler", "dispatcher", "webhooks"):
                database.lease_rows[role, partition] = LeaseRow()
        return tokens

    def play(self) -> Outcome:
        """Play it to the end."""
        try:
            self.loop.run_until_complete(self._main())
        except Stalled as error:
            self.violations.append(f"stalled: {error}")
        except Exception as error:
            self.violations.append(f"broken: {type(error).__name__}: {error}")
        return Outcome(
            seed=self.seed,
            violations=self.violations,
            blows=self.blows,
            digest=self.chronicle.digest(),
            seconds=self.loop.time(),
            counts=self._counts(),
            lines=self.chronicle.lines,
        )

    def _counts(self) -> dict[str, int]:
        return {
            "calls": len(self.harness.targets.calls),
            "hooks": len(self.harness.targets.hooks),
            "deliveries": len(self.harness.targets.deliveries),
            "operations": len(self.clients.operations),
            "records": sum(self.harness.log.place(each).end for each in range(self.scenario.sizes.partitions)),
            "blows": len(self.nemesis.struck),
            "crashes": self.nemesis.crash_count,
            "lives": sum(node.lives for node in self.nodes),
            "steps": self.loop.step_count,
        }

    async def _main(self) -> None:
        scenario = self.scenario
        for node in self.nodes:
            node.start()
        self.nemesis.begin()
        self.clients.tell(scenario.job_count, scenario.schedule_count, seconds=scenario.seconds)
        await asyncio.sleep(scenario.seconds)
        self.nemesis.heal()
        await self.clients.settle()
        await self._end_schedules()
        left = await self._quiet()
        if left:
            self.violations += [f"stuck: {each}" for each in left[:10]]
        ended_at = self.chronicle.now_exact()
        node = next(each for each in self.nodes if each.app is not None)
        listed = [job_id for account in ACCOUNTS for job_id in await self.clients.list_all(account, node)]
        if scenario.sizes.keeps:
            self.violations += await timelines(self.harness, self.clients, node)
        evidence = Evidence(
            harness=self.harness,
            nodes=self.nodes,
            clients=self.clients,
            nemesis=self.nemesis,
            listed=[*listed, *swept_jobs(self.harness.store.database, ACCOUNTS, listed)],
            ended_at=ended_at,
            late_ms=scenario.late_ms,
            apart=await kept(self.harness.log, self.harness.store),
        )
        self.violations += judge(evidence)

    async def _end_schedules(self) -> None:
        """Delete the schedules of whose existence nobody was told."""
        await asyncio.sleep(0.5)
        for _ in range(60):
            alive = [each for each in self.harness.store.database.schedules.values() if each.status != 2]
            if not alive:
                return
            await self.clients.end(alive[0].schedule_id)
            await asyncio.sleep(0.2)
        self.violations.append("stuck: a schedule could not be deleted")

    async def _quiet(self) -> list[str]:
        """Wait until nothing is left to be done; return what is when that takes too long."""
        database, began_at = self.harness.store.database, self.chronicle.now()
        within_s = LIMITED_WITHIN_S if self.scenario.sizes.daily_limit else QUIET_WITHIN_S
        while True:
            # A delivery that failed a moment ago may wait for its next try for longer than everything else.
            tries = [each.next_at or 0 for each in database.deliveries.values()]
            last_at = max(began_at, *(job.fire_at for job in database.jobs.values()), *tries)
            left = unfinished(self.harness, self.nodes, self.nemesis.poisoned)
            if not left or self.chronicle.now() >= last_at + within_s * 1000:
                return left
            await asyncio.sleep(0.5)


# What a service says when it met a defect of its own, and lived on.
DEFECTS: Final = frozenset(
    {
        "lease_callback_failed",
        "attempt_broken",
        "attempts_overdue",
        "call_stuck",
        "crashed",
        "fact_unheeded",
        "failed_while_stopping",
        "flush_failed",
        "illegal_decision",
        "lease_keeping_failed",
        "owner_failed",
        "request_crashed",
        "spec_missing",
        "webhook_broken",
        "webhooks_overdue",
    }
)


def is_first_build() -> bool:
    """Whether the process that runs at this moment is of the first contract."""
    process = PROCESS.get()
    return process is not None and process.is_first_build


def _listener(played: Run) -> Any:
    """Return what reads the services' own log: it goes into the chronicle, and a defect is a violation."""

    def listen(_: Any, level: str, said: dict[str, Any]) -> Any:
        if level not in ("debug", "info") and not played.is_over:
            event = said.pop("event")
            with_traceback = said.pop("exc_info", None)
            words = " ".join(f"{name}={value}" for name, value in sorted(said.items()) if name != "exception")
            played.chronicle.note(f"{level}: {event} {words}")
            if event in DEFECTS:
                played.violations.append(f"defect: {event} {words} {_cause(with_traceback)}")
        raise structlog.DropEvent

    return listen


def _cause(error: Any) -> str:
    if error is True:
        error = sys.exc_info()[1]
    if not isinstance(error, BaseException):
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__}: {error} {' '.join(f'{Path(f.filename).name}:{f.lineno}' for f in frames[-4:])}"


def run(
    seed: int,
    blows: Sequence[Blow] | None = None,
    *,
    mutate: Callable[[], Any] = contextlib.nullcontext,
    crash_at: tuple[str, int] | None = None,
) -> Outcome:
    """
    Play *seed*, under *mutate*; the answer is the same for the same arguments, wherever and whenever.

    Args:
        crash_at: a crash point, and the pass of it at which a process dies.
    """
    before = structlog.get_config()
    gc.disable()
    played = Run(seed, blows)
    structlog.configure(processors=[_listener(played)], cache_logger_on_first_use=False)
    try:
        crashing = contextlib.nullcontext() if crash_at is None else played.nemesis.crashing_at(*crash_at)
        with limited((*played.scenario.limits, *PACED)), reading(is_first_build), mutate(), crashing:
            return played.play()
    finally:
        played.is_over = True
        played.loop.abandon()
        structlog.configure(**before)
        errors._left.clear()
        gc.enable()
