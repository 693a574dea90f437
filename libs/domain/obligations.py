"""
Obligations: what a partition's owner owes next, and when, as a pure function of a state.

Each kind of state says what it is owed (job.py, schedule.py). Nothing else drives the system, so recovery is: load the states,
ask this module, go on. Obligations are monotone in time: what is owed stays owed until a decision is folded.

Source: ARCHITECTURE.md, "Facts and decisions", "A job's life".
"""

from libs.domain.state_registry import KIND_OF_STATE, State
from libs.events import Event


def owed_at(state: State, *, lead_ms: int) -> int | None:
    """Return the instant from which a decision is owed for *state*, due events and ticks *lead_ms* early; None: nothing is."""
    return KIND_OF_STATE[type(state)].owed_at(state, lead_ms)


def decide(state: State, now: int, *, jitter: float, retry_base_s: float) -> Event:
    """
    Return the decision owed for *state*.

    Args:
        state: one for which `owed_at` is not None and has come.
        now: ms since 1970.
        jitter: fraction in [0, 1).
        retry_base_s: delay before the first retry.

    Raises:
        ValueError: nothing is owed.
    """
    decision: Event = KIND_OF_STATE[type(state)].decide(state, now, jitter, retry_base_s)
    return decision
