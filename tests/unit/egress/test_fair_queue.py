"""Who may call next, case by case."""

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


def test_an_account_alone_may_use_three_quarters() -> None:
    """Nobody else waits, so its share is no bound; a quarter stays free for newcomers."""
    turns: FairQueue[Call] = FairQueue(total=100, per_host=1_000)
    submit(turns, "a", "h", 500)

    assert len(drain(turns)) == 75


def test_a_newcomer_finds_room_at_once_beside_an_account_that_took_all_it_could() -> None:
    """All of a's calls hang, over many hosts; b's first ones start without any of them ending."""
    turns: FairQueue[Call] = FairQueue(total=100, per_host=10)
    for host in range(50):
        submit(turns, "a", f"h{host}", 100)
    drain(turns)
    submit(turns, "b", "x", 5)

    assert [account for account, _, _ in drain(turns)] == ["b"] * 5


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
