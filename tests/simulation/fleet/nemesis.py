"""
Nemesis: the faults of a run. They are drawn before it begins, as a list, so that a failing run can be repeated with some left out.

Every seed draws which kinds of fault it knows at all: a run with two kinds finds what a run with all of them drowns.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final
from unittest import mock

from libs.events import Claim, Envelope, OwnerClaimed, encode
from libs.runtime import crashpoint
from tests.chaos.judging.history import Fault
from tests.simulation.fleet.loop import PROCESS
from tests.simulation.fleet.node import Harness, Node

RECOVERY_S: Final = 16.0  # what was due is fired at most 15 s after healing, and a second for the bound itself
KINDS: Final = (
    "kill",
    "kill",
    "fuse",
    "term",
    "drain",
    "freeze",
    "store_crash",
    "store_failover",
    "store_trouble",
    "log_down",
    "log_trouble",
    "slow_reads",
    "cut_store",
    "cut_log",
    "steal",
    "skew",
    "poison",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """One fault, *at_s* after the beginning, for *for_s*: *node* and *number* say whom it hits, *amount* how hard."""

    kind: str
    at_s: float
    for_s: float
    node: int
    number: int
    amount: float

    def __str__(self) -> str:
        return f"{self.at_s:8.3f} s {self.kind} node {self.node} number {self.number} for {self.for_s:.3f} s, {self.amount:.3f}"


def draw_blows(seed: str, *, seconds: float, node_count: int) -> list[Blow]:
    """Return the faults of *seed*; none in one run of eight."""
    draw = random.Random(f"{seed} faults")
    if draw.random() < 0.125:
        return []
    known = [kind for kind in KINDS if draw.random() < 0.35] or ["kill"]
    found = [
        Blow(
            kind=draw.choice(known),
            at_s=draw.uniform(1.5, seconds),
            for_s=draw.choice((0.2, 1.0, 3.0, 7.0)) * (0.5 + draw.random()),
            node=draw.randrange(node_count),
            number=draw.randrange(1_000),
            amount=draw.random(),
        )
        for _ in range(draw.randint(1, 8))
    ]
    return sorted(found, key=lambda blow: blow.at_s)


def draw_keeper_blows(seed: str, *, seconds: float, node_count: int) -> list[Blow]:
    """Return deaths in the middle of forgetting, sweeping, carrying and trimming, and requests that are repeated late."""
    draw = random.Random(f"{seed} keepers")
    return [
        Blow(
            kind=kind,
            at_s=draw.uniform(earliest_s, seconds),
            for_s=draw.uniform(0.2, 6.0),
            node=draw.randrange(node_count),
            number=draw.randint(1, 40),
            amount=0.0,
        )
        for kind, earliest_s in (("keeper", 20.0), ("echo", 60.0))
        for _ in range(draw.randint(2, 6))
    ]


class Nemesis:
    """Strikes, and heals in the end."""

    def __init__(self, harness: Harness, nodes: Sequence[Node], blows: Sequence[Blow]) -> None:
        """Strike *nodes* with *blows* when their time has come."""
        self.harness = harness
        self.nodes = nodes
        self.poisoned: set[str] = set()
        self.struck: list[tuple[Blow, Fault]] = []
        self.crash_count = 0
        self._loop = harness.loop
        self._blows = blows
        self._over = False

    def begin(self) -> None:
        """Set the timers of all blows."""
        for blow in self._blows:
            self._loop.outside(self._loop.time() + blow.at_s, self._strike, blow)

    @contextlib.contextmanager
    def crashing_at(self, point: str, passes: int) -> Iterator[None]:
        """Whichever process passes the crash point for the *passes*-th time dies there, unless all is healed by then."""
        left = passes

        def passed(name: str) -> None:
            nonlocal left
            process = PROCESS.get()
            if name != point or process is None or process.is_dead or self._over:
                return
            left -= 1
            if left == 0:
                self.crash_count += 1
                number = next(number for number, node in enumerate(self.nodes) if node.process is process)
                at_s = self._loop.time()
                self._strike(Blow(kind="kill", at_s=at_s, for_s=1.0, node=number, number=0, amount=0.0))

        with mock.patch.multiple(crashpoint, _armed=point, _pass=passed):
            yield

    def heal(self) -> None:
        """End every fault at this moment, and strike no more."""
        self._over = True
        harness = self.harness
        harness.log.is_down = False
        harness.log.trouble = harness.log.slow_reads = 0.0
        harness.store.trouble = 0.0
        harness.store.database.draining.clear()
        if harness.store.is_down:
            harness.store.come_back()
        for node in self.nodes:
            node.skew_ms = 0
            if node.keepers is not None:
                node.keepers.step.left = None
            if node.process is not None:
                node.process.fuse = None
                node.process.skew_ms = 0
                self._loop.thaw(node.process)
            if node.log is not None:
                node.log.is_cut = False
            if node.store is not None:
                node.store.is_cut = False
            if not node.is_up:
                node.start()
            elif node.stopping is not None:
                self._revive(node)
        harness.chronicle.note("healed")
        now = harness.chronicle.now_exact()
        self.struck = [
            (blow, Fault(kind=fault.kind, at=fault.at, until=min(fault.until, now + RECOVERY_S * 1000)))
            for blow, fault in self.struck
        ]

    def _strike(self, blow: Blow) -> None:
        if self._over:
            return
        node = self.nodes[blow.node]
        self.harness.chronicle.note(f"nemesis {blow}")
        getattr(self, f"_{blow.kind}")(blow, node)
        at = self.harness.chronicle.now_exact()
        heals_s = STOP_S if blow.kind == "term" else blow.for_s
        kind = "term" if blow.kind == "drain" else blow.kind  # neither excuses more than lateness
        self.struck.append((blow, Fault(kind=kind, at=at - 5.0, until=at + (heals_s + RECOVERY_S) * 1000)))

    def _later(self, blow: Blow, heal: object, *args: object) -> None:
        self._loop.outside(self._loop.time() + blow.for_s, self._heal_one, heal, args)

    def _heal_one(self, heal: object, args: tuple[object, ...]) -> None:
        if not self._over:
            heal(*args)  # type: ignore[operator]

    def _kill(self, blow: Blow, node: Node) -> None:
        node.kill()
        self._later(blow, node.start)

    def _fuse(self, blow: Blow, node: Node) -> None:
        """Dies in the middle of what it does at one instant, after some steps more."""
        if node.is_up and node.process is not None:
            node.process.fuse = 1 + int(blow.amount * 200)
        self._loop.outside(self._loop.time() + blow.for_s + 1.0, self._heal_one, self._restart, (node,))

    def _keeper(self, blow: Blow, node: Node) -> None:
        """Dies in the middle of what its keepers do, after some steps more."""
        if node.is_up and node.keepers is not None:
            node.keepers.step.left = blow.number
            node.keepers.step.dies = partial(self._keeper_dies, blow, node)

    def _keeper_dies(self, blow: Blow, node: Node) -> None:
        at = self.harness.chronicle.now_exact()
        self.struck.append((blow, Fault(kind="kill", at=at - 5.0, until=at + (blow.for_s + RECOVERY_S) * 1000)))
        self._loop.outside(self._loop.time() + blow.for_s, self._heal_one, node.start, ())

    def _echo(self, blow: Blow, _: Node) -> None:
        """One of the oldest requests arrives once more."""
        partition = blow.number % self.harness.sizes.partitions
        asked = [each for each in self.harness.log.records(partition) if each.envelope.type == "job.scheduled"][:5]
        if asked:
            self.harness.log.write(partition, [asked[blow.number % len(asked)].envelope])

    def _restart(self, node: Node) -> None:
        node.kill()
        node.start()

    def _term(self, blow: Blow, node: Node) -> None:
        node.stop()
        self._loop.outside(self._loop.time() + blow.for_s, self._start_again, node)

    def _drain(self, blow: Blow, node: Node) -> None:
        """An operator asks the node to hand everything over, and later to take part again."""
        draining = self.harness.store.database.draining
        asked = [(role, node.name) for role in node.roles if role != "api"]
        draining.update(asked)
        self._later(blow, draining.difference_update, asked)

    def _start_again(self, node: Node) -> None:
        if not self._over:
            self._revive(node)

    def _revive(self, node: Node) -> None:
        """Start *node* once it has drained."""
        if node.is_up and node.stopping is not None:
            self._loop.outside(self._loop.time() + 0.5, self._revive, node)
        else:
            node.start()

    def _freeze(self, blow: Blow, node: Node) -> None:
        if node.process is not None and node.is_up:
            self._loop.freeze(node.process)
            self._later(blow, self._loop.thaw, node.process)

    def _store_crash(self, blow: Blow, _: Node) -> None:
        if not self.harness.store.is_down:
            self.harness.store.crash()
            self._later(blow, self.harness.store.come_back)

    def _store_failover(self, blow: Blow, _: Node) -> None:
        if not self.harness.store.is_down:
            self.harness.store.fail_over(blow.amount * 4.0)
            self._later(blow, self.harness.store.come_back)

    def _store_trouble(self, blow: Blow, _: Node) -> None:
        self.harness.store.trouble = 0.02 + 0.3 * blow.amount**2
        self._later(blow, setattr, self.harness.store, "trouble", 0.0)

    def _log_trouble(self, blow: Blow, _: Node) -> None:
        self.harness.log.trouble = 0.03 + 0.5 * blow.amount**2
        self._later(blow, setattr, self.harness.log, "trouble", 0.0)

    def _slow_reads(self, blow: Blow, _: Node) -> None:
        self.harness.log.slow_reads = 0.1 + 0.5 * blow.amount
        self._later(blow, setattr, self.harness.log, "slow_reads", 0.0)

    def _log_down(self, blow: Blow, _: Node) -> None:
        self.harness.log.is_down = True
        self._later(blow, setattr, self.harness.log, "is_down", False)

    def _cut_store(self, blow: Blow, node: Node) -> None:
        if node.store is not None:
            node.store.is_cut = True
            self._later(blow, setattr, node.store, "is_cut", False)

    def _cut_log(self, blow: Blow, node: Node) -> None:
        if node.log is not None:
            node.log.is_cut = True
            self._later(blow, setattr, node.log, "is_cut", False)

    def _steal(self, blow: Blow, _: Node) -> None:
        """A lease runs out under the hands of its holder, as it would had the database's clock been set."""
        role = ("scheduler", "dispatcher", "webhooks")[blow.number % 3]
        self.harness.store.database.expire(role, blow.number // 3 % self.harness.sizes.partitions)

    def _skew(self, blow: Blow, node: Node) -> None:
        """A machine's clock is set wrong, by more than may be overlooked; every other time its process is started meanwhile."""
        most_ms = 3_000 if self.harness.sizes.keeps else 29_000
        node.skew_ms = int((1_000 + blow.amount * most_ms) * (1 if blow.number % 2 else -1))
        if node.process is not None:
            node.process.skew_ms = node.skew_ms
        if blow.number // 2 % 2:
            node.kill()
            self._loop.outside(self._loop.time() + 0.3, self._heal_one, node.start, ())
        self._later(blow, self._unskew, node)

    def _unskew(self, node: Node) -> None:
        node.skew_ms = 0
        if node.process is not None:
            node.process.skew_ms = 0

    def _poison(self, blow: Blow, _: Node) -> None:
        log = self.harness.log
        partition = blow.number % self.harness.sizes.partitions
        records = log.records(partition)
        jobs = [each.envelope.key for each in records if each.envelope.type == "job.scheduled"]
        job_id = jobs[blow.number % len(jobs)] if jobs else "nobody"
        now = self.harness.chronicle.now()
        match blow.number % 7:
            case 0:
                envelope = Envelope("attempt.finished", 1, False, None, job_id, b"\xff{not json")
                self.poisoned.add(job_id)
            case 1:
                envelope = Envelope("something.new", 9, False, None, job_id, b"{}")
            case 2:
                envelope = Envelope("job.scheduled", 1, False, None, "", b"\x00")
            case 3:
                envelope = encode(OwnerClaimed(epoch=0, nonce="old0000000000000", node="ghost", at=now))
            case 4:  # somebody's decision, under a claim that nobody has
                found = [each.envelope for each in records if each.envelope.claim is not None]
                envelope = found[-1] if found else Envelope("x.y", 1, False, None, "", b"{}")
                envelope = envelope._replace(claim=str(Claim(10**6, "ghost00000000000")))
            case _:  # a fact once more
                facts = [
                    each.envelope
                    for each in records
                    if each.envelope.claim is None and each.envelope.type != "owner.claimed"
                ]
                envelope = facts[blow.number % len(facts)] if facts else Envelope("x.y", 1, False, None, "", b"{}")
        log.write(partition, [envelope])


STOP_S: Final = 20.0
