"""The checker is quiet about a good history, and finds every planted bug by its name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chaos.judging.checker import check, lateness
from tests.chaos.judging.history import Fault
from tests.chaos.judging.invariants import INVARIANTS
from tests.chaos.proving import good_history, good_plans
from tests.chaos.proving.planted import PLANTED
from tests.chaos.proving.planted_plans import PLANTED_PLANS


@pytest.mark.parametrize("seed", range(5))
def test_a_good_history_has_no_violations(seed: int) -> None:
    """Unknown outcomes, retries, refused cancels and a repetition across a kill are all in order."""
    assert check(good_history.make(seed)) == []


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found_by_name(bug: str) -> None:
    """The invariant that the bug breaks is among the violations, whatever else it breaks."""
    name, change = PLANTED[bug]
    found = check(change(good_history.make()))

    assert name in {violation.name for violation in found}, [str(each) for each in found]


def test_every_invariant_has_a_planted_bug() -> None:
    """No invariant is only hoped to work."""
    assert {name for name, _ in (PLANTED | PLANTED_PLANS).values()} == INVARIANTS.keys()


def test_a_good_history_of_rules_has_no_violations() -> None:
    """A job and a schedule of each kind, with what their users did with them, are in order."""
    assert check(good_plans.make()) == []


@pytest.mark.parametrize("bug", PLANTED_PLANS)
def test_a_planted_bug_about_rules_is_found_by_name(bug: str) -> None:
    """The invariant that the bug breaks is among the violations, whatever else it breaks."""
    name, change = PLANTED_PLANS[bug]
    found = check(change(good_plans.make()))

    assert name in {violation.name for violation in found}, [str(each) for each in found]


def test_a_repetition_needs_a_fault_to_excuse_it() -> None:
    """The same history without its kill has an unexplained duplicate; a graceful stop excuses none either."""
    history = good_history.make()
    graceful = tuple(Fault(kind="term", at=fault.at, until=fault.until) for fault in history.faults)

    for faults in ((), graceful):
        names = {violation.name for violation in check(replace(history, faults=faults))}
        assert "unexplained_duplicate" in names


def test_lateness_counts_from_the_end_of_a_fault() -> None:
    """A call that waited for a restart is not late by the outage."""
    history = good_history.make()

    assert len(lateness(history)) == len({call.job_id for call in history.calls})
    assert max(lateness(history)) < 50
