"""
A real Kafka for tests: one cluster per run, started on first use. tests/kafka/source.py says where it comes from.

`kafka`        session: the cluster; tests that need it are skipped where none is to be had
`kafka_topic`  function: the name of a topic that does not exist yet; deleted afterwards
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from tests.kafka.artifacts import Unavailable
from tests.kafka.broker import Brokers, Certificates
from tests.kafka.container import Container
from tests.kafka.source import find

TESTS = Path(__file__).parents[2]
CERTIFICATES = Certificates(  # broker.pem is good.pem of the same authority, with its key as Java reads it (PKCS #8)
    chain=TESTS / "kafka" / "broker.pem",
    authority=TESTS / "e2e" / "egress_client" / "certificates" / "authority.pem",
)

_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Kafka:
    """
    The cluster.

    Args:
        bootstrap: its address.
        brokers: what was started for this run; None when the cluster is somebody else's, and must not be disturbed.
    """

    bootstrap: str
    brokers: Brokers | None


def pytest_report_header() -> str:
    """Say what the Kafka tests run on, or why they do not."""
    return f"kafka: {find().said}"


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """One cluster for the whole run."""
    source = find()
    if source.kind is None:
        pytest.skip(f"Kafka tests {source.said}")
    if source.kind == "address":
        yield Kafka(bootstrap=source.address, brokers=None)
        return
    directory = Path(tempfile.mkdtemp(prefix="fliq-kafka-"))
    server = Container(directory) if source.kind == "image" else Brokers(directory, certificates=CERTIFICATES)
    try:
        try:
            server.start()
        except Unavailable as error:
            pytest.skip(f"Kafka tests: {error}")
        yield Kafka(bootstrap=server.bootstrap, brokers=server if isinstance(server, Brokers) else None)
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def kafka_topic(kafka: Kafka) -> Iterator[str]:
    """The name of a topic of this test's own."""
    topic = f"fliq.test.{os.getpid()}.{next(_numbers)}"
    yield topic
    delete_topics(kafka, [topic])


def delete_topics(kafka: Kafka, topics: list[str]) -> None:
    """Delete what a test made in somebody else's cluster; one of ours is thrown away as a whole."""
    if kafka.brokers is None and topics:
        with ThreadPoolExecutor(max_workers=1) as thread:
            thread.submit(asyncio.run, _delete(kafka.bootstrap, topics)).result(timeout=60)


async def _delete(bootstrap: str, topics: list[str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.delete_topics(topics)
    finally:
        await admin.close()
