"""
A broker in a container, where there is a Docker engine: the image of the Apache Kafka project, in KRaft mode on loopback.

By testcontainers, which also sees to it that nothing outlives this process. It is imported here only, and only once an engine was
found: it takes most of a second.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.fakes.until import until_blocking
from tests.kafka.artifacts import Unavailable, kafka_version
from tests.kafka.broker import START_S, STARTED, free_ports

ASK_S = 5.0


def image() -> str:
    return f"apache/kafka:{kafka_version()}"


def has_engine() -> bool:
    """Say whether a Docker engine answers; where it listens is in DOCKER_HOST, or one of the usual sockets."""
    address = os.environ.get("DOCKER_HOST") or _usual_socket()
    if address is None or not _listens(address):
        return False
    os.environ.setdefault("DOCKER_HOST", address)
    try:
        return bool(_engine().ping())
    except Exception:
        return False


def pull(*, show: bool) -> None:
    """Fetch the image unless it is there; *show* tells how far that is. Raises `Unavailable`."""
    from docker.errors import DockerException, ImageNotFound

    engine = _engine()
    try:
        engine.images.get(image())
    except ImageNotFound:
        try:
            name, _, tag = image().partition(":")
            layers: set[str] = set()
            for step in engine.api.pull(name, tag=tag, stream=True, decode=True):
                if show and step.get("status") == "Pull complete" and step.get("id") not in layers:
                    layers.add(step["id"])
                    print(f"fliq: fetching {image()}: {len(layers)} layers", flush=True)
        except (DockerException, OSError) as error:
            raise Unavailable(f"Docker could not fetch {image()}: {error}") from error
    except (DockerException, OSError) as error:
        raise Unavailable(f"Docker does not answer: {error}") from error


class Container:
    """One broker in a container that ends with this process, however that ends."""

    def __init__(self, directory: Path) -> None:
        """Keep the broker's output in *directory* when it does not start."""
        self._log = directory / "broker.log"
        (self._port,) = free_ports(1)
        self._container: Any = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Return when the broker serves; raises `Unavailable` when it does not."""
        from docker.errors import DockerException
        from testcontainers.core.container import DockerContainer

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
        container = DockerContainer(image()).with_envs(**settings)
        # On loopback only; the engine's own default would be every address of the machine.
        container.ports = {self._port: ("127.0.0.1", self._port)}
        self._container = container
        try:
            container.start()
            until_blocking(lambda: STARTED.encode() in b"".join(container.get_logs()), within_s=START_S, every_s=0.1)
            return
        except AssertionError:
            self._log.write_bytes(b"".join(container.get_logs()))
        except (DockerException, OSError) as error:
            self.stop()
            raise Unavailable(f"the broker in {image()} could not be started: {error}") from error
        self.stop()
        raise Unavailable(f"the broker in {image()} did not start within {START_S:g} s")

    def stop(self) -> None:
        """End the broker; stopping twice is fine."""
        container, self._container = self._container, None
        if container is not None:
            container.stop()


def _engine() -> Any:
    from testcontainers.core.docker_client import DockerClient

    return DockerClient().client


def _usual_socket() -> str | None:
    places = [Path("/var/run/docker.sock"), Path.home() / ".docker" / "run" / "docker.sock"]
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        places.append(Path(runtime) / "docker.sock")
    return next((f"unix://{place}" for place in places if place.is_socket()), None)


def _listens(address: str) -> bool:
    """Say whether somebody listens at *address*: asked first, since Docker's client leaves its connection open when nobody does."""
    parts = urlsplit(address)
    if parts.scheme not in ("unix", "tcp"):
        return True  # by ssh, or a pipe of Windows: the client finds out
    try:
        if parts.scheme == "unix":
            with socket.socket(socket.AF_UNIX) as unix:
                unix.settimeout(ASK_S)
                unix.connect(parts.path)
        else:
            with socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 2375), timeout=ASK_S):
                pass
    except OSError:
        return False
    return True
