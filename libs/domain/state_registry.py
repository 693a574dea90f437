"""
Registry: all kinds of state, which of them each event changes, and what a partition's owner owes a state of any kind.

Nothing else drives Fliq. So recovery is: load the states, ask what is owed (`owed_at`, `decide`), go on.

A new kind is a module of its own (as job.py), its entry in `STATE_KINDS` and its class in `State`; the other half, how its
states stand in a table, is in libs/store/projection/table_registry.py.
"""

from collections.abc import Mapping
from typing import Final, TypeVar

from libs.domain import job, schedule
from libs.domain.calendar.recorded_rule import ZoneLookup, only_utc
from libs.domain.job import JobState
from libs.domain.jobs import delivery
from libs.domain.jobs.delivery import DeliveryState
from libs.domain.schedule import ScheduleState
from libs.domain.state_kind import StateKind
from libs.events import Event
from libs.events.codec import KINDS

State = JobState | ScheduleState | DeliveryState

STATE_KINDS: Final[tuple[StateKind, ...]] = (job.KIND, schedule.KIND, delivery.KIND)

OWED_KINDS: Final = tuple(kind for kind in STATE_KINDS if kind.is_owed)
KIND_OF_STATE: Final[Mapping[type, StateKind]] = {kind.state: kind for kind in STATE_KINDS}
# Class of an event -> the kinds of state that it changes. The kind under whose key the record stands comes first: it decides
# whether the event applies. The others follow only if it does.
FOLDED_BY: Final[Mapping[type, tuple[StateKind, ...]]] = {
    each.event: tuple(
        sorted((kind for kind in STATE_KINDS if each.event in kind.events), key=lambda kind: kind.key != each.key)
    )
    for each in KINDS
}

S = TypeVar("S", bound=State)


class States(dict[str, State]):
    """States of all kinds by id."""

    def of(self, state: type[S]) -> dict[str, S]:
        """Return those of the one kind whose class is *state*; O(all of them)."""
        return {any_id: each for any_id, each in self.items() if isinstance(each, state)}


def owed_at(state: State, *, lead_ms: int) -> int | None:
    """
    Return the instant from which a decision is owed for *state*, due events and ticks *lead_ms* early; None if none is.

    What is owed stays owed until a decision is folded.
    """
    return KIND_OF_STATE[type(state)].owed_at(state, lead_ms)


def decide(state: State, now: int, *, jitter: float, retry_base_s: float, zones: ZoneLookup = only_utc) -> Event | None:
    """
    Return the decision owed for *state*; None if this build cannot take it, because it does not know a rule or a time zone.

    Args:
        state: one for which `owed_at` is not None and has come.
        now: ms since 1970.
        jitter: fraction in [0, 1).
        retry_base_s: delay before the first retry.
        zones: the time zones that rules may name.

    Raises:
        ValueError: nothing is owed.
    """
    decision: Event | None = KIND_OF_STATE[type(state)].decide(state, now, jitter, retry_base_s, zones)
    return decision


def id_of(state: State) -> str:
    """Return the id of a state of any kind."""
    any_id: str = getattr(state, KIND_OF_STATE[type(state)].key)
    return any_id
