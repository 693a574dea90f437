"""The logs under test. Naming a harness here puts its log under the whole suite."""

from collections.abc import AsyncIterator

import pytest

from libs.log.port import Log
from tests.conformance.harness import Harness
from tests.conformance.kafka_harness import KafkaHarness
from tests.conformance.memory_harness import MemoryHarness
from tests.conformance.postgres_harness import PostgresHarness

HARNESSES: dict[str, type[Harness]] = {"memory": MemoryHarness, "postgres": PostgresHarness, "kafka": KafkaHarness}


@pytest.fixture(params=list(HARNESSES))
async def harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    """One log's data, empty."""
    harness = HARNESSES[request.param](request)
    yield harness
    await harness.close()


@pytest.fixture
async def log(harness: Harness) -> Log:
    """A started log of two partitions on that data."""
    return await harness.open()
