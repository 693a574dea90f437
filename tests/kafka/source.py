"""
Where the Kafka of the tests comes from, in this order:

    FLIQ_TEST_KAFKA     a cluster that runs, as a comma list of host:port
    Java 17+ and Maven  the broker from Maven Central (artifacts.py, broker.py)
    neither             the tests are skipped, and say so
"""

import os
from dataclasses import dataclass

from tests.kafka import artifacts
from tests.kafka.artifacts import Unavailable


@dataclass(frozen=True, kw_only=True)
class Source:
    """
    What was found.

    Args:
        said: one line for people.
        running: the address of a cluster that runs, if that is what was found.
        startable: a broker can be started.
    """

    said: str
    running: str | None = None
    startable: bool = False


def find(*, show: bool = False) -> Source:
    """Find the first source there is, fetching the broker if it must be; *show* tells how far that is."""
    running = os.environ.get("FLIQ_TEST_KAFKA", "").strip()
    if running:
        return Source(said=f"the cluster at {running} (FLIQ_TEST_KAFKA)", running=running)
    try:
        artifacts.java()
        classpath = artifacts.classpath(show=show)
    except Unavailable as error:
        return Source(said=f"skipped, since FLIQ_TEST_KAFKA is unset and {error}")
    version = next((part for part in classpath.split("kafka_2.13-")[1:]), "").split(".jar")[0]
    return Source(said=f"a broker of their own, Apache Kafka {version} from Maven Central", startable=True)
