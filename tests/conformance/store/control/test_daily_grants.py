"""Grants of accounts' days in the tables: what owners in different processes are granted together."""

from __future__ import annotations

import asyncio

from libs.domain.instants import day_of
from libs.store.control.daily_grants import DailyGrants, GrantAsk
from tests.conformance.store.conftest import NOW, Harness

DAY = day_of(NOW)


def ask(partition: int, used: int, need: int, *, account: str = "acme", epoch: int = 1, limit: int = 10) -> GrantAsk:
    """What the owner of a partition asks."""
    return GrantAsk(account, DAY, partition, epoch, used, need, limit)


async def test_concurrent_owners_get_no_more_than_the_limit_together(harness: Harness) -> None:
    """Each on a connection of its own, each asking for a part again and again."""
    used = dict.fromkeys(range(4), 0)

    async def own(partition: int) -> None:
        grants = DailyGrants(harness.pool)
        for _ in range(10):
            (granted,) = await grants.ask([ask(partition, used[partition], 3, limit=50)])
            assert granted is not None
            used[partition] = granted

    await asyncio.gather(*map(own, used))
    assert sum(used.values()) == 50


async def test_what_the_tables_count_is_charged_without_a_grant(harness: Harness) -> None:
    """A build that does not ask decided it, or the grant was lost with a backup."""
    await harness.pool.execute(
        "INSERT INTO usage_daily (account, day, part, executions) VALUES ('acme', DATE '1970-01-01' + $1::int4, 1, 7)",
        DAY,
    )
    grants = DailyGrants(harness.pool)

    assert await grants.ask([ask(0, 0, 5), ask(2, 0, 5), ask(0, 0, 5, account="other")]) == [3, 0, 5]
    assert await harness.tables.daily_usage(1, DAY) == {("acme", DAY): 7}
    assert await harness.tables.daily_usage(1, DAY + 1) == {}
    assert await harness.tables.daily_usage(0, DAY) == {}


async def test_a_grant_replaces_the_one_before_but_not_that_of_a_successor(harness: Harness) -> None:
    """What is given back is free for others; an owner with a lower epoch was replaced."""
    grants = DailyGrants(harness.pool)

    assert await grants.ask([ask(0, 2, 8, epoch=3)]) == [10]
    assert await grants.ask([ask(1, 0, 4)]) == [0]
    assert await grants.ask([ask(0, 4, 0, epoch=3), ask(1, 0, 4)]) == [4, 4]
    assert await grants.ask([ask(0, 0, 1, epoch=2), ask(2, 0, 9)]) == [None, 2]


async def test_old_days_are_forgotten(harness: Harness) -> None:
    """And only those."""
    grants = DailyGrants(harness.pool)
    await grants.ask([ask(0, 0, 1)._replace(day=DAY - 3), ask(0, 0, 1)._replace(day=DAY - 2), ask(0, 0, 1)])
    await grants.forget_before(DAY - 2)

    assert await harness.pool.fetchval("SELECT count(*) FROM daily_grants") == 2
