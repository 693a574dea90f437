"""How many calls a second one account makes to one address."""

from __future__ import annotations

import pytest

from libs.egress.address_pace import AddressPace, CallLater

ONE, TWO = "203.0.113.1", "203.0.113.2"


def pace(rate: float = 2.0) -> tuple[AddressPace, list[int]]:
    """A pace for the account `acme`, and what counts the calls that are put off."""
    count: list[int] = []
    made = AddressPace(lambda account: rate if account == "acme" else 0.0, put_off=lambda: count.append(1))
    return made, count


def wait_of(made: AddressPace, key: str, addresses: list[str], now_s: float, account: str = "acme") -> float:
    """Return how long the call has to wait; 0 if it may leave."""
    try:
        made.admit(account, key, addresses, now_s)
    except CallLater as later:
        return round(later.wait_s, 6)
    return 0.0


def test_calls_to_one_address_are_spaced_and_none_fails() -> None:
    """Two a second: two at once, then one each half second, in the order in which they came."""
    made, count = pace()

    assert [wait_of(made, f"{n}", [ONE], 0.0) for n in range(5)] == [0.0, 0.0, 0.5, 1.0, 1.5]
    assert len(count) == 3
    assert wait_of(made, "3", [ONE], 0.9) == pytest.approx(0.1)
    assert wait_of(made, "2", [ONE], 0.5) == 0.0
    assert wait_of(made, "3", [ONE], 1.0) == 0.0
    assert len(count) == 3


def test_other_addresses_and_accounts_have_a_pace_of_their_own() -> None:
    """It is neither the name nor the port that counts, but account and address."""
    made, _ = pace()
    for n in range(4):
        wait_of(made, f"{n}", [ONE], 0.0)

    assert wait_of(made, "other address", [TWO], 0.0) == 0.0
    assert [wait_of(made, f"free {n}", [ONE], 0.0, "free") for n in range(9)] == [0.0] * 9


def test_a_call_keeps_its_address_while_it_may() -> None:
    """A name that gives its addresses in turn does not cost a second wait; if the address is gone, the call takes another one."""
    made, _ = pace(1.0)
    wait_of(made, "first", [ONE], 0.0)

    assert wait_of(made, "call", [ONE, TWO], 0.0) == 1.0
    assert list(made.admit("acme", "call", [TWO, ONE], 1.0)) == [ONE, TWO]
    assert wait_of(made, "again", [ONE], 1.0) == 1.0
    assert list(made.admit("acme", "again", [TWO], 2.0)) == [TWO]


def test_a_second_address_of_one_call_counts_too() -> None:
    """The call goes on, and the next one waits for it."""
    made, _ = pace(1.0)
    made.admit("acme", "call", [ONE, TWO], 0.0)
    made.also("acme", TWO, 0.0)

    assert wait_of(made, "next", [TWO], 0.0) == 1.0


def test_calls_that_never_come_again_are_forgotten() -> None:
    """They were dropped with their partition."""
    made, _ = pace(1000.0)
    for n in range(30_000):
        wait_of(made, f"{n}", [ONE], n / 100)

    assert len(made._reserved) <= 10_001
