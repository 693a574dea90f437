"""Handing leases over for the sake of balance: the holder ends what is under way, and no partition waits longer than it must."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from libs.store.leases.lease_table import Lease
from tests.fakes.leases import Node, Table


@pytest.fixture
def table() -> Table:
    return Table(4)


@pytest.mark.parametrize(("rounds_busy", "rounds_until_released"), [(0, 1), (3, 4), (99, 6)])
async def test_a_lease_goes_back_in_peace(table: Table, rounds_busy: int, rounds_until_released: int) -> None:
    """Its holder is asked each round and may finish what is under way, for five seconds at most; others stay renewed."""
    first, second = Node(table, "a"), Node(table, "b")
    asked: list[int] = []

    def may_release(partition: int) -> bool:
        asked.append(partition)
        return len(asked) > rounds_busy

    first.keeper._may_release = may_release
    await first.tick()
    await second.tick()
    rounds = 0
    while len(first.held) == 4:
        await first.tick()
        rounds += 1

    assert rounds == rounds_until_released
    assert set(asked) == {3}
    assert first.held == {0, 1, 2}
    assert all(first.keeper.holds(partition) for partition in first.held)


async def test_a_holder_is_asked_between_two_rounds(table: Table) -> None:
    """A partition that goes back is served by nobody: the next look hands it over, not the next round."""
    first, second = Node(table, "a"), Node(table, "b")
    busy = {3}
    first.keeper._may_release = lambda partition: partition not in busy
    await first.tick()
    await second.tick()
    await first.tick()
    await first.keeper._check_between_rounds()
    assert first.held == {0, 1, 2, 3}
    busy.clear()
    await first.keeper._check_between_rounds()
    assert first.held == {0, 1, 2}


async def test_a_lease_lost_while_it_was_to_go_back_is_forgotten(table: Table) -> None:
    """Nothing else is given back in its place."""
    first, second = Node(table, "a"), Node(table, "b")
    first.keeper._may_release = lambda _: False
    await first.tick()
    await second.tick()
    await first.tick()
    await first.keeper.give_up(3)
    await first.keeper.give_up(2)
    await first.tick()

    assert first.held == {0, 1}


async def test_one_that_cannot_be_given_back_does_not_hurry_the_others(table: Table) -> None:
    """The round ends when all that go back are done, also when one of them fails; then it says how that failed."""
    node = Node(table, "a")
    await node.tick()
    table.draining.add("a")
    go_on = asyncio.Event()

    async def release(leases: Sequence[Lease]) -> None:
        if leases[0].partition == 0:
            raise RuntimeError("no such table")
        await go_on.wait()

    node.leases.release = release  # type: ignore[method-assign]
    round_ = asyncio.create_task(node.tick())
    for _ in range(50):
        await asyncio.sleep(0)

    assert ("lost", 3) in node.events
    assert not round_.done()
    go_on.set()
    with pytest.raises(RuntimeError, match="no such table"):
        await round_
    assert node.held == set()
