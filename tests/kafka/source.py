"""
Where the Kafka of the tests comes from, in this order:

    FLIQ_TEST_KAFKA     a cluster that runs, as a comma list of host:port
    a Docker engine     the image of the Apache Kafka project (container.py)
    Java 17+ and Maven  the broker from Maven Central (artifacts.py, broker.py)
    none of these       the tests are skipped, and say so

Tests that disturb the broker need the one from Maven Central; with the others they are skipped.
"""

import os
from dataclasses import dataclass
from typing import Literal

from tests.kafka import artifacts, container
from tests.kafka.artifacts import Unavailable


@dataclass(frozen=True, kw_only=True)
class Source:
    """
    What was found.

    Args:
        kind: `address`: a cluster that runs, at *address*. `image`, `java`: what a broker can be started from. None: nothing.
        said: one line for people.
    """

    kind: Literal["address", "image", "java"] | None
    said: str
    address: str = ""


def find(*, show: bool = False) -> Source:
    """Find the first source there is, fetching the broker if it must be; *show* tells how far that is."""
    address = os.environ.get("FLIQ_TEST_KAFKA", "").strip()
    if address:
        return Source(kind="address", said=f"the cluster at {address} (FLIQ_TEST_KAFKA)", address=address)
    reason = "there is no Docker engine"
    if container.has_engine():
        try:
            container.pull(show=show)
        except Unavailable as error:
            reason = str(error)
        else:
            return Source(kind="image", said=f"a broker of their own, {container.image()} in a container")
    try:
        artifacts.java()
        artifacts.classpath(show=show)
    except Unavailable as error:
        return Source(kind=None, said=f"skipped: FLIQ_TEST_KAFKA is unset, {reason}, and {error}")
    version = artifacts.kafka_version()
    return Source(kind="java", said=f"a broker of their own, Apache Kafka {version} from Maven Central")
