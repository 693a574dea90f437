"""
Cluster: the four services as processes of their own, on a Kafka broker and a PostgreSQL started for it, beside `fliq all`.

Both run all the time and take turns being measured, so that their ratio holds on a busy machine; the one not measured idles.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from libs.runtime.embedded_postgres.server import EmbeddedPostgres
from tests.bench import sections
from tests.bench.child import Child
from tests.bench.figures import median, medians
from tests.bench.harness import Harness, now_ms, say
from tests.bench.usage import Meter, used_by
from tests.fakes.running.processes import ROLES, RunningFliq
from tests.kafka.artifacts import Unavailable
from tests.kafka.broker import Brokers
from tests.kafka.container import Container
from tests.kafka.source import find

PARTITIONS = 64  # what a cluster has by default
BATCH = 10  # jobs in one request: small, so that they spread over the partitions as single ones do
RATE = 200


class NoKafka(Exception):
    """There is no broker to measure on; the message says why."""


class ClusterHarness(Harness):
    """One process of each role with default settings; fsync is on in PostgreSQL, Kafka writes when the system does, as it does."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="fliq-bench-"))
        self.directory.chmod(0o711)
        self.postgres = EmbeddedPostgres(self.directory / "d", say=lambda _: None)
        self.brokers: Brokers | Container | None = None
        self.sink = Child("sink")
        self.load = Child("load")
        self.target = ""

    def __enter__(self) -> Self:
        try:
            bootstrap = self._kafka()
            self.fliq = RunningFliq(
                topology="kafka",
                database_url=self.postgres.start(),
                bootstrap=bootstrap,
                FLIQ_PARTITIONS=str(PARTITIONS),
            )
            return super().__enter__()
        except BaseException:
            self._end()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._end()

    def meter(self) -> ClusterMeter:
        """Start counting CPU time."""
        groups = {process.role: process.pid for process in self.fliq.processes}
        if isinstance(self.brokers, Brokers):
            groups["kafka"] = next(broker.process.pid for broker in self.brokers.brokers if broker.process is not None)
        pid_file = next(self.directory.rglob("postmaster.pid"))
        groups["postgres"] = int(pid_file.read_text().split()[0])
        return ClusterMeter(groups | {"load": self.load.pid, "sink": self.sink.pid})

    def _kafka(self) -> str:
        """Start a broker, or use the one that runs; return its address."""
        source = find(show=True)
        if source.kind is None:
            raise NoKafka(source.said)
        if source.kind == "address":
            return source.address
        place = self.directory / "kafka"
        place.mkdir()
        self.brokers = Container(place) if source.kind == "image" else Brokers(place)
        try:
            self.brokers.start()
        except Unavailable as error:
            raise NoKafka(str(error)) from error
        return self.brokers.bootstrap

    def _end(self) -> None:
        if self.brokers is not None:
            self.brokers.stop()
        self.postgres.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


class ClusterMeter(Meter):
    """CPU seconds of each group, a process and all below it; `fliq` is the sum of the services."""

    def __init__(self, groups: Mapping[str, int]) -> None:
        self._groups = groups
        super().__init__(0)

    def look(self) -> dict[str, float]:
        used = {name: used_by(pid) for name, pid in self._groups.items()}
        return used | {"fliq": sum(used[role] for role in ROLES)}


def measure(size: sections.Size, wanted: tuple[str, ...]) -> Iterator[tuple[str, Iterator[str]]]:
    """
    Yield title and lines of each section of *wanted*.

    Raises:
        NoKafka: there is no broker.
    """
    say("starting Fliq on Kafka, and Fliq by itself beside it")
    with ClusterHarness() as cluster, Harness() as embedded:
        where = f"a process for each service, {PARTITIONS} partitions in Kafka; beside it `fliq all`"
        yield "Fliq", iter([where])
        if "idle" in wanted:
            yield "idle", idle(cluster)
        if "lateness" in wanted:
            yield (
                f"lateness at {RATE}/s: {(sections.lateness.__doc__ or '').strip()}",
                lateness(size, kafka=cluster, embedded=embedded),
            )
        if "creates" in wanted:
            yield f"creates: {(sections.creates.__doc__ or '').strip()}", sections.creates(cluster, size)
        if "herd" in wanted:
            yield f"herd: {(sections.herd.__doc__ or '').strip()}", sections.herd(cluster, size)
        if "lives" in wanted:
            yield (
                "lives: CPU seconds per 1,000 whole lives, on Kafka and by itself",
                lives(size, kafka=cluster, embedded=embedded),
            )


def idle(harness: ClusterHarness) -> Iterator[str]:
    """CPU of each process while nothing is asked of it."""
    say("idle for 10 s")
    time.sleep(3)
    meter = harness.meter()
    time.sleep(10)
    took = {name: used / 10 for name, used in meter.used_s().items() if name not in ("load", "sink", "fliq")}
    yield "CPU of one core: " + "  ".join(f"{name} {share:.1%}" for name, share in took.items())


def lateness(size: sections.Size, **rigs: Harness) -> Iterator[str]:
    """The rigs take turns; each line is the median over the rounds."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in rigs}
    shares: dict[str, str] = {}
    for each in range(size.rounds):
        for name, harness in rigs.items():
            say(f"lateness at {RATE}/s, {name}, round {each + 1} of {size.rounds}")
            found, shares[name] = _lateness(harness, size.rate_s)
            runs[name].append(found)
    for name in rigs:
        typical = medians(runs[name])
        yield (
            f"{name:9} p50 {typical['p50']:6.2f} ms   p99 {typical['p99']:6.2f} ms   max {typical['max']:6.1f} ms   "
            f"early {typical['early']:.0f}   CPU of one core: {shares[name]}"
        )
    for part in ("p50", "p99"):
        ratio = median(one[part] / other[part] for one, other in zip(*runs.values(), strict=True))
        yield f"{' / '.join(rigs)}, {part}   {ratio:.2f}"


def _lateness(harness: Harness, seconds: int) -> tuple[dict[str, float], str]:
    harness.sink.ask("clear")
    count = RATE * seconds
    from_ms = now_ms() + 5_000 + 3 * count
    harness.fill(connections=4, batch=BATCH, count=count, from_ms=from_ms, over_ms=seconds * 1000)
    harness.wait_folded()
    time.sleep(max(0.0, (from_ms - now_ms()) / 1000))
    meter = harness.meter()
    time.sleep(seconds)
    shares = meter.shares()
    harness.wait_arrivals(count, timeout_s=15)
    found = sections.complete(harness, count)
    harness.wait_finished(timeout_s=30)
    return found, shares


def lives(size: sections.Size, **rigs: Harness) -> Iterator[str]:
    """Created one by one, called, finished."""
    for name, harness in rigs.items():
        (line,) = sections.lives(harness, size)
        yield f"{name:9} {line}"


NAMES = ("idle", "lateness", "creates", "herd", "lives")
__all__ = ["NAMES", "NoKafka", "measure"]
