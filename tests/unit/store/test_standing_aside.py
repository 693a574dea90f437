"""A keeper whose process has a reason not to work."""

from tests.unit.store.test_lease_keeper import Node, Table


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
