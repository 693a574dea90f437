"""
Brokers: Apache Kafka in KRaft mode on loopback, one or three, each a Java process of its own.

Listeners of a broker:

    MAIN        what clients use
    THROUGH     the same, but advertised at another port, where a test can put a proxy that disturbs
    SECURE      TLS and SCRAM, user `fliq`; only when certificates are given
    CONTROLLER  the brokers among themselves

Data lies in a directory per broker; a second start on it finds it. Nothing here outlives the process that called `start`, however
that ends, unless it asked for `detached`.
"""

import base64
import itertools
import os
import signal
import socket
import subprocess
import sys
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.fakes.until import until_blocking
from tests.kafka import artifacts
from tests.kafka.artifacts import Unavailable
from tests.kafka.guard import DONE

PORTS = range(14_000, 20_000)
START_S = 60.0
STOP_S = 15.0
HEAP = "-Xmx512m"
FLAGS = ("-Xms64m", HEAP, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Djava.awt.headless=true")
LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)
STARTED = "Kafka Server started"
USER, PASSWORD = "fliq", "a-password-for-tests"
GUARD = Path(__file__).with_name("guard.py")


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """PEM files: what the broker shows (with its key), and the authority that clients check it against."""

    chain: Path
    authority: Path


@dataclass(kw_only=True)
class Broker:
    """One broker: where its data lies and at which ports it listens."""

    node: int
    directory: Path
    main: int
    through: int
    proxied: int
    secure: int
    controller: int
    process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def pid_file(self) -> Path:
        return self.directory / "pid"

    @property
    def log_file(self) -> Path:
        return self.directory / "broker.log"


def free_ports(count: int) -> list[int]:
    """
    Return ports of loopback that nobody listens on at the moment.

    They lie below those that the system gives to outgoing connections. Otherwise a client that tries to reach a broker that was
    killed may be given the broker's own port, and the broker cannot come back. They also lie below the ports that
    tests/fakes/running/processes.py gives out: nobody listens on a broker's port for some time, nor on that of a proxy before it.
    """
    first = PORTS.start + os.getpid() * 40 % len(PORTS)
    found: list[int] = []
    with ExitStack() as stack:
        for port in itertools.chain(range(first, PORTS.stop), range(PORTS.start, first)):
            each = stack.enter_context(socket.socket())
            try:
                each.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
            if len(found) == count:
                return found
    raise Unavailable("there are no free ports on loopback")


class Brokers:
    """
    A cluster.

    Args:
        directory: holds a directory per broker.
        count: how many brokers, 1 or 3.
        main_ports: where they listen; free ports by default.
        certificates: for the listener SECURE; none is no such listener.
        detached: outlive this process; `stop_detached` ends them.
        show: tell what takes long.
    """

    def __init__(
        self,
        directory: Path,
        *,
        count: int = 1,
        main_ports: list[int] | None = None,
        certificates: Certificates | None = None,
        detached: bool = False,
        show: bool = False,
    ) -> None:
        self.directory = directory
        self.certificates = certificates
        self._detached = detached
        self._show = show
        ports = free_ports(5 * count)
        self.brokers = [
            Broker(
                node=index + 1,
                directory=directory / f"broker-{index + 1}",
                main=main_ports[index] if main_ports else ports[5 * index],
                through=ports[5 * index + 1],
                proxied=ports[5 * index + 2],
                secure=ports[5 * index + 3],
                controller=ports[5 * index + 4],
            )
            for index in range(count)
        ]

    @property
    def bootstrap(self) -> str:
        return ",".join(f"127.0.0.1:{broker.main}" for broker in self.brokers)

    @property
    def secure_bootstrap(self) -> str:
        return ",".join(f"127.0.0.1:{broker.secure}" for broker in self.brokers)

    def start(self) -> None:
        """
        Start all brokers, and return when they serve.

        Raises:
            Unavailable: no Java, no Maven, or a broker that does not come up.
        """
        java, classpath = artifacts.java(), artifacts.classpath(show=self._show)
        try:
            for broker in self.brokers:
                self._format(broker, java, classpath)
            for broker in self.brokers:
                self.start_one(broker)
            for broker in self.brokers:
                self.wait_one(broker)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all brokers; stopping twice is fine."""
        for broker in self.brokers:
            if broker.process is not None and broker.process.poll() is None:
                self._ask_to_end(broker)
        for broker in self.brokers:
            if broker.process is not None:
                try:
                    broker.process.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    broker.process.kill()
                    broker.process.wait()
                if broker.process.stdin is not None:
                    broker.process.stdin.close()
                broker.process = None

    def start_one(self, broker: Broker) -> None:
        """Start the Java process; `wait_one` tells when it serves."""
        run = [artifacts.java(), *FLAGS, *LOGGING, "-cp", artifacts.classpath(show=False), "kafka.Kafka"]
        run.append(str(broker.directory / "server.properties"))
        with broker.log_file.open("wb") as log:
            if self._detached:
                broker.process = subprocess.Popen(
                    run, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
                broker.pid_file.write_text(f"{broker.process.pid}\n")
            else:
                guarded = [sys.executable, "-S", "-E", str(GUARD), *run]
                broker.process = subprocess.Popen(guarded, stdin=subprocess.PIPE, stdout=log, stderr=log)

    def order(self, broker: Broker, order: Literal["kill", "stop", "go on"]) -> None:
        """Have the guard kill the broker, stop it where it is, or let it go on; returns when that is done."""
        process = broker.process
        if process is None or process.stdin is None:
            raise RuntimeError("this broker has no guard")
        done = broker.log_file.read_text(errors="replace").count(DONE)
        process.stdin.write({"kill": b"K", "stop": b"S", "go on": b"C"}[order])
        process.stdin.flush()
        until_blocking(lambda: broker.log_file.read_text(errors="replace").count(DONE) > done, within_s=STOP_S)
        if order == "kill":
            process.wait(STOP_S)
            process.stdin.close()

    def wait_one(self, broker: Broker) -> None:
        """Return when the broker serves; raises `Unavailable` when it does not."""

        def has_started() -> bool:
            said = broker.log_file.read_text(errors="replace")
            if STARTED not in said and (broker.process is None or broker.process.poll() is not None):
                raise Unavailable(f"the Kafka broker ended: {_last_line(said)}")
            return STARTED in said

        try:
            until_blocking(has_started, within_s=START_S)
        except AssertionError:
            raise Unavailable(f"the Kafka broker did not start within {START_S:g} s: see {broker.log_file}") from None

    def _ask_to_end(self, broker: Broker) -> None:
        process = broker.process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()  # the guard ends the broker
        else:
            process.terminate()

    def _format(self, broker: Broker, java: str, classpath: str) -> None:
        broker.directory.mkdir(parents=True, exist_ok=True)
        properties = broker.directory / "server.properties"
        properties.write_text("".join(f"{name}={value}\n" for name, value in self._properties(broker).items()))
        if (broker.directory / "data" / "meta.properties").exists():
            return
        tool = [java, *FLAGS, *LOGGING, "-cp", classpath, "kafka.tools.StorageTool", "format"]
        # The same for all brokers of the directory; an address of this file's own making is as good as a random one.
        # It must not begin with a minus, which the tool would take for an option: the first byte is 0, so an A.
        number = b"\0" + uuid.uuid5(uuid.NAMESPACE_URL, str(self.directory)).bytes[1:]
        cluster = base64.urlsafe_b64encode(number).decode().rstrip("=")
        scram = f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"
        run = subprocess.run(
            [*tool, "-t", cluster, "-c", str(properties), "--add-scram", scram],
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
        )
        if run.returncode != 0:
            raise Unavailable(f"Kafka's storage could not be made: {_last_line(run.stderr or run.stdout)}")

    def _properties(self, broker: Broker) -> dict[str, str]:
        replicas = str(min(3, len(self.brokers)))
        voters = ",".join(f"{each.node}@127.0.0.1:{each.controller}" for each in self.brokers)
        listeners = {"MAIN": broker.main, "THROUGH": broker.through}
        advertised = {"MAIN": broker.main, "THROUGH": broker.proxied}
        protocols = {"MAIN": "PLAINTEXT", "THROUGH": "PLAINTEXT", "CONTROLLER": "PLAINTEXT"}
        properties = {
            "process.roles": "broker,controller",
            "node.id": str(broker.node),
            "controller.quorum.voters": voters,
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "MAIN",
            "log.dirs": str(broker.directory / "data"),
            "offsets.topic.replication.factor": replicas,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": "1",
            "auto.create.topics.enable": "false",
            "broker.session.timeout.ms": "3000",  # a broker that was killed may come back after this
            "broker.heartbeat.interval.ms": "500",
            "group.initial.rebalance.delay.ms": "0",
            "num.network.threads": "2",
            "num.io.threads": "4",
            "log.cleaner.dedupe.buffer.size": "4194304",
        }
        if self.certificates is not None:
            listeners["SECURE"] = advertised["SECURE"] = broker.secure
            protocols["SECURE"] = "SASL_SSL"
            prefix = "listener.name.secure."
            properties |= {
                "sasl.enabled.mechanisms": "SCRAM-SHA-512",
                f"{prefix}scram-sha-512.sasl.jaas.config": (
                    "org.apache.kafka.common.security.scram.ScramLoginModule required;"
                ),
                f"{prefix}ssl.keystore.type": "PEM",
                f"{prefix}ssl.keystore.location": str(self.certificates.chain),
            }

        def text(ports: dict[str, int]) -> str:
            return ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())

        return properties | {
            "listeners": text({**listeners, "CONTROLLER": broker.controller}),
            "advertised.listeners": text(advertised),
            "listener.security.protocol.map": ",".join(f"{name}:{value}" for name, value in protocols.items()),
        }


def stop_detached(directory: Path) -> list[int]:
    """End the brokers that run detached on *directory*, by the pids they left there; returns these pids."""
    running = []
    for pid_file in sorted(directory.glob("*/broker-*/pid")):
        pid = int(pid_file.read_text())
        if runs(pid, pid_file.parent):
            os.kill(pid, signal.SIGTERM)
            running.append(pid)
        pid_file.unlink()
    for pid in running:
        try:
            until_blocking(lambda pid=pid: not _is_alive(pid), within_s=STOP_S)  # type: ignore[misc]
        except AssertionError:
            os.kill(pid, signal.SIGKILL)
    return running


def runs(pid: int, directory: Path) -> bool:
    """Say whether *pid* is a broker on *directory*, and not a process that got its number since."""
    shown = subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, timeout=10, check=False
    )
    return str(directory / "server.properties") in shown.stdout


def _is_alive(pid: int) -> bool:
    shown = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, timeout=10, check=False
    )
    return bool(shown.stdout.strip()) and not shown.stdout.strip().startswith("Z")


def _last_line(text: str) -> str:
    lines = [each.strip() for each in text.strip().splitlines() if each.strip() and not each.startswith("\tat ")]
    wanted = [each for each in lines if "Exception" in each or "ERROR" in each]
    return ((wanted or lines or ["it said nothing"])[-1])[:300]
