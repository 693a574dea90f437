"""
The harness of the protocol model: logs, tables and time, and everything that may go wrong with them.

Time is a number that the script moves. A log is a list; what is appended to it is first under way, in one queue per source (G2),
and then lands, late or never. The tables are one partition's folded states and its progress, fenced as the store fences them; a
failover puts all of them back to an older moment, as a lagging replica would. Reservations of idempotency keys are written
synchronously and survive it.

Every record is written with `codec.encode` and read with `codec.read`. As it lands, the *oracle*, the real ledger holding
everything, folds it: what the oracle says is what is true.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from libs.domain.history.floors import FIELDS, NOTHING_FORGOTTEN, Floors
from libs.domain.job import JobState, JobStatus
from libs.domain.jobs.delivery import DeliveryState
from libs.domain.ledger import Applied, Ledger, Verdict
from libs.domain.schedule import ScheduleState
from libs.domain.state_registry import State
from libs.events import AttemptDue, AttemptFinished, Claim, Envelope, Event, Unknown, Unreadable
from libs.events.codec import read
from libs.store.projection.changes import ExecutionRow, PartitionChanges
from tests.simulation.model.history import Janitor, note_forgotten

START_AT = 1_800_000_000_000  # a full hour, so that the ticks of */n are multiples of n minutes
OPEN = (JobStatus.RUNNING, JobStatus.FINISHING)


class Stored(NamedTuple):
    """A record of the log, as every reader sees it, and what it did to the oracle."""

    position: int
    envelope: Envelope
    item: Event | Unknown | Unreadable
    applied: Applied


class Call(NamedTuple):
    """One HTTP request that left a dispatcher."""

    job_id: str
    attempt: int
    at: int
    url: str
    was_finished: bool  # the attempt's result stood in the log already when this dispatcher started


class Append:
    """An append under way; its sender learns of its fate through the two callbacks, if it still listens."""

    __slots__ = ("envelopes", "failed", "landed")

    def __init__(
        self,
        envelopes: Sequence[Envelope],
        landed: Callable[[int], None] | None,
        failed: Callable[[], None] | None,
    ) -> None:
        self.envelopes = envelopes
        self.landed = landed
        self.failed = failed


@dataclass(slots=True)
class Tables:
    """One partition's rows and progress. Every method is one transaction."""

    position: int = -1
    claim: Claim | None = None
    lease_epoch: int = 0
    lease_nonce: str = ""
    jobs: dict[str, JobState] = field(default_factory=dict)
    schedules: dict[str, ScheduleState] = field(default_factory=dict)
    deliveries: dict[str, DeliveryState] = field(default_factory=dict)
    specs: dict[str, bytes] = field(default_factory=dict)
    executions: dict[tuple[str, int], ExecutionRow] = field(default_factory=dict)
    usage: dict[tuple[str, int], int] = field(default_factory=dict)
    floors: Floors = NOTHING_FORGOTTEN

    def copy(self) -> Tables:
        """Return what a replica holds at this moment."""
        return Tables(
            self.position,
            self.claim,
            self.lease_epoch,
            self.lease_nonce,
            dict(self.jobs),
            dict(self.schedules),
            dict(self.deliveries),
            dict(self.specs),
            dict(self.executions),
            dict(self.usage),
            self.floors,
        )

    def acquire(self, nonce: str) -> int:
        """Take the lease and return its epoch. Safety does not depend on whether the lease had expired."""
        self.lease_epoch = max(self.lease_epoch, self.claim.epoch if self.claim else 0) + 1
        self.lease_nonce = nonce
        return self.lease_epoch

    def is_fenced_for(self, nonce: str, position: int) -> bool:
        """Say whether the lease is still *nonce*'s and the rows are those of *position*."""
        return self.lease_nonce == nonce and self.position == position

    def flush(self, nonce: str, old: int, new: int, claim: Claim | None, changes: PartitionChanges) -> bool:
        """Write *changes* and the new position, if the fence holds."""
        if not self.is_fenced_for(nonce, old):
            return False
        self.write(changes)
        self.position, self.claim = new, claim
        return True

    def write(self, changes: PartitionChanges) -> None:
        """Upsert the rows of *changes*, and count its usage."""
        self.jobs.update(changes.states.of(JobState))
        self.schedules.update(changes.states.of(ScheduleState))
        self.deliveries.update(changes.states.of(DeliveryState))
        for spec_id, spec in changes.specs.items():
            self.specs.setdefault(spec_id, spec)
        self.executions.update(changes.executions)
        for day, count in changes.usage.items():
            self.usage[day] = self.usage.get(day, 0) + count
        if changes.floors is not None:
            self.floors = Floors(
                **{name: max(getattr(self.floors, name), getattr(changes.floors, name)) for name in FIELDS}
            )

    def row(self, any_id: str) -> State | None:
        """Return the row of *any_id*, of whatever kind."""
        return self.jobs.get(any_id) or self.schedules.get(any_id) or self.deliveries.get(any_id)

    def load(self, ids: Iterable[str]) -> list[State]:
        """Return the rows of *ids* that exist."""
        found: list[State] = []
        for owner_id in ids:
            row = self.row(owner_id)
            if row is not None:
                found.append(row)
        return found

    def newest_job(self) -> str:
        """Return an id that no row of a job exceeds."""
        return max(self.jobs, default="")

    def load_open(self) -> list[State]:
        """Return the jobs for which something is under way, and the schedules for which something is owed at once."""
        jobs = [job for job in self.jobs.values() if job.status in OPEN or job.cancel_requested]
        return [*jobs, *(row for row in self.schedules.values() if row.owes_now)]

    def load_due(self, since: int, before: int, limit: int) -> list[JobState]:
        """Return the waiting jobs with since <= fire_at < before, soonest first."""
        rows = [job for job in self.jobs.values() if job.is_waiting and not job.held and since <= job.fire_at < before]
        return sorted(rows, key=lambda job: job.fire_at)[:limit]

    def load_schedules(self, since: int, before: int, limit: int) -> list[ScheduleState]:
        """Return the active schedules with since <= next_run_at < before, soonest first."""
        rows = [
            (row.next_run_at, row.schedule_id, row)
            for row in self.schedules.values()
            if row.is_active and not row.held and row.next_run_at is not None and since <= row.next_run_at < before
        ]
        return [row for _, _, row in sorted(rows)][:limit]


class Partition:
    """One partition: its log, the appends under way to it, its tables, and the oracle."""

    def __init__(self, number: int, tables: Tables) -> None:
        self.number = number
        self.records: list[Stored] = []
        self.begin = 0  # what stands before is trimmed; `records` keeps it for the oracle
        self.queues: dict[object, deque[Append]] = {}
        self.tables = tables
        self.oracle = Ledger(number)
        self.history: dict[str, list[tuple[int, State]]] = {}
        self.finished: dict[tuple[str, int], int] = {}  # attempts -> position of the first result in the log
        self.due: dict[tuple[str, int], int] = {}  # admitted attempts -> not_before
        self.illegal: list[Stored] = []
        self.forgotten: dict[str, State] = {}  # by the decisions that count
        self.violations: list[str] = []

    @property
    def end(self) -> int:
        """The first unwritten position."""
        return len(self.records)

    def send(
        self,
        source: object,
        envelopes: Sequence[Envelope],
        landed: Callable[[int], None] | None = None,
        failed: Callable[[], None] | None = None,
    ) -> None:
        """Start an append; it lands behind what *source* sent before."""
        self.queues.setdefault(source, deque()).append(Append(envelopes, landed, failed))

    def land(self, rng: random.Random) -> None:
        """Let the oldest append of some source become durable."""
        if not self.queues:
            return
        sources = list(self.queues)
        source = sources[int(rng.random() * len(sources))]
        queue = self.queues[source]
        append = queue.popleft()
        if not queue:
            del self.queues[source]
        position = self.end
        for envelope in append.envelopes:
            self.write(envelope)
        if append.landed is not None:
            append.landed(position)

    def fail(self, rng: random.Random) -> None:
        """Tell some source that an append's outcome is unknown; it is lost, or lands later in part or wholly (G6)."""
        if not self.queues:
            return
        source = rng.choice(list(self.queues))
        queue = self.queues[source]
        index = rng.randrange(len(queue))
        append = queue[index]
        del queue[index]
        if not queue:
            del self.queues[source]
        if rng.random() < 0.6:
            survivors = append.envelopes[: rng.randint(1, len(append.envelopes))]
            self.send(object(), survivors)
        if append.failed is not None:
            append.failed()

    def drop(self, source: object, rng: random.Random) -> None:
        """Kill a source: what it had under way is lost from some point on, and nobody hears of the rest."""
        queue = self.queues.get(source)
        if queue is None:
            return
        for _ in range(rng.randint(0, len(queue))):
            queue.pop()
        for append in queue:
            append.landed = append.failed = None
        if not queue:
            del self.queues[source]

    def write(self, envelope: Envelope) -> None:
        """Put a record into the log."""
        item = read(self.number, envelope)
        position = self.end
        applied = self.oracle.apply(position, item, envelope.claim)
        stored = Stored(position, envelope, item, applied)
        self.records.append(stored)
        for state_id, state in applied.changed.items():
            self.history.setdefault(state_id, []).append((position, state))
        if applied.verdict is Verdict.ILLEGAL:
            self.illegal.append(stored)
        self.violations += note_forgotten(self, stored)
        if isinstance(item, AttemptFinished):
            self.finished.setdefault((item.job_id, item.attempt), position)
        elif isinstance(item, AttemptDue) and applied.verdict is Verdict.APPLIED:
            self.due[item.job_id, item.attempt] = item.not_before

    def truth(self, owner_id: str, position: int) -> State | None:
        """Return the oracle's state of *owner_id* as of *position*."""
        for at, state in reversed(self.history.get(owner_id, ())):
            if at <= position:
                return state
        return None


@dataclass(frozen=True, slots=True)
class Settings:
    """What differs from seed to seed besides the script."""

    partitions: int
    failover: bool
    poison: bool
    outages: bool
    jobs: int
    schedules: int
    lead_ms: int
    window_ms: int
    load_limit: int
    slots: int
    history_ms: int | None  # None: nothing is forgotten
    has_keys: bool

    @classmethod
    def draw(cls, rng: random.Random) -> Settings:
        """Return the settings of one run."""
        return cls(
            partitions=1 if rng.random() < 0.85 else 2,
            failover=rng.random() < 0.5,
            poison=rng.random() < 0.2,
            outages=rng.random() < 0.3,
            jobs=rng.randint(1, 5),
            schedules=rng.choice((0, 1, 1, 2)),
            lead_ms=rng.choice((0, 75, 75, 400)),
            window_ms=rng.choice((3_000, 20_000, 200_000)),
            load_limit=rng.choice((1, 2, 100, 100)),
            slots=rng.choice((1, 2, 1_000)),
            history_ms=rng.choice((None, None, 5_000, 20_000, 60_000)),
            has_keys=rng.random() < 0.35,
        )


class Harness:
    """Everything that is not an actor."""

    def __init__(self, rng: random.Random, tables: type[Tables] = Tables, janitor: type[Janitor] = Janitor) -> None:
        self.rng = rng
        self.janitor = janitor()
        self.settings = Settings.draw(rng)
        self.now = START_AT
        self.partitions = [Partition(number, tables()) for number in range(self.settings.partitions)]
        self.reservations: dict[str, str] = {}
        self.calls: list[Call] = []
        self.violations: list[str] = []
        self.dispatcher_count = 0
        self.failover_count = 0
        self.handed_over: set[str] = set()  # claims of owners that wrote ahead what was due soon
        self._replicas: list[list[Tables]] = []
        self.replicate()

    def nonce(self) -> str:
        """Return a nonce that nobody else has."""
        return f"{self.rng.getrandbits(64):016x}"

    def entropy(self) -> bytes:
        """Return eight random bytes."""
        return self.rng.getrandbits(64).to_bytes(8, "big")

    def replicate(self) -> None:
        """Remember the tables as they are now; a replica lags by up to four such moments."""
        if self.settings.failover:
            self._replicas = [*self._replicas[-3:], [partition.tables.copy() for partition in self.partitions]]

    def oldest_position(self, part: Partition) -> int:
        """Return the position of the oldest tables with which *part* may have to go on."""
        return min([part.tables.position, *(replica[part.number].position for replica in self._replicas)])

    def fail_over(self) -> None:
        """Go on with a replica's tables."""
        if self.settings.failover:
            self.failover_count += 1
            chosen = self.rng.choice(self._replicas)
            for partition, replica in zip(self.partitions, chosen, strict=True):
                partition.tables = replica.copy()

    def violate(self, text: str) -> None:
        """Note that something happened which must never happen."""
        if len(self.violations) < 20:
            self.violations.append(text)
