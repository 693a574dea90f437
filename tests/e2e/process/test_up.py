"""`make up`: every service as a process of its own, kept running, and ended together."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.runtime.embedded_postgres.postmaster import Postmaster
from libs.runtime.lockfile import LockFile
from libs.runtime.settings.settings import Settings, SettingsError
from services.dev.up.plan import children
from services.dev.up.run import find_log
from services.process.log_place import LogPlace
from services.start_error import StartError
from tests.e2e.process.starting import Started, environment, run
from tests.fakes.running.client import Client
from tests.fakes.running.kafka import Kafka
from tests.fakes.running.processes import free_port
from tests.fakes.running.sink import Sink

UP = [sys.executable, "-m", "services.dev.up"]
ROLES = ("api", "scheduler", "dispatcher", "webhooks")
DRAINED_S = 35.0


class Up(Started):
    """A running `make up`."""

    def __init__(self, settings: dict[str, str], *options: str) -> None:
        super().__init__(settings, [*UP, *options])

    def pid_of(self, name: str) -> int:
        return int(self.wait_for(rf"^fliq: {name} +is ready: process (\d+)")[-1])


@pytest.fixture
def settings() -> Iterator[dict[str, str]]:
    """A clean environment, and a directory in which nothing is left running."""
    directory = Path(tempfile.mkdtemp(prefix="fliq-up-"))
    directory.chmod(0o711)
    yield environment(
        FLIQ_DATA_DIR=str(directory / "data"),
        FLIQ_EGRESS_ALLOW="127.0.0.0/8",
        FLIQ_ADMIN_PORT=str(free_port(6)),
    )
    for path in directory.glob("data/up/*/node-0.lock"):
        lock = LockFile(path)
        if not lock.try_acquire():  # a test that failed left it
            os.kill(int(lock.holder()), signal.SIGKILL)
        lock.release()
    left = Postmaster.find(directory / "data" / "postgres")
    if left is not None:
        left.send(signal.SIGINT)
        left.wait(20)
        left.close()
    shutil.rmtree(directory, ignore_errors=True)


async def a_job_runs(up: Up, token: str, sink: Sink) -> str:
    """Have one job made and called; returns its id."""
    async with Client(up.url, token) as client:
        job = await client.create(f"{sink.url}/ok", 0.3, webhook_url=f"{sink.url}/hook")
        await client.wait_status(job["id"], "success")
        await sink.wait_for(lambda: sink.at("/hook"))
        return str(job["id"])


async def test_all_services_come_up_and_are_kept_up(settings: dict[str, str], sink: Sink) -> None:
    """
    A line each, a token, an example; what is killed comes back; what a killed `make up` leaves behind the next one ends.

    The second life has the jobs of the first, makes no token any more, and ends on Ctrl-C with 0.
    """
    with Up(settings, "--schedulers", "2") as up:
        up.wait_for(r"^ +sleep 3; curl .*")
        (token,) = set(up.wait_for(r"fliq_sk_\w+"))
        said = up.output()
        names = re.findall(r"^fliq: (\S+) +is ready", said, re.MULTILINE)
        assert sorted(names) == ["api-1", "dispatcher-1", "scheduler-1", "scheduler-2", "webhooks-1"]
        assert "the log is in PostgreSQL; the tables are in the database fliq of the embedded PostgreSQL" in said
        first = await a_job_runs(up, token, sink)

        os.kill(up.pid_of("scheduler-1"), signal.SIGKILL)
        up.wait_for(r"^fliq: scheduler-1 was ended by SIGKILL; it is started again in 1 s$")
        up.wait_for(r"^fliq: scheduler-1 +is ready", count=2)
        up.kill()

    with Up(settings) as up:
        left = up.wait_for(r"^fliq: ending (\S+) \(process \d+\), which an earlier make up left behind$", count=5)
        assert len(left) == 5
        up.wait_for("Fliq is ready")
        assert "fliq_sk_" not in up.output()
        async with Client(up.url, token) as client:
            assert (await client.job(first))["status"] == "success"
        assert up.end(signal.SIGINT, timeout_s=DRAINED_S) == 0, up.output()
        assert up.output().splitlines()[-1] == "fliq: stopped"
    logs = {path.name for path in (Path(settings["FLIQ_DATA_DIR"]) / "up").glob("*.log")}
    assert logs >= {f"{role}-1.log" for role in ROLES}


async def test_it_comes_up_on_kafka(settings: dict[str, str], kafka: Kafka, kafka_topic: str, sink: Sink) -> None:
    """With brokers the log is there, and its tables have a database of their own."""
    chosen = {"FLIQ_KAFKA_BOOTSTRAP": kafka.bootstrap, "FLIQ_KAFKA_TOPIC": kafka_topic, "FLIQ_PARTITIONS": "4"}
    with Up(settings | chosen) as up:
        up.wait_for("Fliq is ready")
        (token,) = set(up.wait_for(r"fliq_sk_\w+"))
        assert re.search(
            rf"the log is in Kafka at {kafka.bootstrap}, topic {kafka_topic}; .* fliq_kafka_\w{{8}} ", up.output()
        )
        await a_job_runs(up, token, sink)
        assert up.end(signal.SIGTERM, timeout_s=DRAINED_S) == 0, up.output()


def test_a_service_that_does_not_start_stops_everything(settings: dict[str, str]) -> None:
    """One line says which, its log's last lines why, and nothing is left running."""
    ended = run(UP, settings | {"FLIQ_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none"})

    assert ended.returncode == 1
    assert re.search(
        r"^fliq: \S+ ended with status 1 before it was ready; everything stops", ended.stdout, re.MULTILINE
    )
    assert "FLIQ_DATABASE_URL: " in ended.stdout


def test_a_port_that_is_taken_is_named(settings: dict[str, str]) -> None:
    """Nothing is started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(settings["FLIQ_ADMIN_PORT"]) + 1))
        taken.listen()
        ended = run(UP, settings)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert re.fullmatch(r"fliq: FLIQ_ADMIN_PORT: scheduler-1 would listen on port \d+: [A-Z][a-z ]+\n", ended.stderr)


def test_brokers_of_kafka_up_are_found(tmp_path: Path) -> None:
    """While they answer they are the log; when they do not it is said; without them the log is in PostgreSQL."""
    settings = Settings.from_env({"FLIQ_DATA_DIR": str(tmp_path)})
    assert find_log(settings).database == "fliq"
    (tmp_path / "kafka").mkdir()
    with socket.socket() as broker:
        broker.bind(("127.0.0.1", 0))
        broker.listen()
        address = f"127.0.0.1:{broker.getsockname()[1]}"
        (tmp_path / "kafka" / "address").write_text(f"{address}\n")
        place = find_log(settings)
        assert (place.bootstrap, place.is_ours) == (address, True)
        assert "started by make kafka-up" in place.said()
    (tmp_path / "kafka" / "address").write_text(f"127.0.0.1:{free_port()}\n")
    with pytest.raises(StartError, match="make kafka-down forgets it"):
        find_log(settings)


def test_each_log_has_a_database_of_its_own() -> None:
    """Whatever the order in which its brokers are named."""
    places = [LogPlace(bootstrap=at, topic=topic) for at in ("a:1,b:2", "b:2, a:1", "a:1") for topic in ("x", "y")]

    assert len({place.database for place in places}) == 4
    assert places[0].database == places[2].database


def test_ports_are_counted_up() -> None:
    """From FLIQ_PORT for the API and from FLIQ_ADMIN_PORT for everybody; where they meet it is said."""
    settings = Settings.from_env({"FLIQ_PORT": "8000", "FLIQ_ADMIN_PORT": "9000", "FLIQ_NODE": "here"})
    planned = children(settings, {"api": 2, "scheduler": 1}, {"X": "1"})
    assert [(child.name, child.ports) for child in planned] == [
        ("api-1", (8000, 9000)),
        ("api-2", (8001, 9001)),
        ("scheduler-1", (9002,)),
    ]
    assert planned[1].settings["FLIQ_NODE"] == "here-api-2"
    assert planned[1].settings["X"] == "1"
    with pytest.raises(SettingsError, match="they meet at 9000"):
        children(Settings.from_env({"FLIQ_PORT": "8999", "FLIQ_ADMIN_PORT": "9000"}), {"api": 2}, {})


def test_no_process_is_no_plan() -> None:
    """None at all is a typing error, as a thousand are."""
    settings = Settings.from_env({})
    for count in (0, 1_000):
        with pytest.raises(SettingsError, match=f"1 to 100 processes, not {count}"):
            children(settings, {"api": count}, {})
