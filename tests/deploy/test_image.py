"""The image works: built as deploy/Dockerfile says, run as its user on a read-only file system."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services import VERSION
from tests.deploy.image import UID, Image, NoIndex, refusal
from tests.fakes.running.client import TOKEN
from tests.fakes.running.processes import free_port
from tests.fakes.until import until_blocking

# Building is an installation; on a busy machine it takes its time.
pytestmark = pytest.mark.timeout(400)
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 45.0


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """The image, built once."""
    place = tmp_path_factory.mktemp("image")
    for each in (place, *place.parents):  # pytest's own folders are closed to others; the image's user must pass
        if each.stat().st_uid == os.geteuid() and not each.stat().st_mode & 1:
            each.chmod(each.stat().st_mode | 0o111)
    try:
        if why := refusal(place / "try"):
            pytest.skip(why)
        built = Image(place)
        try:
            built.build()
        except NoIndex:
            pytest.skip("the image's packages cannot be had: no package index answers")
        yield built
    finally:
        shutil.rmtree(place)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """An empty directory that belongs to the image's user, as an engine makes it for a VOLUME."""
    folder = tmp_path / "volume"
    folder.mkdir()
    os.chown(folder, UID, UID)
    for each in tmp_path.parents:
        if each.stat().st_uid == os.geteuid():
            each.chmod(each.stat().st_mode | 0o111)
    tmp_path.chmod(0o711)
    return folder


def output_of(image: Image, arguments: list[str], volume: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in the image until it ends."""
    return subprocess.run(
        image.command(arguments, volume=volume), capture_output=True, text=True, timeout=60, check=False
    )


def status_of(request: str | urllib.request.Request) -> int:
    """Return the status of an answer; 0 when nobody answers."""
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


def until_answered(status: int, request: str | urllib.request.Request, process: subprocess.Popen[bytes]) -> None:
    """Ask until the answer has that status, or fail; a machine that is busy may answer 503 for a while."""

    def is_answered() -> bool:
        found = status_of(request)
        assert found in (status, 0, 503), f"the answer is {found}"
        assert found == status or process.poll() is None, process.stdout and process.stdout.read().decode()
        return found == status

    until_blocking(is_answered, within_s=START_TIMEOUT_S, every_s=0.05)


def test_the_entry_point_is_fliq_of_this_version(image: Image, volume: Path) -> None:
    """ENTRYPOINT finds the program on the image's PATH."""
    done = output_of(image, [*image.last.last("ENTRYPOINT").words, "--version"], volume)

    assert (done.returncode, done.stdout) == (0, f"fliq {VERSION}\n"), done.stderr


def test_nothing_can_be_installed_in_the_image(image: Image, volume: Path) -> None:
    """Neither pip nor setuptools, nor anything that only the tests need, is left in Fliq's prefix."""
    listed = "import importlib.metadata as m; print(*sorted(d.name for d in m.distributions()))"
    done = output_of(image, ["python", "-c", listed], volume)
    found = set(done.stdout.split())

    assert "fliq" in found, done.stderr
    assert found & {"pip", "setuptools", "wheel", "pytest", "mypy", "ruff", "hypothesis", "schemathesis"} == set()


def test_all_of_fliq_runs_read_only_and_without_rights(image: Image, volume: Path) -> None:
    """`fliq all` with its own PostgreSQL serves as user 10001 on a read-only root, keeps its data on the volume, and drains."""
    port, admin = free_port(), free_port()
    given = {"FLIQ_PORT": str(port), "FLIQ_ADMIN_PORT": str(admin), "FLIQ_BOOTSTRAP_TOKENS": f"acme={TOKEN}"}
    given["FLIQ_HOST"] = "127.0.0.1"  # the tests listen on loopback only
    arguments = [*image.last.last("ENTRYPOINT").words, *image.last.last("CMD").words]
    process = subprocess.Popen(
        image.command(arguments, volume=volume, environment=given),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
    )
    try:
        until_answered(200, f"http://127.0.0.1:{admin}/readyz", process)
        state = Path(f"/proc/{process.pid}/status").read_text("utf-8")
        assert f"Uid:\t{UID}\t{UID}" in state
        assert "CapEff:\t0000000000000000" in state

        health = image.last.last("HEALTHCHECK").rest.partition(" CMD ")[2]
        asked = subprocess.run(
            image.inside(process.pid, json.loads(health)), capture_output=True, text=True, timeout=30
        )
        assert asked.returncode == 0, asked.stderr

        tomorrow = datetime.now(UTC) + timedelta(days=1)
        created = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/jobs",
            method="POST",
            data=json.dumps({"url": "https://example.com/", "scheduled_at": tomorrow.isoformat()}).encode(),
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        )
        until_answered(201, created, process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            printed, _ = process.communicate(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            printed, _ = process.communicate()

    assert process.returncode == 0, printed.decode()
    assert {each.stat().st_uid for each in volume.rglob("*")} == {UID}


def test_a_health_check_of_nothing_says_so(image: Image, volume: Path) -> None:
    """The health check fails, in one line, where nobody listens."""
    health = json.loads(image.last.last("HEALTHCHECK").rest.partition(" CMD ")[2])
    done = output_of(image, ["env", f"FLIQ_ADMIN_PORT={free_port()}", *health], volume)

    assert done.returncode == 1
    assert "does not answer" in done.stderr
