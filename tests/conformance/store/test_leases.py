"""Leases on real rows, by the database's clock, with two nodes."""

import asyncio

import pytest

from libs.events.protocol import PROTOCOL
from libs.store.leases.lease_keeper import LeaseKeeper
from libs.store.leases.lease_table import Lease, OwnerLeases, RoleLeases
from libs.store.leases.shares import share
from libs.store.projection.changes import Flush, PartitionChanges
from tests.conformance.store.conftest import PARTITIONS, Harness
from tests.fakes.leases import ManualMonotonic

KINDS = ("scheduler", "dispatcher", "webhooks")
Node = OwnerLeases | RoleLeases


def leases_of(harness: Harness, kind: str, node: str, *, protocol: int = PROTOCOL) -> Node:
    if kind == "scheduler":
        return OwnerLeases(harness.pool, node, protocol=protocol)
    return RoleLeases(harness.pool, kind, node, protocol=protocol)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of lease in turn."""
    return str(request.param)


@pytest.fixture
def pair(harness: Harness, kind: str) -> tuple[Node, Node]:
    """Two nodes."""
    return leases_of(harness, kind, "a"), leases_of(harness, kind, "b")


async def expire(harness: Harness, kind: str) -> None:
    """Let the database's clock pass the term of every lease of *kind*."""
    table = "progress" if kind == "scheduler" else "role_lease"
    await harness.pool.execute(f"UPDATE {table} SET lease_until = now() - interval '1 ms'")


async def test_two_nodes_never_hold_the_same_partition(pair: tuple[Node, Node]) -> None:
    """Whoever comes second finds what is left; asked at once, they share without waiting for each other."""
    first, second = pair
    taken = await asyncio.gather(first.acquire(3), second.acquire(3))
    parts = [lease.partition for leases in taken for lease in leases]
    parts += [lease.partition for lease in await second.acquire(PARTITIONS)]
    assert sorted(parts) == list(range(PARTITIONS))
    assert await first.acquire(PARTITIONS) == []
    nonces = {lease.nonce for leases in taken for lease in leases}
    assert all(len(nonce) == 32 and nonce.isalnum() for nonce in nonces)


async def test_an_expired_lease_is_taken_with_a_higher_epoch(
    harness: Harness, kind: str, pair: tuple[Node, Node]
) -> None:
    """After the term another node takes over, and the old holder learns of it when it renews."""
    first, second = pair
    old = await first.acquire(2)
    assert await second.acquire(PARTITIONS, avoid=[2, 3]) == []
    await expire(harness, kind)
    new = await second.acquire(1)
    assert (new[0].partition, new[0].epoch) == (0, old[0].epoch + 1)
    assert new[0].nonce != old[0].nonce
    assert await first.renew(old) == {0}


async def test_an_expired_lease_that_nobody_took_can_be_renewed(
    harness: Harness, kind: str, pair: tuple[Node, Node]
) -> None:
    """The nonce decides, not the time: a late renewal of what is still ours holds."""
    first, second = pair
    held = await first.acquire(PARTITIONS)
    await expire(harness, kind)
    assert await first.renew(held) == set()
    assert await second.acquire(PARTITIONS) == []


async def test_a_node_takes_back_at_once_what_its_earlier_life_held(harness: Harness, kind: str) -> None:
    """After a crash the same name need not wait for the term; what this life holds is not taken twice."""
    earlier, later = leases_of(harness, kind, "a"), leases_of(harness, kind, "a")
    old = await earlier.acquire(PARTITIONS)
    new = await later.acquire(PARTITIONS)
    assert [lease.partition for lease in new] == list(range(PARTITIONS))
    assert [lease.epoch for lease in new] == [lease.epoch + 1 for lease in old]
    assert await later.acquire(PARTITIONS) == []
    assert await later.renew(new) == set()


async def test_released_leases_are_free_and_others_are_left_alone(pair: tuple[Node, Node]) -> None:
    """Giving back what is not ours any more changes nothing."""
    first, second = pair
    held = await first.acquire(2)
    await first.release(held)
    taken = await second.acquire(2)
    assert [lease.partition for lease in taken] == [0, 1]
    await first.release(held)
    assert await second.renew(taken) == set()
    assert await first.renew(held) == {0, 1}


async def test_an_epoch_is_higher_than_every_claim_that_is_known(harness: Harness) -> None:
    """A claim admitted at the folded position counts like a lease: the next epoch lies above both."""
    await harness.pool.execute("UPDATE progress SET claim_epoch = 41, lease_epoch = 7 WHERE part = 0")
    await harness.pool.execute("UPDATE progress SET claim_epoch = 3, lease_epoch = 9 WHERE part = 1")
    await harness.pool.execute("UPDATE progress SET lease_nonce = NULL")
    leases = await OwnerLeases(harness.pool, "a").acquire(3)
    assert [lease.epoch for lease in leases] == [42, 10, 1]


async def test_a_released_partition_cannot_be_flushed(harness: Harness) -> None:
    """The nonce of a lease that was given back passes no fence."""
    await harness.pool.execute("UPDATE progress SET lease_nonce = NULL")
    leases = OwnerLeases(harness.pool, "a")
    held = await leases.acquire(1)
    flush = harness.fold(0)._replace(lease_nonce=held[0].nonce, to_position=0)
    await leases.release(held)
    assert await harness.projector.flush([flush]) == {0}


async def test_members_are_counted_by_role_while_they_beat(harness: Harness) -> None:
    """A node counts itself at once, others while they were seen within a term, and not after they left."""
    first, second = OwnerLeases(harness.pool, "a"), OwnerLeases(harness.pool, "b")
    other_role = RoleLeases(harness.pool, "webhooks", "c")
    assert (await first.members(), await other_role.members()) == (1, 1)
    assert (await second.members(), await first.members()) == (2, 2)
    await harness.pool.execute("UPDATE members SET seen_at = now() - interval '5 s' WHERE node = 'b'")
    assert await first.members() == 1
    await second.members()
    await second.leave()
    assert await first.members() == 1


async def test_keepers_settle_and_take_over(harness: Harness, kind: str) -> None:
    """On real rows: one keeper holds all, two hold half each, and after one stopped the other holds all again."""
    await harness.pool.execute("UPDATE progress SET lease_nonce = NULL")
    keepers = []
    for node in "ab":
        lost: list[int] = []

        async def on_gained(_: Lease) -> None:
            """Nothing to start."""

        async def on_lost(partition: int, lost: list[int] = lost) -> None:
            lost.append(partition)

        keepers.append(
            LeaseKeeper(
                leases_of(harness, kind, node),
                partitions=PARTITIONS,
                on_gained=on_gained,
                on_lost=on_lost,
                clock=ManualMonotonic(),
            )
        )
    first, second = keepers
    await first.tick()
    assert set(first.held) == set(range(PARTITIONS))
    for _ in range(4):
        await second.tick()
        await first.tick()
    assert [len(first.held), len(second.held)] == [2, 2]
    assert set(first.held) | set(second.held) == set(range(PARTITIONS))
    await second.start()
    await second.stop()
    await first.tick()
    assert set(first.held) == set(range(PARTITIONS))


async def test_a_drained_node_is_not_counted_until_its_next_life(
    harness: Harness, kind: str, pair: tuple[Node, Node]
) -> None:
    """A mark in `members` is read with the next beat; the process that comes after it, under the same name, is not bound by it."""
    first, second = pair
    assert [await first.members(), await second.members()] == [1, 2]
    await harness.pool.execute("UPDATE members SET draining = true WHERE node = 'a'")
    assert [await second.members(), await first.members()] == [1, 2]
    assert first.is_draining
    assert not second.is_draining

    again = leases_of(harness, kind, "a")
    assert [await again.members(), await second.members()] == [2, 2]
    assert not again.is_draining


async def test_partitions_that_came_later_are_left_to_who_knows_them(harness: Harness) -> None:
    """A process that was started with two partitions takes leases of these two only."""
    old = OwnerLeases(harness.pool, "old", partitions=2, version="1.0")
    new = OwnerLeases(harness.pool, "new", partitions=4, version="1.1")
    await old.members()
    assert [lease.partition for lease in await old.acquire(4)] == [0, 1]
    assert (await old.free())[0] == 0
    assert (await new.free())[0] == 2
    assert [lease.partition for lease in await new.acquire(4)] == [2, 3]
    assert await harness.pool.fetchrow("SELECT partitions, version FROM members WHERE node = 'old'") == (2, "1.0")


async def test_a_database_clock_that_went_back_keeps_no_partition_from_being_served(
    harness: Harness, kind: str, pair: tuple[Node, Node]
) -> None:
    """A lease held beyond any term, and a member seen in the future, are of somebody who died before the clock was set back."""
    dead, alive = pair
    table = "progress" if kind == "scheduler" else "role_lease"
    await dead.members()
    await dead.acquire(PARTITIONS)
    assert await alive.members() == 2
    await harness.pool.execute(
        f"UPDATE {table} SET lease_until = lease_until + interval '1 day' WHERE lease_until IS NOT NULL"
    )
    await harness.pool.execute("UPDATE members SET seen_at = now() + interval '1 day' WHERE node = 'a'")
    assert await alive.free() == (PARTITIONS, 1)
    assert await alive.members() == 1
    assert len(await alive.acquire(PARTITIONS)) == PARTITIONS


async def needing(harness: Harness, partition: int, protocol: int = 1) -> None:
    """Fold a record of *protocol* into the tables of *partition*."""
    changes = PartitionChanges(partition)
    changes.needs = protocol
    owner = OwnerLeases(harness.pool, "owner", protocol=protocol or 9)
    (lease,) = await owner.acquire(1, avoid=[each for each in range(PARTITIONS) if each != partition])
    position = await harness.pool.fetchval("SELECT position FROM progress WHERE part = $1", partition)
    flush = Flush(partition, lease.nonce, position, position + 1, None, changes)
    assert await harness.projector.flush([flush]) == set()
    await owner.release([lease])


async def test_an_older_build_takes_no_lease_of_a_partition_whose_tables_it_does_not_understand(
    harness: Harness, kind: str
) -> None:
    """It is passed over as if somebody held it. A build that knows the protocol takes it, and takes it first."""
    await needing(harness, 2)
    old = leases_of(harness, kind, "old", protocol=0)
    assert (await old.free())[0] == PARTITIONS - 1
    assert [lease.partition for lease in await old.acquire(PARTITIONS)] == [0, 1, 3]
    assert [lease.partition for lease in await leases_of(harness, kind, "new").acquire(1)] == [2]
    await expire(harness, kind)
    assert await old.acquire(PARTITIONS) == []
    assert [lease.partition for lease in await leases_of(harness, kind, "later").acquire(1)] == [2]


async def test_the_tables_themselves_refuse_a_build_that_does_not_ask(harness: Harness, kind: str) -> None:
    """The statement of builds from before there were protocols takes every lease but that one, also after a newer build had it."""
    await needing(harness, 2)
    table, prefix = ("progress", "lease_") if kind == "scheduler" else ("role_lease", "")
    of_role = "" if kind == "scheduler" else f" AND role = '{kind}'"
    taking = f"UPDATE {table} SET {prefix}nonce = gen_random_uuid() WHERE part = ANY ($1){of_role} RETURNING part"
    taken = await harness.pool.fetch(taking, [0, 2])
    assert [row["part"] for row in taken] == [0]
    (lease,) = await leases_of(harness, kind, "new").acquire(1)
    assert lease.partition == 2
    assert await harness.pool.fetch(taking, [2]) == []


async def test_older_builds_are_not_counted_on_for_partitions_that_they_cannot_serve(
    harness: Harness, kind: str
) -> None:
    """While one partition is beyond them, newer members share all partitions among themselves; older ones keep what they hold."""
    old = leases_of(harness, kind, "old", protocol=0)
    new = leases_of(harness, kind, "new")
    await old.members()
    assert (await new.members(), new.known_by_others) == (2, (1 << 30,))
    await needing(harness, 2)
    assert (await new.members(), new.known_by_others) == (2, (0,))
    assert share(PARTITIONS, 2, new.known_by_others) == PARTITIONS


async def test_what_a_partition_needs_never_sinks(harness: Harness) -> None:
    """A flush of plain records leaves it as it was."""
    await needing(harness, 1, protocol=3)
    await needing(harness, 1, protocol=0)
    assert await harness.pool.fetchval("SELECT needs FROM progress WHERE part = 1") == 3
