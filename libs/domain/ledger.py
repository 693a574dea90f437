"""
Ledger: the fold of one partition, record by record.

It decides whether a record counts (admission), folds it into the states that it names, and says what the record did. The owner
of a partition folds the states that it works on, a rebuild folds everything, and both use this class: there is no second way to
read the log.

Invariants
    1. Positions are contiguous: the next record stands at `position + 1`.
    2. Whatever stands in the log, `apply` raises nothing but `MustUnderstand`, at which the reader has to stop.
    3. A fact that repeats changes nothing. An admitted decision that does not apply gets the verdict `ILLEGAL`.
    4. A record that cannot be read stops its own job or schedule (`held`), and nothing else.
    5. What is forgotten (`floors`) changes no more, whether its state is still in `states` or not.
    6. A fold that begins with carried rows (libs/store/carried) and one that began with the first record end with the same states,
       but for those of jobs that were over before.
"""

from collections.abc import Container, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

import msgspec

from libs.domain.admission import admits_claim, admits_decision
from libs.domain.history.floors import NOTHING_FORGOTTEN
from libs.domain.job import JobState
from libs.domain.schedule import ScheduleState
from libs.domain.schedules import runs
from libs.domain.state_registry import FOLDED_BY, KIND_OF_STATE, State, States
from libs.events import (
    Claim,
    Event,
    HistoryForgotten,
    LogCarried,
    OwnerClaimed,
    ScheduleSpawned,
    ScheduleTicked,
    Unknown,
    Unreadable,
)
from libs.events.codec import kind_of

_NOTHING: Final[Mapping[str, State]] = MappingProxyType({})
# Class of an event -> the fields that name states.
_KEYS: Final[Mapping[type, tuple[str, ...]]] = {
    event: tuple(kind.key for kind in kinds) for event, kinds in FOLDED_BY.items()
}


class MustUnderstand(Exception):
    """This build does not understand a record that must be understood: the reader has to stop, and a newer build to go on."""


class GapInLog(Exception):
    """The record after position n does not stand at n + 1: the log was truncated or is corrupt. The reader has to stop."""


class Verdict(Enum):
    """What a record did to the fold."""

    APPLIED = "applied"  # a state changed
    REPEATED = "repeated"  # a fact that says nothing new
    VOID = "void"  # a decision or claim that is not admitted
    ILLEGAL = "illegal"  # an admitted decision that the state forbids: an invariant breach
    POISON = "poison"  # bytes that cannot be read
    SKIPPED = "skipped"  # an unknown type that may be skipped


class Applied(msgspec.Struct, frozen=True, gc=False):
    """
    What one record did.

    Args:
        verdict: see `Verdict`.
        event: the event, when the record held one.
        changed: the new states, by id.
        new_id: the one among *changed* that this record created; None when it created none.
    """

    verdict: Verdict
    event: Event | None = None
    changed: Mapping[str, State] = _NOTHING
    new_id: str | None = None


_SKIPPED = Applied(Verdict.SKIPPED)


class PartitionFold:
    """How far a reader of one partition has read, up to and including `position`, and the claim admitted there."""

    def __init__(self, partition: int, *, position: int = -1, claim: Claim | None = None) -> None:
        """Go on after *position*, under *claim*."""
        self.partition = partition
        self.position = position
        self.claim = claim

    def check_next(self, position: int) -> None:
        """Raise `GapInLog` unless the record after those that were read stands at *position*."""
        if position != self.position + 1:
            raise GapInLog(f"partition {self.partition}: after position {self.position} came {position}")

    def check_known(self, position: int, item: Event | Unknown | Unreadable) -> None:
        """Raise `MustUnderstand` if *item* is of an unknown type that may not be skipped."""
        if isinstance(item, Unknown) and item.must_understand:
            raise MustUnderstand(f"partition {self.partition}, position {position}: {item.type} v{item.version}")

    def admit_claim(self, claimed: OwnerClaimed) -> bool:
        """Say whether *claimed* counts; from then on it is the claim under which decisions do."""
        is_admitted = admits_claim(self.claim, claimed)
        if is_admitted:
            self.claim = Claim(claimed.epoch, claimed.nonce)
        return is_admitted


class Ledger(PartitionFold):
    """The states of one partition as of `position`, jobs and schedules by id, what is forgotten, and the claim admitted there."""

    def __init__(self, partition: int, *, position: int = -1, claim: Claim | None = None) -> None:
        """Start a fold of *partition* that has read up to and including *position*, under *claim*."""
        super().__init__(partition, position=position, claim=claim)
        self.states = States()
        self.floors = NOTHING_FORGOTTEN
        self.over: Container[str] = (
            frozenset()
        )  # ids of jobs that were over before this fold began: they are not made again

    def apply(self, position: int, item: Event | Unknown | Unreadable, stamp: str | None) -> Applied:
        """
        Fold the record at *position*; *stamp* is its claim header.

        Every state that the record names (see `names`) must be in `states`, if it exists at all.

        Raises:
            GapInLog: *position* is not the next one.
            MustUnderstand: the record is of an unknown type that may not be skipped.
        """
        self.check_next(position)
        self.check_known(position, item)
        self.position = position
        if isinstance(item, Unknown):
            return _SKIPPED
        if isinstance(item, Unreadable):
            return self._hold(item)
        if isinstance(item, OwnerClaimed):
            return Applied(Verdict.APPLIED if self.admit_claim(item) else Verdict.VOID, item)
        decision = kind_of(item).role == "decision"
        if decision and not admits_decision(self.claim, stamp):
            return Applied(Verdict.VOID, item)
        applied = self._evolve(position, item)
        if applied is not None:
            return applied
        if decision and not FOLDED_BY[type(item)][0].is_overtaken(item, self.states):
            return Applied(Verdict.ILLEGAL, item)
        return Applied(Verdict.REPEATED, item)

    def _evolve(self, position: int, event: Event) -> Applied | None:
        """Return what *event* changed, or None when it does not apply."""
        kinds = FOLDED_BY[type(event)]
        if not kinds:
            if isinstance(event, HistoryForgotten | LogCarried):
                self.floors = self.floors.after(event)
            return Applied(Verdict.APPLIED, event)  # it belongs to the partition, and changes no state
        states, floors = self.states, self.floors
        changed: dict[str, State] = {}
        cause, new_id = None, None
        for kind in kinds:
            state_id = getattr(event, kind.key)
            if state_id is None:
                break
            old = states.get(state_id)
            if floors is not NOTHING_FORGOTTEN and (
                state_id in self.over or floors.bars(event, states) if old is None else floors.forget(old, states)
            ):
                break
            new = kind.create(event, position, cause) if old is None else kind.evolve(old, event, position)
            if new is None or new is old:
                break
            if old is None:
                new_id = state_id
            states[state_id] = changed[state_id] = cause = new
        if new_id is None and isinstance(cause, ScheduleState) and isinstance(event, ScheduleTicked | ScheduleSpawned):
            # The slot had its job before, of a back-fill. A run whose end nobody will tell must not hold up the schedule.
            job = states.get(event.job_id)
            if not isinstance(job, JobState) or job.is_terminal or job.told_schedule_id is None:
                settled = runs.began_nothing(cause, event, position)
                states[event.schedule_id] = changed[event.schedule_id] = settled
        return Applied(Verdict.APPLIED, event, changed, new_id) if changed else None

    def _hold(self, item: Unreadable) -> Applied:
        state = self.states.get(item.key)
        if state is None:
            return Applied(Verdict.POISON)
        held = KIND_OF_STATE[type(state)].hold(state, item)
        if held is state:
            return Applied(Verdict.POISON)
        self.states[item.key] = held
        return Applied(Verdict.POISON, None, {item.key: held})


def names(item: Event | Unknown | Unreadable) -> tuple[str, ...]:
    """Return the ids of the states that `Ledger.apply` needs for *item*."""
    if isinstance(item, Unreadable):
        return (item.key,) if item.key else ()
    return tuple([any_id for key in _KEYS.get(type(item), ()) if (any_id := getattr(item, key)) is not None])
