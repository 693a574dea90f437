"""What is held, so that nothing is started twice."""

import pytest

from libs.events import Spec
from services.dispatcher.held_attempts import HeldAttempt, HeldAttempts, Stage
from services.dispatcher.loader import SpecCache
from tests.unit.dispatcher.test_attempt import due


def held(held_attempts: HeldAttempts, attempt: int = 1) -> HeldAttempt:
    held_attempt = held_attempts.add(0, due(attempt=attempt, execution_id=f"exec_{attempt}"), 7)
    assert held_attempt is not None
    return held_attempt


def test_an_attempt_is_taken_up_once() -> None:
    """A second due event for it, or a snapshot that still shows it, changes nothing."""
    held_attempts = HeldAttempts()
    held(held_attempts)

    assert held_attempts.add(0, due(execution_id="exec_1"), 9) is None
    assert held_attempts.open_count == 1


def test_a_recorded_attempt_is_remembered_until_its_outcome_was_passed() -> None:
    """Until then a snapshot may still show it as running."""
    held_attempts = HeldAttempts()
    held_attempt = held(held_attempts)
    held_attempt.stage = Stage.CALLING
    held_attempts.recorded(held_attempt, 20)
    assert (held_attempts.open_count, held_attempts.open_bytes) == (0, 0)
    held_attempts.passed(0, 19)
    assert held_attempts.knows(0, "exec_1")

    held_attempts.passed(0, 20)
    assert not held_attempts.knows(0, "exec_1")


def test_only_what_has_not_started_is_dropped() -> None:
    """Calls under way and outcomes on their way stay."""
    held_attempts = HeldAttempts()
    stages = [Stage.LOADING, Stage.WAITING, Stage.QUEUED, Stage.CALLING, Stage.RECORDING]
    for attempt, stage in enumerate(stages, start=1):
        held(held_attempts, attempt).stage = stage

    assert held_attempts.drop_unstarted(0) == 3
    assert [held_attempts.knows(0, f"exec_{attempt}") for attempt in range(1, 6)] == [False, False, False, True, True]
    assert held_attempts.open_count == held_attempts.open_count_of(0) == 2
    assert held_attempts.drop_unstarted(5) == 0


def test_the_size_of_bodies_counts_while_an_attempt_is_held() -> None:
    """And is given back whichever way it leaves."""
    held_attempts = HeldAttempts()
    first, second = held(held_attempts, 1), held(held_attempts, 2)
    empty = held_attempts.open_bytes
    for held_attempt in (first, second):
        held_attempts.loaded(held_attempt, Spec(url="http://t.example/", body="x" * 1_000), "http://t.example")
    assert held_attempts.open_bytes == empty + 2_000
    held_attempts.drop(first)
    held_attempts.recorded(second, 1)

    assert held_attempts.open_bytes == 0


def test_a_dropped_attempt_may_be_taken_up_again() -> None:
    """The lease came back: it is found running."""
    held_attempts = HeldAttempts()
    held(held_attempts)
    held_attempts.drop_unstarted(0)

    assert held_attempts.add(0, due(execution_id="exec_1"), 9) is not None


def spec(size: int) -> Spec:
    return Spec(url="http://t.example/", body="x" * size)


def test_specs_of_schedules_are_kept_least_recently_used_first_out() -> None:
    """Bounded by number."""
    cache = SpecCache(count_max=2)
    cache.put("sched_a", spec(1))
    cache.put("sched_b", spec(1))
    cache.get("sched_a")
    cache.put("sched_c", spec(1))

    assert cache.get("sched_b") is None
    assert cache.get("sched_a") is not None
    assert len(cache) == 2


@pytest.mark.parametrize("size", [60, 101])
def test_specs_of_schedules_are_bounded_by_the_size_of_their_bodies(size: int) -> None:
    """One that is larger than all may be is not kept at all."""
    cache = SpecCache(bytes_max=100)
    for name in "abc":
        cache.put(name, spec(size))
        cache.put(name, spec(size))

    assert len(cache) == (1 if size <= 100 else 0)
