"""Three brokers: what the loss of one and of two means. Slow, so nightly; needs Java and Maven."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.log.kafka import KafkaAccess, KafkaLog
from libs.log.port import LogError
from tests.conformance.harness import Callers, envelope
from tests.kafka.artifacts import Unavailable
from tests.kafka.broker import Broker, Brokers

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(240)]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Brokers]:
    brokers = Brokers(tmp_path, count=3)
    try:
        brokers.start()
    except Unavailable as error:
        pytest.skip(f"needs brokers that this run can start: {error}")
    yield brokers
    brokers.stop()


async def test_brokers_come_and_go(cluster: Brokers) -> None:
    """
    G1, G6: the leader is killed: appends go on by themselves, on the other two. A second one is killed: nothing is acknowledged,
    since a single copy is not durable. Both come back: all goes on. Nothing acknowledged is lost.
    """
    log = KafkaLog(KafkaAccess(bootstrap=cluster.bootstrap), partitions=2, timeout_s=2.0)
    await log.start()
    callers = Callers(log, timeout_s=20)
    await callers.more(50)

    first = leader_of(log, cluster)
    await asyncio.to_thread(cluster.order, first, "kill")
    await callers.more(50)
    while (second := leader_of(log, cluster)) is first:
        await callers.more(
            1
        )  # appends learn of the new leader by themselves; the connection that we ask may learn later
    await asyncio.to_thread(cluster.order, second, "kill")
    with pytest.raises(LogError):
        await log.append(1, [envelope("x")], timeout_s=3)
    for broker in (first, second):
        await asyncio.to_thread(cluster.start_one, broker)
    for broker in (first, second):
        await asyncio.to_thread(cluster.wait_one, broker)
    await callers.more(50)

    await callers.stop()
    await log.stop()


async def test_a_leader_that_stops_where_it_is(cluster: Brokers) -> None:
    """
    G1, G3: a leader is stopped for longer than its session, another takes over, and the first goes on: nothing is lost, and nothing
    appears behind a reader.
    """
    log = KafkaLog(KafkaAccess(bootstrap=cluster.bootstrap), partitions=2, timeout_s=2.0)
    await log.start()
    callers = Callers(log, timeout_s=20)
    await callers.more(50)
    zombie = leader_of(log, cluster)
    cluster.order(zombie, "stop")
    try:
        await callers.more(50)
    finally:
        cluster.order(zombie, "go on")
    await callers.more(50)

    await callers.stop()
    await log.stop()


def leader_of(log: KafkaLog, cluster: Brokers) -> Broker:
    """Return the broker that leads partition 0, as the log sees it."""
    assert log._running is not None
    node = log._running._connection.leader(0)
    return next(broker for broker in cluster.brokers if broker.node == node)
