"""
A running Fliq for tests, in every topology, and a client to talk to it.

`topology`     session: embedded, split, kafka (tests/fakes/running/processes.py). A test that uses it, or a fixture that
               rests on it, runs once on each
`fliq_of`      session: makes a Fliq of a topology on a database, and a topic, of its own
`fliq`         session: a running Fliq of the topology
`client`       function: an HTTP client with the token of account `default`
`sink`         function: the targets (tests/fakes/running/sink.py)
`stalls`       function: how long the machine stood still meanwhile (tests/fakes/running/stalls.py)

On `split` and `kafka` a test belongs to the nightly run, unless it is marked `everywhere` (with names: on those). A test that is
marked `topologies` runs on the named ones only. FLIQ_TEST_TOPOLOGY (a comma list, or `all`) picks topologies; what it names is not
left to the night.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from tests.fakes.running.client import OTHER_TOKEN, TOKEN, Client, in_seconds, instant_ms, make_token
from tests.fakes.running.kafka import Kafka, delete_topics
from tests.fakes.running.postgres import Databases
from tests.fakes.running.processes import ROLES, ROOT, FliqProcess, RunningFliq, free_port
from tests.fakes.running.sink import Sink
from tests.fakes.running.stalls import Stalls

__all__ = [
    "OTHER_TOKEN",
    "ROLES",
    "ROOT",
    "TOKEN",
    "TOPOLOGIES",
    "Client",
    "FliqOf",
    "FliqProcess",
    "RunningFliq",
    "free_port",
    "in_seconds",
    "instant_ms",
    "make_token",
]

TOPOLOGIES = ("embedded", "split", "kafka")


def _wanted() -> tuple[str, ...]:
    """Return the topologies that were asked for; none is: all, by day only what `make test` has the time for."""
    asked = [name for name in os.environ.get("FLIQ_TEST_TOPOLOGY", "").replace(" ", "").split(",") if name]
    named = tuple(TOPOLOGIES) if "all" in asked else tuple(asked)
    unknown = set(named) - set(TOPOLOGIES)
    if unknown:
        raise pytest.UsageError(f"FLIQ_TEST_TOPOLOGY: {', '.join(unknown)}; there are {', '.join(TOPOLOGIES)}")
    return named


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "everywhere(*names): by day, too, on every topology, or on these")
    config.addinivalue_line("markers", "on_topology: given to every test that runs once on each topology")
    config.addinivalue_line("markers", "topologies(*names): on these topologies only")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the topologies that a test is not for or nobody asked for, and leave to the night what is not for the day."""
    wanted = _wanted()
    out = []
    for item in items:
        topology = item.callspec.params.get("topology") if hasattr(item, "callspec") else None
        if topology not in TOPOLOGIES:
            continue
        item.add_marker(pytest.mark.on_topology)
        only = item.get_closest_marker("topologies")
        if (wanted and topology not in wanted) or (only is not None and topology not in only.args):
            out.append(item)
        elif not wanted and topology != TOPOLOGIES[0] and not _is_for_the_day(item, topology):
            item.add_marker(pytest.mark.nightly)
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in set(out)]


def _is_for_the_day(item: pytest.Item, topology: str) -> bool:
    everywhere = item.get_closest_marker("everywhere")
    return everywhere is not None and (not everywhere.args or topology in everywhere.args)


@pytest.fixture(scope="session", params=TOPOLOGIES)
def topology(request: pytest.FixtureRequest) -> str:
    """The topology under test."""
    return str(request.param)


class FliqOf:
    """Makes a Fliq of a topology, not started yet, on a database and a topic of its own."""

    def __init__(self, databases: Databases, find_kafka: Callable[[], Kafka]) -> None:
        self.made: list[RunningFliq] = []
        self.kafka: Kafka | None = None
        self._databases = databases
        self._find_kafka = find_kafka

    def __call__(self, topology: str, **settings: Any) -> RunningFliq:
        """Make one; the test is skipped where there is no Kafka and it needs one."""
        if topology == "kafka" and self.kafka is None:
            self.kafka = self._find_kafka()
        bootstrap = self.kafka.bootstrap if topology == "kafka" and self.kafka is not None else None
        running = RunningFliq(topology=topology, database_url=self._databases.create(), bootstrap=bootstrap, **settings)
        self.made.append(running)
        return running

    def drop(self, running: RunningFliq) -> None:
        """Stop it and drop its database; the others are kept to the end of the run, in memory."""
        running.close()
        self.made.remove(running)
        self._databases.drop(running.settings["FLIQ_DATABASE_URL"])

    def alive(self) -> list[RunningFliq]:
        """Return those that run, every process of them."""
        return [each for each in self.made if each.processes and all(p.process.poll() is None for p in each.processes)]


@pytest.fixture(scope="session")
def fliq_of(request: pytest.FixtureRequest, pg_dsn_of: Databases) -> Iterator[FliqOf]:
    """Makes a Fliq of a topology."""
    making = FliqOf(pg_dsn_of, lambda: request.getfixturevalue("kafka"))
    yield making
    if making.kafka is not None and os.environ.get("FLIQ_TEST_KAFKA"):  # what is started for this run is gone by now
        delete_topics(
            making.kafka, [each.settings["FLIQ_KAFKA_TOPIC"] for each in making.made if each.topology == "kafka"]
        )


@pytest.fixture(scope="session")
def fliq(topology: str, fliq_of: FliqOf) -> Iterator[RunningFliq]:
    """A Fliq that runs for the whole session."""
    with fliq_of(topology) as running:
        yield running


@pytest.fixture
async def client(fliq: RunningFliq) -> AsyncIterator[Client]:
    async with Client(fliq.url) as client:
        yield client


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with Sink() as sink:
        yield sink


@pytest.fixture
def stalls() -> Iterator[Stalls]:
    """Watches how long the machine stalls during the test."""
    with Stalls() as watching:
        yield watching
