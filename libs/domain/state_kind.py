"""
State kind: what a kind of state (a job, a schedule) declares, so that one mechanism serves all kinds.

A kind's own module says what its events do to its state, what its owner owes, and when; it ends with the kind's entry. The
registry (state_registry.py) lists the entries. Everything that folds, loads, saves, verifies or describes states reads them there.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from libs.domain.calendar.recorded_rule import ZoneLookup
from libs.events import Event

AT_ONCE: Final = 0  # an instant that is always in the past: the decision is owed now

Transitions = Mapping[tuple[Any, str], tuple[Any, ...]]


class StateKind(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """
    One kind of state.

    Args:
        name: one word, as the documentation writes it.
        state: the class of its states.
        statuses: what each status means. The numbers of a status are stored in the tables and never change.
        transitions: (status, stored name of the event) -> the statuses it may lead to. What is not here does not apply.
        key: the field that holds the id, in the state and in each of its events.
        id_kind: the kind of its ids (libs/events/ids.py).
        events: the events that may create or change a state.
        create: (event, position, cause) -> the first state, or None when *event* creates none. If the event changes states of
            several kinds, *cause* is the state that it has just made of the kind before.
        evolve: (state, event, position) -> the next state; the same object when *event* does not apply.
        hold: (state, record that could not be read) -> the state, stopped; the same object when it is stopped or at its end.
        owed_at: (state, lead in ms) -> the instant from which a decision is owed, or None.
        decide: (state, now, jitter, retry_base_s, zones) -> the decision that is owed; None if this build cannot take it.
        timer: the field with the instant that the state waits for; the decision is owed the owner's lead before it.
        notes: lines that the documentation adds.
        is_owed: whether a partition's owner ever decides something for such a state. If not, it keeps none in memory for long.
        is_overtaken: (decision that does not apply, all states) -> whether its owner could not know better when it decided.
    """

    name: str
    state: type
    statuses: Mapping[Any, str]
    transitions: Transitions
    key: str
    id_kind: str
    events: tuple[type[Event], ...]
    create: Callable[[Any, int, Any], Any]
    evolve: Callable[[Any, Any, int], Any]
    hold: Callable[[Any, Any], Any]
    owed_at: Callable[[Any, int], int | None]
    decide: Callable[[Any, int, float, float, ZoneLookup], Any]
    timer: str
    notes: tuple[str, ...]
    is_owed: bool = True
    is_overtaken: Callable[[Any, Mapping[str, Any]], bool] = lambda decision, states: False
