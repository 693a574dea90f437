"""Leases that go back together, and one of them in trouble; leases in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from libs.store.leases.lease_table import Lease
from tests.fakes.leases import Node, Table


async def test_one_that_cannot_be_given_back_does_not_hurry_the_others() -> None:
    """The round ends when all that go back are done, also when one of them fails; then it says how that failed."""
    table = Table(4)
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
