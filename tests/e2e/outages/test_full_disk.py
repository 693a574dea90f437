"""A full disk: creates are refused, `/readyz` says why at once, nothing that was accepted is lost, and room mends it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError

import pytest

from tests.fakes.running.client import Client, in_seconds
from tests.fakes.running.processes import RunningFliq
from tests.fakes.running.sink import Sink
from tests.fakes.until import until_blocking

SIZE = "220m"  # a new cluster of the embedded PostgreSQL takes 41 MB of it
BODY = "x" * 20_000
CREATES_MAX = 400
NOT_READY_S = 5.0

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("mount"), reason="a disk of one's own takes root and mount"
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0711", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path) -> Path:
    """Write zeros until the disk takes no more; returns the file."""
    path = disk / "fill"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1_000_000))
        except OSError:
            return path


def readiness(fliq: RunningFliq) -> tuple[int, str]:
    """Return the status and the text of `/readyz`."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{fliq.processes[0].admin_port}/readyz", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


async def test_case_22_a_full_disk_is_said_within_five_seconds(disk: Path, sink: Sink) -> None:
    """
    While callers go on, `/readyz` is 503 within 5 s of the first refused create, and its `log` check names the reason.

    Once there is room again, Fliq becomes ready by itself, takes jobs, and calls those that it had accepted.
    """
    for parent in disk.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o111)  # root gives the embedded PostgreSQL to another user
    with RunningFliq(database_url=None, FLIQ_DATA_DIR=str(disk / "data")) as fliq:
        async with Client(fliq.url) as client:
            accepted = [await client.create(f"{sink.url}/ok/early", 8.0)]
            filled = fill(disk)
            refused_at = 0.0
            for _ in range(CREATES_MAX):  # its callers go on
                job = {"url": f"{sink.url}/ok/full", "scheduled_at": in_seconds(8), "body": BODY}
                status, made, _ = await client.call("POST", "/v1/jobs", job)
                if status == 201:
                    accepted.append(made)
                    continue
                assert status == 503
                refused_at = refused_at or time.monotonic()
                if "No space left on device" in readiness(fliq)[1]:
                    break
            assert refused_at, "the disk never was full"
            assert time.monotonic() - refused_at < NOT_READY_S
            assert "No space left on device" in readiness(fliq)[1]

            filled.unlink()
            until_blocking(lambda: readiness(fliq)[0] == 200, within_s=60, saying=fliq.output)
            accepted.append(await client.create(f"{sink.url}/ok/late", 1.0))
            await sink.wait_for(lambda: {job["id"] for job in accepted} <= sink.by_job().keys(), timeout_s=40)
