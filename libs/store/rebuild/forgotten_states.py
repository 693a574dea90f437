"""Forgotten states: what of a fold is forgotten, so that its rows may be gone. Pure."""

from typing import NamedTuple

from libs.domain.history.floors import NOTHING_FORGOTTEN
from libs.domain.job import JobState
from libs.domain.ledger import Ledger
from libs.domain.schedule import ScheduleState


class Forgotten(NamedTuple):
    """The states whose rows may be gone; None as *needed_specs* if nothing is forgotten: then every spec is needed."""

    ids: frozenset[str]
    needed_specs: frozenset[str] | None

    def needs(self, spec_id: str) -> bool:
        """Say whether *spec_id* belongs to something that is not forgotten."""
        return self.needed_specs is None or spec_id[-26:] in self.needed_specs


def forgotten_in(ledger: Ledger) -> Forgotten:
    """Return what of *ledger* is forgotten: the janitor deletes it when it comes to it."""
    states, floors = ledger.states, ledger.floors
    if floors == NOTHING_FORGOTTEN:
        return Forgotten(frozenset(), None)
    ids = frozenset(each for each, state in states.items() if floors.forget(state, states))
    needed: set[str | None] = set()
    for state_id, state in states.items():
        if state_id in ids:
            continue
        if isinstance(state, JobState):
            needed |= {state_id, state.spec_id, *(each.spec_id for each in (state.more.changes if state.more else ()))}
        elif isinstance(state, ScheduleState):
            needed |= {state_id, state.changed_spec_id}
    return Forgotten(ids, frozenset(each[-26:] for each in needed if each is not None))
