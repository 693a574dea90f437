"""A broker in a container, where there is a Docker engine: the image of the Apache Kafka project, in KRaft mode on loopback."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.kafka.artifacts import Unavailable, kafka_version
from tests.kafka.broker import GUARD, START_S, STARTED, STOP_S, free_ports

PULL_S = 600.0
ASK_S = 10.0


def image() -> str:
    return f"apache/kafka:{kafka_version()}"


def has_engine() -> bool:
    """Say whether a Docker engine answers."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    try:
        asked = subprocess.run([docker, "info"], capture_output=True, timeout=ASK_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


def pull(*, show: bool) -> None:
    """Fetch the image unless it is there; *show* lets Docker tell how far it is. Raises `Unavailable`."""
    there = subprocess.run(["docker", "image", "inspect", image()], capture_output=True, timeout=ASK_S, check=False)
    if there.returncode == 0:
        return
    try:
        pulled = subprocess.run(
            ["docker", "pull", image()], stdout=None if show else subprocess.DEVNULL, timeout=PULL_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"Docker did not fetch {image()} within {PULL_S:g} s") from error
    if pulled.returncode != 0:
        raise Unavailable(f"Docker could not fetch {image()}")


class Container:
    """One broker in a container that ends with this process, however that ends."""

    def __init__(self, directory: Path) -> None:
        """Keep the broker's output in *directory*."""
        self._log = directory / "broker.log"
        (self._port,) = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Return when the broker serves; raises `Unavailable` when it does not."""
        settings = {
            "KAFKA_NODE_ID": "1",
            "KAFKA_PROCESS_ROLES": "broker,controller",
            "KAFKA_LISTENERS": f"PLAINTEXT://0.0.0.0:{self._port},CONTROLLER://localhost:9093",
            "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{self._port}",
            "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
            "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
            "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
            "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
            "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        }
        run = ["docker", "run", "--rm", "--publish", f"127.0.0.1:{self._port}:{self._port}"]
        for name, value in settings.items():
            run += ["--env", f"{name}={value}"]
        with self._log.open("wb") as log:
            # Attached: Docker passes the guard's signal on to the broker, and removes the container behind it.
            guarded = [sys.executable, "-S", "-E", str(GUARD), *run, image()]
            self._process = subprocess.Popen(guarded, stdin=subprocess.PIPE, stdout=log, stderr=log)
        ends_at = time.monotonic() + START_S
        while time.monotonic() < ends_at:
            if STARTED in self._log.read_text(errors="replace"):
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        self.stop()
        raise Unavailable(f"the broker in {image()} did not start within {START_S:g} s")

    def stop(self) -> None:
        """End the broker; stopping twice is fine."""
        process, self._process = self._process, None
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
