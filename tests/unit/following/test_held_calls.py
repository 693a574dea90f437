"""What is held, so that nothing is started twice and no account fills the memory."""

import pytest

from libs.following.held_calls import PLACE_BYTES, Call, HeldCalls, Stage
from libs.following.loader import SpecCache
from libs.store.reads.partition_tables import StoredSpec


def held(held_calls: HeldCalls[Call], number: int = 1, account: str = "a") -> Call:
    call = Call(0, f"exec_{number}", job_id="job", account=account, spec_id="job", position=7)
    held_calls.add(call)
    return call


def free_of(held_calls: HeldCalls[Call]) -> int:
    return held_calls._shares.free


def test_a_recorded_call_is_remembered_until_its_outcome_was_passed() -> None:
    """Until then a snapshot may still show it as running."""
    held_calls: HeldCalls[Call] = HeldCalls(10)
    call = held(held_calls)
    call.stage = Stage.CALLING
    held_calls.recorded(call, 20)
    assert (held_calls.open_count, free_of(held_calls)) == (0, 10)
    held_calls.passed(0, 19)
    assert held_calls.knows(0, "exec_1")

    held_calls.passed(0, 20)
    assert not held_calls.knows(0, "exec_1")


def test_only_what_has_not_started_is_dropped() -> None:
    """Calls under way and outcomes on their way stay."""
    held_calls: HeldCalls[Call] = HeldCalls(100)
    stages = [Stage.LOADING, Stage.WAITING, Stage.QUEUED, Stage.CALLING, Stage.RECORDING]
    for number, stage in enumerate(stages, start=1):
        held(held_calls, number).stage = stage

    assert held_calls.drop_unstarted(0) == 3
    assert [held_calls.knows(0, f"exec_{number}") for number in range(1, 6)] == [False, False, False, True, True]
    assert held_calls.open_count == held_calls.open_count_of(0) == 2
    assert held_calls.drop_unstarted(5) == 0


def test_the_bytes_of_specs_count_while_a_call_is_held() -> None:
    """And are given back whichever way it leaves."""
    held_calls: HeldCalls[Call] = HeldCalls(100)
    first, second = held(held_calls, 1), held(held_calls, 2)
    for call in (first, second):
        held_calls.loaded(call, StoredSpec(3 * PLACE_BYTES, b"x" * 3 * PLACE_BYTES))
    assert free_of(held_calls) == 100 - 2 * 4
    second.stage = Stage.CALLING
    held_calls.drop_unstarted(0)
    held_calls.recorded(second, 1)

    assert free_of(held_calls) == 100
    assert (first.spec, second.spec) == (None, None)


def test_a_spec_for_which_its_accounts_share_has_no_room_is_not_kept() -> None:
    """Its size is known all the same; the call stays held, and fetches it when it leaves."""
    held_calls: HeldCalls[Call] = HeldCalls(10)
    first, second = held(held_calls, 1), held(held_calls, 2)
    for call in (first, second):
        held_calls.loaded(call, StoredSpec(3 * PLACE_BYTES, b"x" * 3 * PLACE_BYTES))

    assert first.spec is not None
    assert second.spec is None
    assert second.spec_bytes == 3 * PLACE_BYTES
    assert free_of(held_calls) == 5


def test_an_account_holds_at_most_half_of_the_places() -> None:
    """Another one finds room at once; what is left of the first is recalled when it holds at most half of its share."""
    held_calls: HeldCalls[Call] = HeldCalls(12)
    calls = [held(held_calls, number) for number in range(6)]
    assert not held_calls.has_room("a")
    assert held_calls.has_room("b")
    held_calls.left.leave(0, "a")
    assert held_calls.left.has_left(0, "a")
    for call in calls[:2]:
        held_calls.recorded(call, 1)
        assert held_calls.may_recall(0) is (call is calls[1])
    held_calls.left.forget(0)

    assert not held_calls.left.has_left(0, "a")
    assert not held_calls.may_recall(0)


def test_a_lane_holds_no_more_than_what_is_left_for_its_account() -> None:
    """One lane alone holds a third of all places, and a new lane finds room; what a call took, it gives back."""
    held_calls: HeldCalls[Call] = HeldCalls(30)

    def enter(lane: str, number: int) -> bool:
        call = held(held_calls, number)
        call.lane = lane
        if not held_calls.has_room_in_lane("a", lane):
            held_calls.drop(call)
            return False
        held_calls.enter_lane(call)
        return True

    assert [enter("slow", number) for number in range(12)].count(True) == 10
    assert enter("other", 20)
    assert not held_calls.may_recall_lane("a", "slow")
    assert held_calls.may_recall_lane("a", "other")
    assert held_calls.drop_unstarted(0) == 11
    assert free_of(held_calls) == 30
    assert not held_calls._in_lane


def test_a_dropped_call_may_be_taken_up_again() -> None:
    """The lease came back: it is found running."""
    held_calls: HeldCalls[Call] = HeldCalls(10)
    held(held_calls)
    held_calls.drop_unstarted(0)

    assert not held_calls.knows(0, "exec_1")


def spec(size: int) -> StoredSpec:
    return StoredSpec(size, b"x" * size)


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
def test_specs_of_schedules_are_bounded_by_their_bytes(size: int) -> None:
    """One that is larger than all may be is not kept at all."""
    cache = SpecCache(bytes_max=100)
    for name in "abc":
        cache.put(name, spec(size))
        cache.put(name, spec(size))

    assert len(cache) == (1 if size <= 100 else 0)
