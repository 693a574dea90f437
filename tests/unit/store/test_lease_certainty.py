"""How long a node may rely on its leases when the database is slow or away, and what it takes when it is back."""

import asyncio
from collections.abc import Sequence

import pytest

from libs.store.errors import StoreUnavailable
from libs.store.leases.lease_table import Lease
from tests.fakes.leases import Node, Table


@pytest.fixture
def table() -> Table:
    return Table(4)


async def test_a_lease_is_certain_for_six_tenths_of_its_term(table: Table) -> None:
    """After a stall of 2.4 s, `holds` is false before the keeper itself has done anything."""
    node = Node(table, "a")
    await node.tick()
    node.clock.at_s += 2.3
    assert node.keeper.holds(0)
    node.clock.at_s += 0.2
    assert not node.keeper.holds(0)
    assert node.held == {0, 1, 2, 3}


async def test_without_the_database_everything_is_lost_in_time(table: Table) -> None:
    """Renewals that fail are borne for 0.6 of the term; then each partition is lost, once."""
    node = Node(table, "a")
    await node.tick()
    node.leases.down = True
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await node.tick()
        assert node.held == {0, 1, 2, 3}
    with pytest.raises(StoreUnavailable):
        await node.tick()
    assert node.held == set()
    assert [event for event in node.events if event[0] == "lost"] == [("lost", part) for part in range(4)]
    node.leases.down = False
    for part in table.holder:
        table.holder[part] = None
    await node.tick()
    assert node.held == {0, 1, 2, 3}


async def test_a_database_that_hangs_does_not_keep_us_from_letting_go(table: Table) -> None:
    """A renewal without an answer is given up when certainty ends, and everything is lost."""
    node = Node(table, "a")
    await node.tick()
    node.leases.hangs = True
    node.clock.at_s += 2.0
    with pytest.raises(StoreUnavailable, match="no answer"):
        await node.tick()
    assert node.held == set()


async def test_who_is_fenced_goes_on_without_the_database(table: Table) -> None:
    """An owner keeps its partitions while the database is away, however long; what was taken from it meanwhile is then lost."""
    node = Node(table, "a", is_fenced=True)
    await node.tick()
    node.leases.down = True
    for _ in range(20):
        with pytest.raises(StoreUnavailable):
            await node.tick()
    assert node.held == {0, 1, 2, 3}
    assert not node.keeper.holds(0)
    node.leases.down = False
    table.holder[2] = "another"
    await node.tick()
    assert node.held == {0, 1, 3}
    assert node.events[4:] == [("lost", 2)]


async def test_who_is_fenced_waits_for_a_slow_database(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """When certainty has run out long ago, an answer that takes a while still renews."""
    monkeypatch.setattr("libs.store.leases.lease_keeper.PATIENCE_MIN_S", 0.0)
    node = Node(table, "a", is_fenced=True)
    await node.tick()
    node.clock.at_s += 60
    answered = node.leases.renew

    async def slow(leases: Sequence[Lease]) -> set[int]:
        await asyncio.sleep(0.02)
        return await answered(leases)

    node.leases.renew = slow  # type: ignore[method-assign]
    await node.tick()
    assert node.keeper.holds(0)


async def test_the_first_round_after_an_outage_takes_nothing(table: Table) -> None:
    """All leases have run out then, and nobody was seen: whoever comes back first must not take what the others renew."""
    first, second = Node(table, "a"), Node(table, "b")
    await first.tick()
    for _ in range(3):
        await second.tick()
        await first.tick()
    assert len(second.held) == 2
    first.leases.down = second.leases.down = True
    for _ in range(5):
        with pytest.raises(StoreUnavailable):
            await first.tick()
    first.leases.down = second.leases.down = False
    table.holder = dict.fromkeys(range(4))
    table.nodes.clear()
    await first.tick()
    assert first.held == set()
    second.clock.at_s += 5
    await second.keeper.tick()
    await first.tick()
    assert len(first.held) == 2


async def test_no_look_after_an_outage_takes_what_others_are_about_to_renew(table: Table) -> None:
    """Neither while rounds fail nor behind the first one that does not: between rounds nothing is taken that a round would not."""
    node = Node(table, "a", is_fenced=True)
    table.holder = dict.fromkeys(range(4), "another")
    table.nodes.add("another")
    await node.tick()
    node.leases.down = True
    for _ in range(5):
        with pytest.raises(StoreUnavailable):
            await node.tick()
    node.leases.down = False
    table.holder = dict.fromkeys(range(4))
    table.nodes.clear()
    await node.keeper._check_between_rounds()
    assert node.held == set()
    await node.tick()
    await node.keeper._check_between_rounds()
    assert node.held == set()
    table.nodes.add("another")
    await node.tick()
    assert len(node.held) == 2


async def test_a_question_that_cannot_be_taken_back_keeps_nobody_from_letting_go(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen server takes no cancellation either: what is not certain any more is let go in the same round, all the same."""
    monkeypatch.setattr("libs.store.leases.lease_keeper.PATIENCE_MIN_S", 0.01)
    monkeypatch.setattr("libs.store.leases.lease_keeper.RELEASE_TIMEOUT_S", 0.01)
    node = Node(table, "a")
    await node.tick()
    thawed = asyncio.Event()

    async def frozen(_: Sequence[Lease]) -> set[int]:
        try:
            await asyncio.Event().wait()
        finally:
            await thawed.wait()
        return set()

    node.leases.renew = frozen  # type: ignore[method-assign]
    node.leases.release = frozen  # type: ignore[assignment,method-assign]
    node.clock.at_s += 5
    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(node.keeper.tick(), 5)
    assert node.held == set()
    thawed.set()
    await asyncio.sleep(0)
