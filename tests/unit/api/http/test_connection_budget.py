"""The budget: which connection is cut off when there is no room for all."""

from __future__ import annotations

from typing import Any

import pytest

from services.api.http.connection_budget import ConnectionBudget, address_of


class Wire:
    """A connection that notes that it was cut off."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.address: str | None = None
        self.counted_as: str | None = None

    def cut_off(self) -> None:
        CUT_OFF.append(self.name)


CUT_OFF: list[str] = []


@pytest.fixture(autouse=True)
def _nobody_is_cut_off() -> None:
    CUT_OFF.clear()


def budget(**limits: int) -> ConnectionBudget:
    return ConnectionBudget(**{"connections_max": 4, "received_max": 100, "unread_max": 100} | limits)


def test_the_longest_idle_of_the_fullest_address_makes_room() -> None:
    """However long the connections of the others have been idle."""
    limits = budget()
    assert limits.take(Wire("b1"), ("192.0.2.2", 1))
    for name in ("a1", "a2", "a3"):
        assert limits.take(Wire(name), ("192.0.2.1", 1))
    assert limits.take(Wire("c1"), ("192.0.2.3", 1))
    assert CUT_OFF == ["a1"]
    assert limits.take(Wire("d1"), ("192.0.2.4", 1))
    assert CUT_OFF == ["a1", "a2"]
    assert limits.open_count == 4


def test_a_request_under_way_is_not_idle() -> None:
    """Its connection stays; if no connection is idle, a new one is turned away; an idle one counts from its last request."""
    limits = budget(connections_max=2)
    first, second = Wire("first"), Wire("second")
    for wire in (first, second):
        assert limits.take(wire, ("192.0.2.1", 1))
        limits.busy(wire)
    assert not limits.take(Wire(), ("192.0.2.2", 1))
    limits.idle(second)
    limits.idle(first)
    assert limits.take(Wire(), ("192.0.2.2", 1))
    assert CUT_OFF == ["second"]
    limits.lost(second)  # once more, when its socket is closed
    limits.lost(first)
    assert limits.open_count == 1


def test_the_oldest_request_that_is_not_complete_gives_way() -> None:
    """What is complete counts until it is answered, and is not cut off; if nothing else is left, the newest is."""
    limits = budget()
    done, old, new, last = (Wire(name) for name in ("done", "old", "new", "last"))
    limits.received.add(done, 40)
    limits.received.settle(done)
    limits.received.add(old, 30)
    limits.received.add(new, 20)
    limits.received.add(old, 10)
    assert CUT_OFF == []
    limits.received.add(new, 1)
    assert CUT_OFF == ["old"]
    limits.received.add(last, 101)
    assert CUT_OFF == ["old", "new", "last"]
    assert limits.received.held == 40
    limits.received.free(done)
    assert limits.received.held == 0


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        (("192.0.2.1", 5), "192.0.2.1"),
        (("::ffff:192.0.2.1", 5, 0, 0), "192.0.2.1"),
        (("2001:db8:1:2:3::4", 5, 0, 0), "2001:db8:1:2::"),
        (("fe80::1%eth0", 5, 0, 1), "fe80::"),
        ("", ""),
        (None, ""),
    ],
)
def test_what_is_one_address(peer: Any, address: str) -> None:
    """One machine has one IPv4 address, or 64 bits of IPv6."""
    assert address_of(peer) == address
