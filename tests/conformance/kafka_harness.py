"""The Kafka log under the suite, on a topic of its own; reached through a proxy where the broker is ours."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from libs.log.kafka import KafkaAccess, KafkaLog
from libs.log.port import Log
from tests.conformance.harness import Features, Harness
from tests.fakes.running.kafka import Kafka
from tests.kafka.proxy import Proxy


class KafkaHarness(Harness):
    fixture = "kafka_topic"

    def __init__(self, request: pytest.FixtureRequest) -> None:
        kafka: Kafka = request.getfixturevalue("kafka")
        super().__init__(request)
        self.brokers = kafka.brokers
        self.bootstrap = kafka.bootstrap
        self.proxies: list[Proxy] = []
        can_disturb = self.brokers is not None
        self.features = Features(  # type: ignore[misc]
            durable=True, several_processes=True, cuts=can_disturb, stalls=can_disturb, grows=True
        )
        if self.brokers is not None:
            self.bootstrap = ",".join(f"127.0.0.1:{broker.proxied}" for broker in self.brokers.brokers)
            self.proxies = [Proxy(broker.proxied, broker.through) for broker in self.brokers.brokers]

    def make(self, partitions: int) -> Log:
        return _Proxied(self, KafkaAccess(bootstrap=self.bootstrap), topic=self.address, partitions=partitions)

    async def cut(self) -> None:
        for proxy in self.proxies:
            await proxy.cut()

    @asynccontextmanager
    async def stalled(self) -> AsyncIterator[None]:
        for proxy in self.proxies:
            proxy.hold()
        yield
        for proxy in self.proxies:
            proxy.release()

    async def close(self) -> None:
        await super().close()
        for proxy in self.proxies:
            await proxy.stop()


class _Proxied(KafkaLog):
    """A log whose start makes sure that the proxies are there."""

    def __init__(self, harness: KafkaHarness, access: KafkaAccess, *, topic: str, partitions: int) -> None:
        super().__init__(access, topic=topic, partitions=partitions)
        self._harness = harness

    async def start(self) -> None:
        for proxy in self._harness.proxies:
            await proxy.start()
        await super().start()
