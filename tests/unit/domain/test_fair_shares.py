"""Fair shares: the rule, under any order of taking and giving back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.domain.fair_shares import FairShares

ACCOUNTS = "abcde"


def take_all(shares: FairShares, accounts: str) -> None:
    """Let *accounts* take one unit in turn, until none may."""
    while takers := [account for account in accounts if shares.may_take(account)]:
        shares.take(takers[0] if len(takers) == 1 else min(takers, key=shares.held_by))


@given(total=st.integers(1, 2_000))
def test_one_account_alone_holds_half(total: int) -> None:
    """And no more, rounded up; as much stays free, so that a newcomer finds room at once."""
    shares = FairShares(total)
    take_all(shares, "a")

    assert shares.held_by("a") == (total + 1) // 2
    assert shares.free == total // 2
    assert total == 1 or shares.may_take("newcomer")


@given(total=st.integers(1, 2_000), count=st.integers(1, 5))
def test_accounts_that_want_all_hold_one_part_more_than_they_are(total: int, count: int) -> None:
    """k accounts hold at least 1/(k+1) - 1 of the units each, and as much stays free."""
    shares = FairShares(total)
    take_all(shares, ACCOUNTS[:count])

    part = total / (count + 1)
    assert all(part - 1 <= shares.held_by(account) <= part + 1 for account in ACCOUNTS[:count])
    assert shares.holder_count == sum(shares.held_by(account) > 0 for account in ACCOUNTS)
    assert shares.free >= part - count


@given(total=st.integers(2, 200), count=st.integers(1, 5))
def test_an_account_that_came_first_shrinks_to_its_share(total: int, count: int) -> None:
    """Nothing is taken away from it; whenever it gives back, the others take."""
    shares = FairShares(total)
    for account in ACCOUNTS[:count]:
        take_all(shares, account)
    held = shares.held_by("a")
    for _ in range(total):
        for account in ACCOUNTS[:count]:
            if shares.held_by(account) > shares.free:
                shares.give_back(account)
            take_all(shares, ACCOUNTS[:count])

    assert shares.held_by("a") <= held
    assert all(abs(shares.held_by(account) - total / (count + 1)) <= 2 for account in ACCOUNTS[:count])


steps = st.lists(st.tuples(st.sampled_from(ACCOUNTS), st.integers(1, 20), st.booleans()), max_size=200)


@settings(max_examples=300)
@given(total=st.integers(1, 100), script=steps)
def test_units_are_neither_lost_nor_made(total: int, script: list[tuple[str, int, bool]]) -> None:
    """What is free and what is held is all there is; nobody holds more than half and the half of one amount."""
    shares = FairShares(total)
    held: dict[str, list[int]] = {account: [] for account in ACCOUNTS}
    for account, amount, gives_back in script:
        if gives_back and held[account]:
            shares.give_back(account, held[account].pop())
        elif not gives_back and shares.may_take(account, amount):
            shares.take(account, amount)
            held[account].append(amount)
            assert sum(held[account]) <= (total + amount) / 2
        assert shares.free == total - sum(map(sum, held.values())) >= 0
        assert all(shares.held_by(account) == sum(amounts) for account, amounts in held.items())


def test_a_resource_of_nothing_is_refused() -> None:
    """Nobody could ever take any of it."""
    with pytest.raises(ValueError, match="at least 1"):
        FairShares(0)


def test_the_total_may_change() -> None:
    """What is held stays: with less to share an account takes nothing more until it is below its cap."""
    shares = FairShares(100)
    shares.take("a", 50)

    shares.resize(60)
    assert (shares.total, shares.free) == (60, 10)
    assert not shares.may_take("a")
    assert shares.may_take("b", 10)

    shares.resize(40)
    assert shares.free == -10
    assert not shares.may_take("b")
    shares.give_back("a", 50)
    assert shares.free == 40
