"""Three brokers: what the loss of one and of two means. Slow, so nightly; needs Java and Maven."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.log.kafka import KafkaAccess, KafkaLog
from libs.log.port import LogError, LogUnavailable
from tests.conformance.harness import envelope, values
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


class Writers:
    """Callers that append one record after the other to partition 0, and remember what became of each."""

    def __init__(self, log: KafkaLog) -> None:
        self.log = log
        self.returned: dict[int, str] = {}
        self.failed: set[str] = set()
        self._finished = asyncio.Event()
        self._tasks = [asyncio.create_task(self._write(name)) for name in range(4)]

    async def more(self, count: int) -> None:
        """Return once *count* more appends have returned."""
        wanted = len(self.returned) + count
        while len(self.returned) < wanted:
            try:
                await self.log.read(0, await self.log.end(0), wait_s=0.1)
            except LogUnavailable:
                continue

    async def stop(self) -> None:
        self._finished.set()
        await asyncio.gather(*self._tasks)

    async def check(self) -> None:
        """See that what returned is where it was said to be, and that nothing is there twice."""
        found = await values(self.log)
        assert len(set(found)) == len(found)
        assert set(self.returned.values()) <= set(found) <= set(self.returned.values()) | self.failed
        assert all(found[position] == text for position, text in self.returned.items())

    async def _write(self, name: int) -> None:
        turn = 0
        while not self._finished.is_set():
            text = f"{name}.{turn}"
            turn += 1
            try:
                self.returned[await self.log.append(0, [envelope(text)], timeout_s=20)] = text
            except LogError:
                self.failed.add(text)


async def test_brokers_come_and_go(cluster: Brokers) -> None:
    """
    G1, G6: the leader is killed: appends go on by themselves, on the other two. A second one is killed: nothing is acknowledged,
    since a single copy is not durable. Both come back: all goes on. Nothing acknowledged is lost.
    """
    log = KafkaLog(KafkaAccess(bootstrap=cluster.bootstrap), partitions=2, timeout_s=2.0)
    await log.start()
    writers = Writers(log)
    await writers.more(50)

    first = leader_of(log, cluster)
    await asyncio.to_thread(cluster.order, first, "kill")
    await writers.more(50)
    second = leader_of(log, cluster)
    assert second is not first
    await asyncio.to_thread(cluster.order, second, "kill")
    with pytest.raises(LogError):
        await log.append(1, [envelope("x")], timeout_s=3)
    for broker in (first, second):
        await asyncio.to_thread(cluster.start_one, broker)
    for broker in (first, second):
        await asyncio.to_thread(cluster.wait_one, broker)
    await writers.more(50)

    await writers.stop()
    await writers.check()
    await log.stop()


async def test_a_leader_that_stops_where_it_is(cluster: Brokers) -> None:
    """
    G1, G3: a leader is stopped for longer than its session, another takes over, and the first goes on: nothing is lost, and nothing
    appears behind a reader.
    """
    log = KafkaLog(KafkaAccess(bootstrap=cluster.bootstrap), partitions=2, timeout_s=2.0)
    await log.start()
    writers = Writers(log)
    await writers.more(50)
    zombie = leader_of(log, cluster)
    cluster.order(zombie, "stop")
    try:
        await writers.more(50)
    finally:
        cluster.order(zombie, "go on")
    await writers.more(50)

    await writers.stop()
    await writers.check()
    await log.stop()


def leader_of(log: KafkaLog, cluster: Brokers) -> Broker:
    """Return the broker that leads partition 0, as the log sees it."""
    assert log._running is not None
    node = log._running._connection.leader(0)
    return next(broker for broker in cluster.brokers if broker.node == node)
