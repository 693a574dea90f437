"""Who may call next, case by case."""

from collections import Counter

import pytest

from libs.egress.fair_queue import FairQueue

Call = tuple[str, str, int]


def drain(turns: FairQueue[Call]) -> list[Call]:
    taken = []
    while (call := turns.take()) is not None:
        taken.append(call)
    return taken


def submit(turns: FairQueue[Call], account: str, host: str, count: int) -> None:
    for number in range(count):
        turns.submit((account, host, number), account=account, host=host)


def end(turns: FairQueue[Call], call: Call) -> None:
    turns.release(account=call[0], host=call[1])


def test_one_host_never_takes_more_than_its_limit() -> None:
    """The rest waits, in the order of arrival."""
    turns: FairQueue[Call] = FairQueue(total=100, per_host=3)
    submit(turns, "a", "h", 10)

    taken = drain(turns)

    assert [number for _, _, number in taken] == [0, 1, 2]
    assert (turns.active_count, turns.waiting_count) == (3, 7)


def test_a_host_that_never_answers_does_not_hold_up_another_of_the_same_account() -> None:
    """Five thousand calls to a black hole, then one to a healthy host: the healthy one starts at once."""
    turns: FairQueue[Call] = FairQueue(total=1_000, per_host=50)
    submit(turns, "a", "black-hole", 5_000)
    drain(turns)
    submit(turns, "a", "healthy", 1)

    assert drain(turns) == [("a", "healthy", 0)]


def test_an_account_alone_may_use_half() -> None:
    """As much as it holds stays free for newcomers."""
    turns: FairQueue[Call] = FairQueue(total=100, per_host=1_000)
    submit(turns, "a", "h", 500)

    assert len(drain(turns)) == 50


def test_a_newcomer_finds_room_at_once_beside_an_account_that_took_all_it_could() -> None:
    """All of a's calls hang, over many hosts; b's first ones start without any of them ending."""
    turns: FairQueue[Call] = FairQueue(total=100, per_host=10)
    for host in range(50):
        submit(turns, "a", f"h{host}", 100)
    drain(turns)
    submit(turns, "b", "x", 5)

    assert [account for account, _, _ in drain(turns)] == ["b"] * 5


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9])
def test_accounts_that_want_all_have_equal_shares_and_leave_one_more(count: int) -> None:
    """k accounts hold 1/(k+1) each once their first calls have ended, whoever came first; a newcomer finds as much free."""
    turns: FairQueue[Call] = FairQueue(total=120, per_host=1_000)
    taken: list[Call] = []
    for number in range(count):
        submit(turns, f"a{number}", "h", 5_000)
        taken += drain(turns)
    for _ in range(2_000):
        end(turns, taken.pop(0))
        taken += drain(turns)

    share = 120 / (count + 1)
    held = Counter(account for account, _, _ in taken)
    assert all(abs(held[f"a{number}"] - share) <= 1 for number in range(count))
    submit(turns, "newcomer", "h", 200)
    assert len(drain(turns)) >= share / 2 - 1


def test_a_call_that_weighs_more_takes_more_slots() -> None:
    """Its account may have fewer of them; what others find free is the same."""
    turns: FairQueue[Call] = FairQueue(total=100, per_host=1_000)
    for number in range(50):
        turns.submit(("a", "h", number), account="a", host="h", weight=10)
    taken = drain(turns)
    submit(turns, "b", "h", 100)

    assert len(taken) == 5
    assert len(drain(turns)) == 25
    for call in taken:
        turns.release(account=call[0], host=call[1], weight=10)
    assert [account for account, _, _ in drain(turns)].count("a") == 4


def test_a_call_that_weighs_more_than_half_of_all_slots_starts_all_the_same() -> None:
    """It counts as half of them, else it would wait for ever."""
    turns: FairQueue[Call] = FairQueue(total=4, per_host=4)
    turns.submit(("a", "h", 0), account="a", host="h", weight=99)
    submit(turns, "b", "h", 9)
    (heavy, *light) = drain(turns)

    assert (heavy[0], len(light)) == ("a", 1)
    turns.release(account="a", host="h", weight=99)
    assert len(drain(turns)) == 1


def test_a_call_moves_to_the_host_that_it_turns_out_to_be_for() -> None:
    """It keeps its slot, and counts there; a host that is full takes none."""
    turns: FairQueue[Call] = FairQueue(total=100, per_host=1)
    submit(turns, "a", "unread", 1)
    submit(turns, "b", "unread", 1)
    assert len(drain(turns)) == 1
    assert turns.move(from_host="unread", to_host="h")
    assert len(drain(turns)) == 1
    assert not turns.move(from_host="unread", to_host="h")
    end(turns, ("a", "h", 0))
    end(turns, ("b", "unread", 0))

    assert not turns._accounts
    assert not turns._hosts


def test_an_account_without_a_slot_starves_only_if_none_is_free() -> None:
    """An account that is held back by its own share does not."""
    turns: FairQueue[Call] = FairQueue(total=2, per_host=9)
    submit(turns, "a", "h", 5)
    drain(turns)
    assert not turns.is_starving()
    submit(turns, "b", "h", 5)
    submit(turns, "c", "h", 1)
    drain(turns)

    assert turns.is_starving()


def test_accounts_take_turns() -> None:
    """One with many waiting and one with few get every second slot."""
    turns: FairQueue[Call] = FairQueue(total=8, per_host=100)
    submit(turns, "a", "h", 100)
    submit(turns, "b", "h", 3)

    assert [account for account, _, _ in drain(turns)] == ["a", "b", "a", "b", "a", "b"]


def test_hosts_of_one_account_take_turns() -> None:
    """A long queue to one host does not come before a short one to another."""
    turns: FairQueue[Call] = FairQueue(total=8, per_host=100)
    submit(turns, "a", "h", 100)
    submit(turns, "a", "i", 2)

    assert [host for _, host, _ in drain(turns)][:4] == ["h", "i", "h", "i"]


def test_an_account_that_is_held_back_does_not_leave_a_shared_host_idle() -> None:
    """Its turn at the host passes to the next account that waits there."""
    turns: FairQueue[Call] = FairQueue(total=4, per_host=1)
    submit(turns, "a", "shared", 1)
    (first,) = drain(turns)
    submit(turns, "b", "x", 1)
    submit(turns, "b", "y", 1)
    submit(turns, "b", "shared", 1)
    submit(turns, "c", "shared", 1)
    drain(turns)

    end(turns, first)
    taken = drain(turns)

    assert len(taken) == 1
    assert taken[0][1] == "shared"
    end(turns, taken[0])
    end(turns, ("b", "x", 0))  # from here on b holds less than is free
    assert len(drain(turns)) == 1


def test_a_slot_given_back_goes_to_who_waited() -> None:
    """Releasing makes room for exactly one."""
    turns: FairQueue[Call] = FairQueue(total=2, per_host=2)
    submit(turns, "a", "h", 2)
    submit(turns, "b", "h", 2)
    taken = drain(turns)
    end(turns, taken[0])

    assert len(drain(turns)) == 1


def test_nothing_is_kept_of_accounts_and_hosts_that_are_done() -> None:
    """Memory follows what waits and runs, not what ever was."""
    turns: FairQueue[Call] = FairQueue(total=10, per_host=2)
    for number in range(100):
        submit(turns, f"a{number}", f"h{number}", 1)
        for call in drain(turns):
            end(turns, call)

    assert not turns._accounts
    assert not turns._hosts
    assert (turns.active_count, turns.waiting_count) == (0, 0)


def test_a_single_slot_serves_everybody_in_turn() -> None:
    """The smallest limits still let all through."""
    turns: FairQueue[Call] = FairQueue(total=1, per_host=1)
    for account in "abc":
        submit(turns, account, "h", 3)
    seen = []
    while (call := turns.take()) is not None:
        seen.append(call[0])
        end(turns, call)

    assert seen == ["a", "b", "c"] * 3


@pytest.mark.parametrize(("total", "per_host"), [(0, 1), (1, 0), (-1, 5)])
def test_a_limit_of_nothing_is_refused(total: int, per_host: int) -> None:
    """It would never let anybody call."""
    with pytest.raises(ValueError, match="at least 1"):
        FairQueue(total=total, per_host=per_host)


def test_the_account_whose_call_ends_does_not_come_before_one_that_waits() -> None:
    """With fewer slots than accounts, each gets one in its turn: a newcomer does not wait until the others want none."""
    turns: FairQueue[str] = FairQueue(total=2, per_host=2)
    for account in ("a", "b", "c"):
        for _ in range(3):
            turns.submit(account, account=account, host=account)
    started = [turns.take(), turns.take()]
    assert turns.take() is None

    for _ in range(7):
        first = started[-2]
        assert first is not None
        turns.release(account=first, host=first)
        started.append(turns.take())

    assert started == ["a", "b", "c"] * 3
