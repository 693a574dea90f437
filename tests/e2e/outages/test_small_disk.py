"""A small disk that callers fill without end: creates are refused before PostgreSQL stops, and what was accepted goes on."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.outages.test_full_disk import readiness
from tests.fakes.running.client import Client, in_seconds
from tests.fakes.running.processes import RunningFliq
from tests.fakes.running.sink import Sink

SIZE = "2g"
LEFT = 320_000_000  # bytes that are free when the callers begin: 15 %
BODY = "x" * 200_000
CREATES_MAX = 3_000
AT_ONCE = 8
DUE_S = 40.0

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("mount"), reason="a disk of one's own takes root and mount"
    ),
]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 GB, most of which is taken."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0711", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.timeout(240)
async def test_creates_are_refused_before_postgresql_is(disk: Path, sink: Sink) -> None:
    """
    The first refusal says that the disk is nearly full; none says that an append failed. Fliq stays ready.

    All jobs that were accepted, and that wait meanwhile, are called and end; reads are answered.
    """
    for parent in disk.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o111)  # root gives the embedded PostgreSQL to another user
    with RunningFliq(database_url=None, FLIQ_DATA_DIR=str(disk / "data")) as fliq:
        async with Client(fliq.url) as client:
            accepted = [await client.create(f"{sink.url}/ok/early", DUE_S)]
            with (disk / "fill").open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - LEFT)
            refused: list[dict[str, object]] = []
            left = CREATES_MAX

            async def caller() -> None:
                nonlocal left
                while left > 0 and not refused:
                    left -= 1
                    job = {"url": f"{sink.url}/ok/more", "scheduled_at": in_seconds(DUE_S), "body": BODY}
                    status, made, _ = await client.call("POST", "/v1/jobs", job)
                    if status == 201:
                        accepted.append(made)
                    else:
                        refused.append({"status": status, **made})

            await asyncio.gather(*[caller() for _ in range(AT_ONCE)])
            assert refused, "the disk never was full"
            for each in refused:
                assert each["status"] == 503
                assert "the disk is nearly full" in str(each["error"])
            print(f"{len(accepted)} accepted, {shutil.disk_usage(disk).free:,} bytes are free")
            assert readiness(fliq)[0] == 200
            await sink.wait_for(lambda: {job["id"] for job in accepted} <= sink.by_job().keys(), timeout_s=120)
            for job in (accepted[0], accepted[-1]):
                await client.wait_status(job["id"], "success", timeout_s=60)
            assert readiness(fliq)[0] == 200
