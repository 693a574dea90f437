"""What a command has to say, when nobody takes it: no traceback, and an exit code that does not say that all is well."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from pathlib import Path

import pytest

from libs.log.postgres import PostgresLog
from libs.store.schema.migrate import migrate
from tests.e2e.process.starting import FLIQ, environment, run
from tests.fakes.running.postgres import Databases
from tests.fakes.running.topologies import ROOT

CLOSED = 141


async def made(dsn: str) -> None:
    log = PostgresLog(dsn, partitions=1)
    await log.start()
    await log.stop()
    await migrate(dsn, 1)


@pytest.fixture
def settings(pg_dsn_of: Databases, tmp_path: Path) -> dict[str, str]:
    """Settings of an installation that is there and does not run."""
    dsn = pg_dsn_of.create()
    asyncio.run(made(dsn))
    return environment(FLIQ_DATABASE_URL=dsn, FLIQ_DATA_DIR=str(tmp_path))


def test_nobody_reads(settings: dict[str, str]) -> None:
    """A closed pipe ends a command as it ends any other program, and nothing more is said."""
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [*FLIQ, "partitions"], cwd=ROOT, env=settings, stdout=writing, stderr=subprocess.PIPE, timeout=60
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (CLOSED, b"")


def test_no_room(settings: dict[str, str]) -> None:
    """A full disk is told in one line, exit code 1."""
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [*FLIQ, "migrate", "--check", "--json"],
            cwd=ROOT,
            env=settings,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    assert ended.returncode == 1
    assert ended.stderr == b"fliq: the answer cannot be written: No space left on device\n"


def test_no_standard_files(settings: dict[str, str]) -> None:
    """Started without any standard file a command does what it does, and says it to nobody."""
    shell = 'exec "$@" <&- >&- 2>&-'
    ended = subprocess.run(["sh", "-c", shell, "sh", *FLIQ, "migrate", "--check"], cwd=ROOT, env=settings, timeout=60)
    assert ended.returncode == 0


def test_kafka_is_away(tmp_path: Path) -> None:
    """One line, exit code 1; nothing of the password, and nothing of the driver's own lines."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can take the port
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        ended = run(
            [*FLIQ, "log", "tail", "--once"],
            environment(
                FLIQ_DATA_DIR=str(tmp_path),
                FLIQ_KAFKA_BOOTSTRAP=address,
                FLIQ_KAFKA_USERNAME="fliq",
                FLIQ_KAFKA_PASSWORD="swordfish",
            ),
        )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"fliq: FLIQ_KAFKA_BOOTSTRAP: Kafka cannot be reached: {address}: ")
    assert "refused" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert "swordfish" not in ended.stderr
