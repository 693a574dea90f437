"""FairQueue under any order of submissions and endings: the limits hold, and nobody waits without a reason."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.egress.fair_queue import FairQueue

Call = tuple[str, str, int]

steps = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.sampled_from("abcd"), st.sampled_from("wxyz")),
        st.tuples(st.just("end"), st.integers(0, 50), st.just("")),
    ),
    max_size=120,
)


@settings(max_examples=300, deadline=None)
@given(total=st.integers(1, 9), per_host=st.integers(1, 4), script=steps)
def test_limits_hold_and_only_limits_hold_back(
    total: int, per_host: int, script: list[tuple[str, object, str]]
) -> None:
    """
    After each step no limit is broken, and every call that waits is held back by one.

    A call waits because its host is full, or because its account would hold more than is free; backlogs are first in, first
    out; in the end everything that was submitted was taken exactly once.
    """
    turns: FairQueue[Call] = FairQueue(total=total, per_host=per_host)
    waiting: list[Call] = []
    active: list[Call] = []
    taken: list[Call] = []

    def take_all() -> None:
        while (call := turns.take()) is not None:
            first = next(other for other in waiting if other[:2] == call[:2])
            assert call == first
            waiting.remove(call)
            active.append(call)
            taken.append(call)
        hosts = Counter(host for _, host, _ in active)
        accounts = Counter(account for account, _, _ in active)
        assert len(active) <= total
        assert all(count <= per_host for count in hosts.values())
        assert (turns.active_count, turns.waiting_count) == (len(active), len(waiting))
        free = total - len(active)
        for account, host, _ in waiting:
            assert hosts[host] >= per_host or accounts[account] + 1 > free

    for number, (what, who, where) in enumerate(script):
        if what == "submit":
            call = (str(who), where, number)
            waiting.append(call)
            turns.submit(call, account=call[0], host=call[1])
        elif active:
            ended = active.pop(int(str(who)) % len(active))
            turns.release(account=ended[0], host=ended[1])
        take_all()
    while active:
        ended = active.pop(0)
        turns.release(account=ended[0], host=ended[1])
        take_all()

    assert not waiting
    assert len(taken) == len(set(taken)) == sum(what == "submit" for what, _, _ in script)
    assert not turns._accounts
    assert not turns._hosts
