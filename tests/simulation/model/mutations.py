"""
Mutations: the protocol with one of its rules taken out. Each must be caught, or the rule, or the model, is not worth its place.

A mutation replaces a player of the cast by a subclass that breaks one rule. The oracle and the checker stay as they are, and the
product knows nothing of any of this. tests/simulation/invariants.py says which mutation, of these and of the fleet's, is caught
by which invariant.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from libs.domain import job as job_fold
from libs.domain.history.floors import Floors
from libs.domain.job import JobState, JobStatus
from libs.domain.ledger import Applied, Ledger, Verdict
from libs.domain.state_registry import State
from libs.events import (
    AttemptDue,
    Claim,
    Envelope,
    Event,
    JobChangeRequested,
    JobScheduled,
    OwnerClaimed,
    Unknown,
    Unreadable,
    encode,
)
from libs.events.codec import kind_of
from libs.store.projection.changes import PartitionChanges
from services.scheduler.decider import Decider
from tests.simulation.model import schedule_mutations as of_schedules
from tests.simulation.model import webhook_mutations
from tests.simulation.model.actors import Dispatcher, Flushing, Owner
from tests.simulation.model.carry.carry_mutations import CARRY_MUTATIONS
from tests.simulation.model.harness import Harness, Partition, Tables
from tests.simulation.model.history import (
    BarsNothing,
    JanitorOfAges,
    JanitorOfPending,
    JanitorOfSpecs,
    JanitorOfWaiting,
)
from tests.simulation.model.keys.keys import KEY_MUTATIONS
from tests.simulation.model.run import Cast, run

Item = Event | Unknown | Unreadable


def _is_decision(item: Item) -> bool:
    return not isinstance(item, Unknown | Unreadable) and kind_of(item).role == "decision"


# No admission: every decision counts, under any claim.


class AdmitsAll(Ledger):
    def apply(self, position: int, item: Item, stamp: str | None) -> Applied:
        return super().apply(position, item, str(self.claim) if _is_decision(item) and self.claim else stamp)


class OwnerWithoutAdmission(Owner):
    ledger_type = AdmitsAll


class DispatcherWithoutAdmission(Dispatcher):
    def admits(self, envelope: Envelope) -> bool:
        return True


# No barrier: an owner decides before it has read its claim back.


class OwnerWithoutBarrier(Owner):
    def __init__(self, harness: Harness, part: Partition) -> None:
        super().__init__(harness, part)
        self.decider.is_deciding = True


# No overlay: what was decided and not read back is decided again.


class DeciderWithoutOverlay(Decider):
    def _commit(self, owner_id: str, state: State, now: int, jitter: float) -> Event:
        decision = super()._commit(owner_id, state, now, jitter)
        self._unread.read_back(owner_id)
        self._arm(owner_id, state)
        return decision


class OwnerWithoutOverlay(Owner):
    decider_type = DeciderWithoutOverlay


# No store fence: the tables take every flush.


class TablesWithoutFence(Tables):
    __slots__ = ()

    def flush(self, nonce: str, old: int, new: int, claim: Claim | None, changes: PartitionChanges) -> bool:
        self.write(changes)
        self.position, self.claim = new, claim
        return True

    def copy(self) -> Tables:
        plain = super().copy()
        return TablesWithoutFence(*(getattr(plain, name) for name in Tables.__dataclass_fields__))


# No fence around reads: after a failover an owner goes on with rows that are older than what it knows.


class OwnerReadingUnfenced(Owner):
    def is_fenced(self) -> bool:
        return True


# Epoch without nonce: two owners that drew the same epoch take each other's decisions for their own.


def _is_of_epoch(stamp: str | None, claim: Claim | None) -> bool:
    return stamp is not None and claim is not None and stamp.startswith(f"{claim.epoch}.")


class AdmitsByEpoch(Ledger):
    def apply(self, position: int, item: Item, stamp: str | None) -> Applied:
        if _is_of_epoch(stamp, self.claim):
            stamp = str(self.claim)
        return super().apply(position, item, stamp)


class DeciderByEpoch(Decider):
    def _on_claim(self, item: OwnerClaimed, applied: Applied) -> None:
        if item.epoch == self.claim.epoch:
            item = msgspec.structs.replace(item, nonce=self.claim.nonce)
            applied = Applied(Verdict.APPLIED, item)
        super()._on_claim(item, applied)


class OwnerByEpoch(Owner):
    ledger_type = AdmitsByEpoch
    decider_type = DeciderByEpoch


class DispatcherByEpoch(Dispatcher):
    def admits(self, envelope: Envelope) -> bool:
        return _is_of_epoch(envelope.claim, self.claim)


# Facts fenced: results bear the claim that the dispatcher knew, and count only under it.


class DispatcherStampingFacts(Dispatcher):
    def seal(self, fact: Event) -> Envelope:
        return encode(fact)._replace(claim=str(self.claim))


class FencesFacts(Ledger):
    def apply(self, position: int, item: Item, stamp: str | None) -> Applied:
        if stamp is not None and stamp != str(self.claim) and not _is_decision(item):
            self.position = position
            return Applied(Verdict.VOID)
        return super().apply(position, item, stamp)


class OwnerFencingFacts(Owner):
    ledger_type = FencesFacts


# Deciding from what is not read back: the owner folds its own decisions as it makes them.


class DeciderAheadOfLog(Decider):
    def _commit(self, owner_id: str, state: State, now: int, jitter: float) -> Event:
        decision = super()._commit(owner_id, state, now, jitter)
        if isinstance(state, JobState):
            self.ledger.states[owner_id] = job_fold.evolve(state, decision, self.ledger.position)
        self._unread.read_back(owner_id)
        return decision


class OwnerAheadOfLog(Owner):
    decider_type = DeciderAheadOfLog


# Tables saved without their position: rows and progress in two transactions, and a crash between them.


class OwnerSavingInTwoSteps(Owner):
    def write(self, flushing: Flushing) -> bool:
        if not self.part.tables.is_fenced_for(self.nonce, flushing.old):
            return False
        self.part.tables.write(flushing.changes)
        if self.harness.rng.random() < 0.2:
            return False
        return super().write(flushing)


# Evicting what is not saved.


class DeciderForgetting(Decider):
    def evict(self, unsaved: Container[str]) -> None:
        super().evict(())


class OwnerForgetting(Owner):
    decider_type = DeciderForgetting


class OwnerKeepingAll(Owner):
    """What the tables hold, and what is far ahead, stays in memory."""

    def evict(self) -> None:
        pass


class OwnerEvictingWhileLoading(Owner):
    """An answer of the tables that was asked for before a flush arrives after it, and brings back what was."""

    def evict(self) -> None:
        self.decider.evict(self.unsaved)


class OwnerForgettingTheHorizon(Owner):
    """What lay beyond the horizon and is still in memory is passed over when the horizon moves on."""

    def extend(self, horizon_at: int) -> None:
        self.decider.horizon_at = horizon_at


# A dispatcher that starts from the tables as they are, however old.


class DispatcherWithoutWaiting(Dispatcher):
    def start(self) -> None:
        barrier, self.barrier = self.barrier, -1
        super().start()
        self.barrier = barrier


# Last wins for job.scheduled.


class LastWins(Ledger):
    def apply(self, position: int, item: Item, stamp: str | None) -> Applied:
        if isinstance(item, JobScheduled):
            self.states.pop(item.job_id, None)
        return super().apply(position, item, stamp)


class OwnerLastWins(Owner):
    ledger_type = LastWins


# A policy ignored: an older build that read the request as if nothing had been added to it.


class DeciderIgnoringPolicies(Decider):
    def _commit(self, owner_id: str, state: State, now: int, jitter: float) -> Event:
        plain = msgspec.structs.replace(state, more=None) if isinstance(state, JobState) else state
        return super()._commit(owner_id, plain, now, jitter)


class OwnerIgnoringPolicies(Owner):
    decider_type = DeciderIgnoringPolicies


class DeciderForgettingChanges(Decider):
    """A job that was changed is called as it was asked for at first."""

    def _commit(self, owner_id: str, state: State, now: int, jitter: float) -> Event | None:
        if isinstance(state, JobState) and state.version and state.schedule_id is None:
            state = msgspec.structs.replace(state, shared_spec_id=None)
        return super()._commit(owner_id, state, now, jitter)


class OwnerForgettingChanges(Owner):
    decider_type = DeciderForgettingChanges


class ChangesWhatIsUnderWay(Ledger):
    """A change that was decided is folded whatever became of the job meanwhile."""

    def apply(self, position: int, item: Item, stamp: str | None) -> Applied:
        applied = super().apply(position, item, stamp)
        if isinstance(item, JobChangeRequested) and applied.verdict is Verdict.REPEATED:
            state = self.states.get(item.job_id)
            if isinstance(state, JobState) and state.status == JobStatus.RUNNING:
                changed = msgspec.structs.replace(state, fire_at=item.fire_at)
                self.states[item.job_id] = changed
                return Applied(Verdict.APPLIED, item, {item.job_id: changed})
        return applied


class OwnerChangingWhatIsUnderWay(Owner):
    ledger_type = ChangesWhatIsUnderWay


class DeciderForgettingStops(Decider):  # a stop counts only before the first attempt: what is under way goes on
    def _commit(self, owner_id: str, state: State, now: int, jitter: float) -> Event | None:
        if isinstance(state, JobState) and state.status in (JobStatus.FINISHING, JobStatus.RETRYING):
            state = msgspec.structs.replace(state, cancel_requested=False)
        return super()._commit(owner_id, state, now, jitter)


class OwnerForgettingStops(Owner):
    decider_type = DeciderForgettingStops


class DispatcherIgnoringExpiry(Dispatcher):
    """A call leaves however late it is."""

    def is_too_late(self, due: AttemptDue) -> bool:
        return False


class OwnerBarringNothing(Owner):
    """A forgotten id that is asked for again makes a job."""

    def first_floors(self, floors: Floors) -> Floors:
        return BarsNothing(**msgspec.structs.asdict(floors))


class Mutation(NamedTuple):
    """A rule taken out, and the invariant that is then broken (the numbers are those of the checker)."""

    breaks: str
    cast: Cast


MUTATIONS: Final[Mapping[str, Mutation]] = {
    "delivery lost at hand-over": Mutation("I22", Cast(webhooks=webhook_mutations.ForgetfulWebhooks)),
    "attempt charged twice": Mutation("I4", Cast(owner=webhook_mutations.OwnerChargingRepeats)),
    "a redelivery that changes health": Mutation("I4", Cast(owner=webhook_mutations.OwnerCountingRedeliveries)),
    "retry before its instant": Mutation("I22", Cast(webhooks=webhook_mutations.HastyWebhooks)),
    "no admission": Mutation("I13", Cast(owner=OwnerWithoutAdmission, dispatcher=DispatcherWithoutAdmission)),
    "no admission in the dispatcher": Mutation("I6", Cast(dispatcher=DispatcherWithoutAdmission)),
    "no barrier": Mutation("I3", Cast(owner=OwnerWithoutBarrier)),
    "no overlay": Mutation("I1", Cast(owner=OwnerWithoutOverlay)),
    "no store fence": Mutation("I4", Cast(tables=TablesWithoutFence)),
    "reads not fenced": Mutation("I7", Cast(owner=OwnerReadingUnfenced)),
    "epoch without nonce": Mutation("I6", Cast(owner=OwnerByEpoch, dispatcher=DispatcherByEpoch)),
    "facts fenced": Mutation("I5", Cast(owner=OwnerFencingFacts, dispatcher=DispatcherStampingFacts)),
    "decides ahead of the log": Mutation("I7", Cast(owner=OwnerAheadOfLog)),
    "tables saved without position": Mutation("I9", Cast(owner=OwnerSavingInTwoSteps)),
    "evicts what is not saved": Mutation("I4", Cast(owner=OwnerForgetting)),
    "evicts while loading": Mutation("I7", Cast(owner=OwnerEvictingWhileLoading)),
    "evicts nothing": Mutation("I14", Cast(owner=OwnerKeepingAll)),
    "forgets memory at the horizon": Mutation("I3", Cast(owner=OwnerForgettingTheHorizon)),
    "dispatcher does not wait": Mutation("I5", Cast(dispatcher=DispatcherWithoutWaiting)),
    "last wins": Mutation("I4", Cast(owner=OwnerLastWins)),
    "tick does not move on": Mutation("I7", Cast(owner=of_schedules.OwnerTickingInPlace)),
    "ticks every missed tick": Mutation("I8", Cast(owner=of_schedules.OwnerMakingUpForAll)),
    "ticks far ahead": Mutation("I15", Cast(owner=of_schedules.OwnerTickingAhead)),
    "change lost": Mutation("I17", Cast(owner=of_schedules.OwnerChangingLastWins)),
    "tick decided before a change": Mutation("I4", Cast(owner=of_schedules.OwnerTickingByAnyVersion)),
    "changed spec forgotten": Mutation("I18", Cast(owner=of_schedules.OwnerTickingWithFirstSpec)),
    "catches up without a bound": Mutation("I8", Cast(owner=of_schedules.OwnerCatchingUpForever)),
    "ticks in UTC": Mutation("I8", Cast(owner=of_schedules.OwnerInUtc)),
    "policy ignored": Mutation("I16", Cast(owner=OwnerIgnoringPolicies)),
    "job's change forgotten": Mutation("I21", Cast(owner=OwnerForgettingChanges)),
    "change folded by a job under way": Mutation("I4", Cast(owner=OwnerChangingWhatIsUnderWay)),
    "stop forgotten": Mutation("I20", Cast(owner=OwnerForgettingStops)),
    "expiry ignored": Mutation("I16", Cast(dispatcher=DispatcherIgnoringExpiry)),
    "a forgotten id comes back": Mutation("I23", Cast(owner=OwnerBarringNothing)),
    "forgets what waits": Mutation("I24", Cast(janitor=JanitorOfWaiting)),
    "forgets a job with a pending delivery": Mutation("I24", Cast(janitor=JanitorOfPending)),
    "forgets by instants alone": Mutation("I24", Cast(janitor=JanitorOfAges)),
    "forgets a spec that another job has": Mutation("I24", Cast(janitor=JanitorOfSpecs)),
    **{
        name: Mutation(breaks, Cast(**cast))
        for name, (breaks, cast) in (*KEY_MUTATIONS.items(), *CARRY_MUTATIONS.items())
    },
    "runs under way ignored": Mutation("I27", Cast(owner=of_schedules.OwnerIgnoringRuns)),
    "grace of a timeout ignored": Mutation("I27", Cast(owner=of_schedules.OwnerIgnoringGraces)),
    "end of a run forgotten": Mutation("I4", Cast(owner=of_schedules.OwnerForgettingEndsOfRuns)),
    "slot fired twice": Mutation("I7", Cast(owner=of_schedules.OwnerFiringSlotsTwice)),
    "failures pause nothing": Mutation("I28", Cast(owner=of_schedules.OwnerNeverPausing)),
    "overtaken tick is a breach": Mutation("I7", Cast(owner=of_schedules.OwnerCountingOvertakenTicks)),
}


def caught_by(name: str, seeds: Iterable[int]) -> int | None:
    """Return the first of *seeds* on which the mutation breaks its invariant."""
    breaks, cast = MUTATIONS[name]
    for seed in seeds:
        try:
            outcome = run(seed, cast)
        except (KeyError, ValueError):
            continue  # the broken rule made nonsense of the run
        if any(violation.split()[0] == breaks for violation in outcome.violations):
            return seed
    return None
