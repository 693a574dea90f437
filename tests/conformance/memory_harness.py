"""The memory log under the suite."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.log.memory import Fate, Faults, MemoryLog
from libs.log.port import Log
from tests.conformance.harness import Features, Harness


class MemoryHarness(Harness):
    features = Features(stalls=True)
    faults = Faults()

    def make(self, partitions: int) -> Log:
        self.faults = Faults()
        return MemoryLog(partitions=partitions, faults=self.faults)

    @asynccontextmanager
    async def stalled(self) -> AsyncIterator[None]:
        self.faults.draw = lambda partition, envelopes: Fate(delay_ms=150)
        yield
        self.faults.heal()
