"""
Owners and dispatchers of the protocol model.

The owner is the real `Decider` over the real `Ledger`; this module only moves bytes between it, the log and the tables, one awaited
step at a time, as the scheduler's service does: read, look up what is missing, fold, decide, append, flush, evict, refill.
The dispatcher's tail uses the real admission.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from libs.domain.admission import admits_claim, admits_decision
from libs.domain.history.floors import Floors
from libs.domain.job import JobStatus
from libs.domain.job import due as due_of
from libs.domain.ledger import Applied, Ledger, Verdict, names
from libs.domain.retry_policy import Result, classify
from libs.domain.state_registry import State
from libs.events import (
    AttemptDue,
    AttemptFinished,
    Claim,
    Envelope,
    Event,
    HistoryForgotten,
    OwnerClaimed,
    Spec,
    encode,
)
from libs.events.fields import MAX_INSTANT
from libs.store.projection.changes import PartitionChanges
from services.scheduler.decider import Decider
from services.scheduler.new_jobs import NewJobs
from tests.fakes import events
from tests.property.calendar import made_zones
from tests.simulation.model.harness import Call, Harness, Partition, Stored
from tests.simulation.model.history import is_forgotten_at

RETRY_BASE_S = 1.0
HAND_OFF_EARLY_MS = 1_000
SKEW_MS = 300  # the most that an owner's clock is wrong


class Flushing(NamedTuple):
    """A flush that was sent and not yet answered."""

    old: int
    new: int
    claim: Claim | None
    changes: PartitionChanges


class Owner:
    """Decides for one partition, until it learns that it is not the owner any more. Many may be alive at once."""

    ledger_type: type[Ledger] = Ledger
    decider_type: type[Decider] = Decider

    def __init__(self, harness: Harness, part: Partition) -> None:
        self.harness = harness
        self.part = part
        self.dead = False
        self.skew_ms = harness.rng.choice((0, 0, -SKEW_MS, SKEW_MS))
        tables = part.tables
        self.nonce = harness.nonce()
        self.claim = Claim(tables.acquire(self.nonce), self.nonce)
        self.saved = tables.position
        self.changes = PartitionChanges(part.number)
        self.lookup: tuple[Sequence[Stored], list[State]] | None = None
        self.refilling: tuple[int, int, list[State]] | None = None
        self.resume_at = MAX_INSTANT
        self.flushing: Flushing | None = None
        self.early_ms = 0
        self.decider = self.decider_type(
            self.ledger_type(part.number, position=tables.position, claim=tables.claim),
            self.claim,
            lead_ms=harness.settings.lead_ms,
            retry_base_s=RETRY_BASE_S,
            concurrency=harness.settings.slots,
            horizon_at=0,
            zones=made_zones.find,
        )
        self.decider.ledger.floors = self.first_floors(tables.floors)
        self.decider.new_jobs = NewJobs(tables.newest_job())
        self.decider.load(tables.load_open())
        part.send(self, [encode(events.claimed(self.claim, self.now))], failed=self.resign)

    def first_floors(self, floors: Floors) -> Floors:
        """Return what is forgotten, as this owner begins with it."""
        return floors

    @property
    def now(self) -> int:
        """The time by this node's clock."""
        return self.harness.now + self.skew_ms

    def resign(self) -> None:
        """Stop for good. To decide again, a new owner starts from the tables."""
        self.dead = True

    def step(self) -> None:
        """Do one thing."""
        chance = self.harness.rng.random()
        if chance < 0.03:
            self.forget()
        elif chance < 0.5:
            self.read()
        elif chance < 0.75:
            self.decide()
        elif chance < 0.9:
            self.flush()
        else:
            self.refill()

    def turn(self) -> None:
        """Do everything once; used when the run has calmed down."""
        for act in (self.refill, self.read, self.decide, self.flush):
            if not self.dead:
                act()

    def settle(self) -> None:
        """Take the answers that are still on their way, then let go of what need not be in memory."""
        if self.refilling is not None:
            self.refill()
        if self.lookup is not None:
            self.read()
        self.evict()

    def is_fenced(self) -> bool:
        """Say whether the rows that are about to be read are this owner's own fold, as `FencedTables` does."""
        return self.part.tables.position == self.saved

    def read(self) -> None:
        """Fold the next records, having looked up what they name."""
        decider, rng = self.decider, self.harness.rng
        if self.lookup is None:
            start = decider.ledger.position + 1
            if start < self.part.begin:
                self.harness.violate(f"I31 an owner reads {start}, and the log begins at {self.part.begin}")
            batch = self.part.records[start : start + rng.randint(1, 4)]
            if not batch:
                return
            self.evict()
            named = {owner_id for stored in batch for owner_id in names(stored.item)}
            missing = decider.missing(named)
            is_watching = not named <= decider.ledger.states.keys() and rng.random() < 0.8  # FencedTables.watch
            if (missing or is_watching) and not self.is_fenced():
                self.resign()
                return
            rows = self.part.tables.load(missing)
            self.lookup = (batch, rows)
            if missing and rng.random() < 0.5:
                return  # the answer is on its way
        batch, rows = self.lookup
        self.lookup = None
        decider.load(rows)
        for position, envelope, item, _ in batch:
            applied = decider.apply(position, item, envelope.claim)
            self.note(applied)
            if decider.superseded:
                self.resign()
                return
        return

    def note(self, applied: Applied) -> None:
        """Remember what a record changed until it is saved."""
        if applied.verdict is Verdict.ILLEGAL:
            self.harness.violate(f"I7 an owner folded an illegal decision: {applied.event}")
        self.changes.add(applied)

    def decide(self) -> None:
        """Append what is owed now; decisions are made at the time that the decider named, not before."""
        at = self.decider.next_decision_at()
        if at is not None and at - self.early_ms <= self.now:
            self.append(self.decider.decide(self.now, self.harness.rng.random, early_ms=self.early_ms))

    def forget(self) -> None:
        """Decide that what ended a while ago is forgotten, failures later than the rest."""
        history_ms = self.harness.settings.history_ms
        if history_ms is None or not self.decider.is_deciding or self.decider.superseded:
            return
        through = self.decider.ledger.position + 1
        before = self.now - history_ms
        failed_before = before - self.harness.rng.choice((0, history_ms))
        self.append(
            [HistoryForgotten(through=through, success_before=before, failed_before=failed_before, at=self.now)]
        )

    def hand_over(self) -> None:
        """Write the dues and ticks of the next second early from now on, as an owner does whose process is to stop."""
        self.harness.handed_over.add(str(self.claim))
        self.early_ms = HAND_OFF_EARLY_MS
        self.decide()

    def append(self, decisions: list[Event]) -> None:
        """Append *decisions* in one or several goes; a failed one ends this owner."""
        envelopes = [encode(decision, self.claim) for decision in decisions]
        while envelopes:
            count = self.harness.rng.randint(1, len(envelopes))
            self.part.send(self, envelopes[:count], failed=self.resign)
            del envelopes[:count]

    def flush(self) -> None:
        """Save what changed, fenced."""
        ledger = self.decider.ledger
        if self.flushing is None:
            if ledger.position == self.saved:
                return
            self.flushing = Flushing(self.saved, ledger.position, ledger.claim, self.changes)
            self.changes = PartitionChanges(self.part.number)
            if self.harness.rng.random() < 0.5:
                return  # on its way
        flushing, self.flushing = self.flushing, None
        if not self.write(flushing):
            self.resign()
            return
        self.saved = flushing.new

    def write(self, flushing: Flushing) -> bool:
        """Perform the flush in the tables and hold it against the oracle (I4)."""
        if not self.part.tables.flush(self.nonce, flushing.old, flushing.new, flushing.claim, flushing.changes):
            return False
        self.compare()
        return True

    def compare(self) -> None:
        """I4: the tables at position o are the fold up to o."""
        part, tables = self.part, self.part.tables
        for owner_id in part.history:
            row = tables.row(owner_id)
            truth = part.truth(owner_id, tables.position)
            if row is None and owner_id in part.forgotten and is_forgotten_at(part, owner_id):
                continue  # the janitor deleted it
            if row != truth:
                self.harness.violate(f"I4 at {tables.position} the tables hold {row}, the fold says {truth}")

    def evict(self) -> None:
        """Drop what the tables hold, unless an answer of the tables is on its way."""
        if self.lookup is None and self.refilling is None:
            self.decider.evict(self.unsaved)

    @property
    def unsaved(self) -> set[str]:
        """The ids whose states are newer than the tables."""
        return {*self.changes.states, *(self.flushing.changes.states if self.flushing is not None else ())}

    def refill(self) -> None:
        """Move the horizon on, and load what came into sight: what is owed between the old one and the new one."""
        decider, settings, tables = self.decider, self.harness.settings, self.part.tables
        if self.refilling is None:
            since, target = min(decider.horizon_at, self.resume_at), self.now + settings.window_ms
            if since >= self.now + settings.window_ms // 2:
                if self.harness.rng.random() < 0.05:
                    decider.shrink(self.now + settings.window_ms // 4)  # too much in memory
                return
            if not self.is_fenced():
                self.resign()
                return
            self.extend(target)
            limit, lead_ms = settings.load_limit, settings.lead_ms
            jobs = tables.load_due(since + lead_ms if since else 0, target + lead_ms, limit)
            schedules = tables.load_schedules(since + lead_ms if since else 0, target + lead_ms, limit)
            reached = target
            if len(jobs) == limit:
                reached = min(reached, jobs[-1].fire_at - lead_ms)
            if len(schedules) == limit:
                reached = min(reached, (schedules[-1].next_run_at or 0) - lead_ms)
            self.refilling = (target, reached, [*jobs, *schedules])
            if self.harness.rng.random() < 0.5:
                return  # the answer is on its way
        target, reached, rows = self.refilling
        self.refilling = None
        decider.load(rows)
        self.resume_at = reached
        if reached < target:
            decider.shrink(reached + 1)
        return

    def extend(self, horizon_at: int) -> None:
        """Move the horizon on, so that what is folded while the answer is on its way goes straight to memory."""
        self.decider.extend(horizon_at)


class Dispatcher:
    """Makes the HTTP calls of one partition. Many may be alive at once."""

    def __init__(self, harness: Harness, part: Partition) -> None:
        self.harness = harness
        self.part = part
        self.dead = False
        self.barrier = part.end - 1
        self.ready = False
        self.position = -1
        self.claim: Claim | None = None
        self.todo: list[AttemptDue] = []
        harness.dispatcher_count += 1

    def step(self) -> None:
        """Do one thing."""
        if not self.ready:
            self.start()
        elif self.harness.rng.random() < 0.6:
            self.tail()
        else:
            self.fire(crash_share=0.05)

    def turn(self) -> None:
        """Do everything once; used when the run has calmed down."""
        if not self.ready:
            self.start()
        else:
            self.tail()
            self.fire(crash_share=0.0)

    def start(self) -> None:
        """Wait until the tables hold all that was logged when this began, then take what is running."""
        tables = self.part.tables
        if tables.position < self.barrier:
            return
        self.position, self.claim = tables.position, tables.claim
        for job in tables.jobs.values():
            if job.status == JobStatus.RUNNING and not job.held:
                self.todo.append(due_of(job, job.attempt, job.fire_at))
        self.ready = True

    def admits(self, envelope: Envelope) -> bool:
        """Say whether a decision counts."""
        return admits_decision(self.claim, envelope.claim)

    def tail(self) -> None:
        """Read on: only claims and dues matter here. One that is behind the log begins again with what is running."""
        if self.position + 1 < self.part.begin:
            self.barrier, self.ready, self.todo = self.part.end - 1, False, []
            return
        for stored in self.part.records[self.position + 1 : self.position + 4]:
            self.position = stored.position
            item = stored.item
            if isinstance(item, OwnerClaimed):
                if admits_claim(self.claim, item):
                    self.claim = Claim(item.epoch, item.nonce)
            elif isinstance(item, AttemptDue) and self.admits(stored.envelope):
                self.todo.append(item)

    def fire(self, *, crash_share: float) -> None:
        """Make one call whose time has come, and report how it went."""
        harness, rng, specs = self.harness, self.harness.rng, self.part.tables.specs
        for _ in range(len(self.todo)):
            due = self.todo.pop(rng.randrange(len(self.todo)))
            if due.not_before <= harness.now and due.spec_id in specs:
                break
            self.todo.append(due)
        else:
            return
        if self.is_too_late(due):
            said = {"ok": False, "error": "too_late", "outcome": "too_late"}
            self.report(events.finished(due.job_id, harness.now, due.attempt, **said))
            return
        first_result = self.part.finished.get((due.job_id, due.attempt))
        was_finished = first_result is not None and first_result <= self.barrier
        spec = msgspec.json.decode(specs[due.spec_id], type=Spec)
        harness.calls.append(Call(due.job_id, due.attempt, harness.now, spec.url, was_finished))
        if rng.random() < crash_share:
            self.dead = True  # between the call and its report
            harness.dispatcher_count += 1
            return
        status = 200 if rng.random() < 0.5 else rng.choice((503, 503, 500, 410, 404))
        asked_ms = 2_000 if status == 503 and rng.random() < 0.4 else None
        snooze_ms = rng.choice((1_000, 20_000)) if rng.random() < 0.05 else None
        result = Result(status, asked_ms=asked_ms, snooze_ms=snooze_ms, is_final=rng.random() < 0.05)
        word, wait_ms = classify(due.retry, due.success_on, result)
        self.report(
            events.finished(
                due.job_id,
                harness.now,
                due.attempt,
                ok=word == "success",
                status_code=status,
                error="timeout" if status in (404, 500) else None,  # its answer did not end in time
                retry_after_ms=wait_ms,
                outcome=None if word in ("success", "failure") else word,
            )
        )

    def is_too_late(self, due: AttemptDue) -> bool:
        """Say whether the try may not start any more."""
        return due.too_late_at is not None and self.harness.now >= due.too_late_at

    def seal(self, fact: Event) -> Envelope:
        """Return the record of a fact: facts bear no claim."""
        return encode(fact)

    def report(self, fact: AttemptFinished) -> None:
        """Append *fact*, again and again until it is in."""
        if not self.dead:
            self.part.send(self, [self.seal(fact)], failed=partial(self.report, fact))
