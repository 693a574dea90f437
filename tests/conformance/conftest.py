"""The logs under test. Naming a harness here puts its log under the whole suite."""

import shutil
from collections.abc import AsyncIterator, Iterator

import pytest

from libs.log.port import Log
from libs.runtime.embedded_postgres.server import EmbeddedPostgres
from tests.conformance.harness import Harness
from tests.conformance.kafka_harness import KafkaHarness
from tests.conformance.memory_harness import MemoryHarness
from tests.conformance.postgres_harness import PostgresHarness
from tests.fakes.running.memory_disk import data_folder

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


@pytest.fixture(scope="module")
def own_server() -> Iterator[EmbeddedPostgres]:
    """A server of this module's own, with fsync, to be stopped and started."""
    directory = data_folder("fliq-log-")
    directory.chmod(0o711)
    server = EmbeddedPostgres(directory / "d", say=lambda _: None)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(directory, ignore_errors=True)
