"""The keeper's share, and its letting go in time, against leases in memory and a clock that is moved by hand."""

import asyncio

import pytest

from libs.store.errors import StoreUnavailable
from libs.store.leases.lease_keeper import LEFT_S, LeaseKeeper
from libs.store.leases.lease_table import Lease
from tests.fakes.leases import ManualMonotonic, Node, Table, TableLeases
from tests.fakes.until import until


@pytest.fixture
def table() -> Table:
    return Table(4)


async def test_one_member_takes_all_two_share_and_one_takes_all_again(table: Table) -> None:
    """1 -> 2 -> 1 members on 4 partitions: 4, then 2 and 2 handed over one at a time, then 4 when the other left."""
    first, second = Node(table, "a"), Node(table, "b")
    await first.tick()
    assert first.held == {0, 1, 2, 3}
    sizes = []
    for _ in range(4):
        await second.tick()
        await first.tick()
        sizes.append((len(first.held), len(second.held)))
    assert sizes == [(3, 0), (2, 1), (2, 2), (2, 2)]
    assert first.held | second.held == {0, 1, 2, 3}
    await second.keeper.start()
    await second.keeper.stop()
    assert second.held == set()
    await first.tick()
    assert first.held == {0, 1, 2, 3}


async def test_what_became_free_is_taken_between_two_rounds(table: Table) -> None:
    """A node that left is noticed by the next look, a quarter of a second later, and its partitions are taken at once."""
    first, second = Node(table, "a"), Node(table, "b")
    await first.tick()
    for _ in range(3):
        await second.tick()
        await first.tick()
    await first.keeper._check_between_rounds()
    assert len(first.held) == 2
    await second.keeper.start()
    await second.keeper.stop()
    await first.keeper._check_between_rounds()
    assert first.held == {0, 1, 2, 3}


async def test_who_holds_all_does_not_ask_between_two_rounds_what_is_free(table: Table) -> None:
    """A process alone asks the database once a second; with one partition given up, it asks again."""
    node = Node(table, "a")
    await node.tick()
    assert node.held == {0, 1, 2, 3}
    await node.keeper._check_between_rounds()
    assert node.leases.questions == 0
    await node.keeper.give_up(1)
    await node.keeper._check_between_rounds()
    assert node.leases.questions == 1
    assert node.held == {0, 1, 2, 3}


async def test_many_partitions_are_balanced_in_a_few_rounds() -> None:
    """One sixteenth of all partitions goes back in a round, so a newcomer has its half of 64 within eight."""
    table = Table(64)
    first, second = Node(table, "a", partitions=64), Node(table, "b", partitions=64)
    await first.tick()
    for _ in range(9):
        await second.tick()
        await first.tick()
        assert all(first.keeper.holds(partition) for partition in first.held)
    await second.tick()
    assert (len(first.held), len(second.held)) == (32, 32)


async def test_who_ends_gives_each_lease_back_when_its_holder_is_done(table: Table) -> None:
    """One slow call holds up its own partition and no other; nothing is taken any more, and others no longer count the node."""
    node = Node(table, "a")
    busy = {1, 3}
    node.keeper._may_release = lambda partition: partition not in busy
    await node.keeper.start()
    await until(lambda: node.held == {0, 1, 2, 3}, every_s=0)
    ending = asyncio.create_task(node.keeper.end(30))
    await until(lambda: [part for part, holder in table.holder.items() if holder is None] == [0, 2], every_s=0)
    assert node.held == {1, 3}
    assert table.nodes == set()
    await node.tick()
    await node.keeper._check_between_rounds()
    assert node.held == {1, 3}
    busy.remove(1)
    await until(lambda: node.clock.wake() or node.held == {3}, every_s=0)
    node.clock.at_s += 30
    await until(lambda: node.clock.wake() or ending.done(), every_s=0)
    assert node.held == {3}
    await node.keeper.stop()
    assert set(table.holder.values()) == {None}
    assert table.nodes == set()


async def test_a_stolen_lease_is_lost_and_the_others_stay(table: Table) -> None:
    """What the database says is another's is lost at the next renewal."""
    node = Node(table, "a")
    await node.tick()
    table.holder[2] = "another"
    await node.tick()
    assert node.held == {0, 1, 3}
    assert ("lost", 2) in node.events


async def test_what_was_given_up_is_not_taken_again_before_its_pause_is_over(table: Table) -> None:
    """A holder that cannot go on leaves the partition to others for a while, and is not told of a loss."""
    node = Node(table, "a")
    await node.tick()
    await node.keeper.give_up(1, pause_s=2.5)
    assert table.holder[1] is None
    for _ in range(2):
        await node.tick()
        assert node.held == {0, 2, 3}
    await node.tick()
    assert node.held == {0, 1, 2, 3}
    assert ("lost", 1) not in node.events


async def test_a_holder_may_prepare_what_goes_to_a_newcomer(table: Table) -> None:
    """It is told just before the partition is lost, once for each, and only when one goes for the sake of balance."""
    first, second = Node(table, "a"), Node(table, "b")

    async def prepare(partition: int) -> None:
        assert partition in first.held
        first.events.append(("prepare", partition))
        if partition == 2:
            raise RuntimeError("planted")

    first.keeper._before_release = prepare
    await first.tick()
    for _ in range(4):
        await second.tick()
        await first.tick()
    assert [event for event in first.events if event[0] != "gained"] == [
        ("prepare", 3),
        ("lost", 3),
        ("prepare", 2),
        ("lost", 2),
    ]
    await first.keeper.start()
    await first.keeper.stop()
    assert first.events[-2:] == [("lost", 0), ("lost", 1)]


async def test_more_members_than_partitions(table: Table) -> None:
    """Whoever finds nothing free holds nothing and goes on asking."""
    nodes = [Node(Table(1), "x")]
    shared = Table(1)
    nodes = [Node(shared, name, partitions=1) for name in "abc"]
    for node in nodes * 2:
        await node.tick()
    assert [node.held for node in nodes] == [{0}, set(), set()]


async def test_start_and_stop_is_a_contract(table: Table) -> None:
    """Stop without start, double start and double stop are harmless; stop gives everything back."""
    node = Node(table, "a")
    await node.keeper.stop()
    await node.keeper.start()
    await node.keeper.start()
    await until(lambda: node.held == {0, 1, 2, 3}, every_s=0)
    node.clock.wake()
    await node.keeper.stop()
    await node.keeper.stop()
    assert set(table.holder.values()) == {None}
    assert table.nodes == set()
    assert sorted(node.events) == [(word, part) for word in ("gained", "lost") for part in range(4)]


async def test_a_callback_that_raises_stops_nothing(table: Table) -> None:
    """The other partitions are gained, and later lost, all the same."""
    gained: list[int] = []

    async def on_gained(lease: Lease) -> None:
        gained.append(lease.partition)
        if lease.partition == 0:
            raise RuntimeError("planted")

    async def on_lost(partition: int) -> None:
        raise RuntimeError("planted")

    keeper = LeaseKeeper(
        TableLeases(table, "a"), partitions=4, on_gained=on_gained, on_lost=on_lost, clock=ManualMonotonic()
    )
    await keeper.start()
    await until(lambda: gained == [0, 1, 2, 3], every_s=0)
    await keeper.stop()
    assert set(table.holder.values()) == {None}


async def test_a_lease_that_could_not_be_taken_up_goes_back_and_is_tried_again(table: Table) -> None:
    """A holder that fails to begin must not keep its partition from being served: by another at once, by itself later."""
    node, other = Node(table, "a"), Node(table, "b")
    fails = [True]

    async def on_gained(lease: Lease) -> None:
        if lease.partition == 0 and fails:
            fails.clear()
            raise RuntimeError("planted")

    node.keeper._on_gained = on_gained
    await node.tick()
    assert node.held == {1, 2, 3}
    assert node.events == [("lost", 0)]
    assert table.holder[0] is None
    for _ in range(3):
        await node.tick()
    assert node.held == {0, 1, 2, 3}
    assert other.held == set()


async def test_a_lease_given_up_while_others_are_let_go_is_passed_over(table: Table) -> None:
    """Losing one partition may make the holder of another give up: the rest are let go all the same, in the same round."""
    node = Node(table, "a")
    await node.tick()

    async def on_lost(partition: int) -> None:
        node.events.append(("lost", partition))
        await node.keeper.give_up(1)

    node.keeper._on_lost = on_lost
    node.leases.down = True
    node.clock.at_s += 5
    with pytest.raises(StoreUnavailable):
        await node.tick()
    assert node.held == set()
    assert [event for event in node.events if event[0] == "lost"] == [("lost", 0), ("lost", 2), ("lost", 3)]


async def test_a_round_that_is_thrown_away_makes_no_callback(table: Table) -> None:
    """As when the loop ends under a process: nothing is begun that nobody waits for."""
    node = Node(table, "a")
    await node.tick()
    node.leases.renew = lambda _: asyncio.Future()  # type: ignore[assignment, method-assign]
    thrown_away = node.keeper.tick()
    thrown_away.send(None)
    node.clock.at_s += 5
    thrown_away.close()
    assert node.held == {0, 1, 2, 3}
    assert ("lost", 0) not in node.events


async def test_more_members_than_partitions_leave_some_to_spare(table: Table) -> None:
    """The fifth member on four partitions holds none and knows that this is as it should be; one of two does not."""
    nodes = [Node(table, name) for name in "abcde"]
    for _ in range(6):
        for node in nodes:
            await node.tick()
    assert sorted(len(node.held) for node in nodes) == [0, 1, 1, 1, 1]
    assert [node.keeper.is_spare for node in nodes] == [not node.held for node in nodes]
    late = Node(Table(4), "f")
    late.leases.table.nodes.add("g")
    late.leases.table.holder = dict.fromkeys(range(4), "g-1")
    await late.tick()
    assert (late.held, late.keeper.is_spare) == (set(), False)


async def test_beside_an_older_member_a_newer_one_may_be_left_with_none(table: Table) -> None:
    """Newer members take what the older one may not be able to serve, and it holds what it can: a newcomer waits, and is ready."""
    table.nodes |= {"older", "newer"}
    table.knowing["older"] = 0
    table.holder = {0: "newer-1", 1: "newer-1", 2: "newer-1", 3: "older-1"}
    late = Node(table, "late")
    await late.tick()
    assert (late.held, late.keeper.is_spare) == (set(), True)
    table.nodes.remove("older")
    await late.tick()
    assert (late.held, late.keeper.is_spare) == (set(), False)


async def test_a_node_that_drains_hands_everything_over_and_takes_nothing(table: Table) -> None:
    """What it holds goes at once, the others take all of it, and it counts no more; told otherwise it takes its share again."""
    first, second = Node(table, "a"), Node(table, "b")
    await first.tick()
    await second.tick()
    table.draining.add("a")
    await first.tick()
    assert first.held == set()
    assert first.keeper.is_spare
    await second.tick()
    assert second.held == {0, 1, 2, 3}
    await first.tick()
    await first.keeper._check_between_rounds()
    assert first.held == set()

    table.draining.clear()
    for _ in range(4):
        await second.tick()
        await first.tick()
    assert first.held | second.held == {0, 1, 2, 3}
    assert len(first.held) == 2


async def test_a_node_that_drains_waits_for_calls_under_way_and_keeps_what_they_need(table: Table) -> None:
    """A partition goes when its holder is done with it; the others meanwhile do not wait for it, and it stays renewed."""
    node = Node(table, "a")
    busy = {2}
    node.keeper._may_release = lambda partition: partition not in busy
    await node.tick()
    table.draining.add("a")
    for _ in range(20):
        await node.tick()
        assert node.held == {2}
        assert node.keeper.holds(2)
    busy.clear()
    await node.tick()
    assert node.held == set()


async def settle(*nodes: Node) -> None:
    """Let the nodes have their rounds until nothing moves any more."""
    for _ in range(60):
        for node in nodes:
            await node.tick()


@pytest.mark.parametrize(("old_count", "before", "after"), [(1, 4, 6), (3, 4, 64), (2, 5, 7), (1, 1, 2), (4, 4, 8)])
async def test_after_growth_every_partition_has_its_owner(old_count: int, before: int, after: int) -> None:
    """What came later goes to those who were started since; the others share the rest, and nothing is left over or moves on."""
    grown = Table(after)
    old = [Node(grown, f"old{n}", partitions=before) for n in range(old_count)]
    await settle(*old)
    new = Node(grown, "new", partitions=after)
    await settle(*old, new)
    assert set().union(*(node.held for node in [*old, new])) == set(range(after))
    assert new.held >= set(range(before, after))
    held = [node.held for node in [*old, new]]
    await settle(*old, new)
    assert [node.held for node in [*old, new]] == held

    back = Node(grown, "back", partitions=before)  # and one of the old build that comes back finds its share
    await settle(new, back, *old)
    assert set().union(*(node.held for node in [*old, new, back])) == set(range(after))


async def test_who_stands_aside_holds_nothing_and_is_not_counted() -> None:
    """While there is a reason its partitions are the others', all of them; afterwards it takes its share again."""
    table, reason = Table(4), ["the clock is wrong"]
    first, second = Node(table, "a"), Node(table, "b")
    first.keeper._stands_aside = lambda: reason
    await first.tick()
    assert first.held == set()
    reason.clear()
    await first.tick()
    assert first.held == {0, 1, 2, 3}

    reason.append("the clock is wrong")
    await first.tick()
    await second.tick()
    assert first.held == set()
    assert second.held == {0, 1, 2, 3}


async def test_a_partition_that_another_member_cannot_serve_is_taken_beyond_the_share(table: Table) -> None:
    """An older build gives a partition up, again and again: after three seconds the other member takes it, share or not."""
    old, new = Node(table, "old"), Node(table, "new")
    for _ in range(4):
        await old.tick()
        await new.tick()
    (given_up, _) = sorted(old.held)
    await old.keeper.give_up(given_up, pause_s=30.0)
    await new.keeper._check_between_rounds()
    new.clock.at_s += LEFT_S - 0.1
    await new.keeper._check_between_rounds()
    assert len(new.held) == 2
    new.clock.at_s += 0.2
    await new.keeper._check_between_rounds()
    assert given_up in new.held


async def test_a_draining_member_takes_nothing_that_is_left(table: Table) -> None:
    """It was asked to hand over what it has."""
    node = Node(table, "a")
    table.draining.add("a")
    await node.tick()
    await node.keeper._check_between_rounds()
    node.clock.at_s += 2 * LEFT_S
    await node.keeper._check_between_rounds()
    assert node.held == set()
