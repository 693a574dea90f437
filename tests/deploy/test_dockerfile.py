"""deploy/Dockerfile keeps its promises, as far as reading it shows; tests/deploy/test_image.py runs it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from libs.runtime.settings.table import TABLE
from services import VERSION
from tests.deploy.dockerfile import FILE, ROOT, Instruction, stages

LOCKED = re.compile(r"^([a-z0-9-]+)==(\S+)((?:\s*\\\n\s+--hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE)


def last() -> list[Instruction]:
    """Return the instructions of the stage that runs."""
    return list(list(stages().values())[-1].instructions)


def the(word: str) -> Instruction:
    """Return the instruction of that word in the last stage."""
    return next(each for each in last() if each.word == word)


def locked(name: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Return the packages of a lock with their version and hashes."""
    text = (ROOT / name).read_text("utf-8")
    return {found[1]: (found[2], frozenset(re.findall(r"[0-9a-f]{64}", found[3]))) for found in LOCKED.finditer(text)}


def test_the_linter_has_nothing_to_say() -> None:
    """hadolint finds nothing, not even in matters of style."""
    linter = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if linter is None:
        pytest.skip("hadolint is not installed: make install")
    done = subprocess.run([linter, "--failure-threshold", "style", FILE], capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_image_is_pinned() -> None:
    """What a stage begins with is an earlier stage, or an image with tag and digest."""
    known: list[str] = []
    for stage in stages().values():
        assert stage.source in known or re.fullmatch(r"[a-z0-9./-]+:[\w.-]+@sha256:[0-9a-f]{64}", stage.source), (
            stage.source
        )
        known.append(stage.name)


def test_the_last_stage_has_no_installer_at_work() -> None:
    """It gets its packages from the stage before; nothing is installed or compiled there."""
    scripts = " ".join(each.rest for each in last() if each.word == "RUN")

    assert re.search(r"\b(apt|apt-get|apk|pip|gcc|make|curl|wget)\b", scripts) is None
    assert [each.flags for each in last() if each.word == "COPY"] == [["--from=build"]]


def test_packages_are_installed_by_hash() -> None:
    """pip checks every file against the lock, takes wheels only, and resolves nothing."""
    build = stages()["build"]
    wanted = next(each.rest for each in build.all("RUN") if "-r requirements-runtime.lock" in each.rest)

    assert {"--require-hashes", "--no-deps"} <= set(wanted.split())
    assert "--only-binary :all:" in wanted


def test_no_cache_of_a_builder_is_named() -> None:
    """Packages are fetched for the image and kept nowhere else: no mount, no path below anybody's home."""
    text = FILE.read_text("utf-8")

    assert all("--no-cache-dir" in each.rest for each in stages()["build"].all("RUN") if " install " in each.rest)
    assert "--mount" not in text
    assert re.search(r"/(?:root|home)/", text) is None


def test_it_runs_as_a_user_without_rights() -> None:
    """By number, so that `runAsNonRoot` can be checked; 10000 or above, where no host has a user."""
    user, group = the("USER").rest.split(":")

    assert int(user) >= 10_000
    assert int(group) >= 10_000


def test_the_role_is_the_argument() -> None:
    """`docker run fliq` runs everything, `docker run fliq api` one role."""
    assert the("ENTRYPOINT").words == ["fliq"]
    assert the("CMD").words == ["all"]
    assert the("HEALTHCHECK").rest.partition(" CMD ")[2].startswith("[")


def test_the_image_says_what_it_is() -> None:
    """It carries the labels of the OCI, and the version is Fliq's."""
    arguments = {name: value for each in last() if each.word == "ARG" for name, value in each.pairs.items()}
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in the("LABEL").pairs.items()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    assert set(labels) == {"title", "description", "licenses", "version", "revision", "created"}
    assert arguments["VERSION"] == VERSION == project["version"]
    assert (labels["title"], labels["description"], labels["licenses"]) == (
        project["name"],
        project["description"],
        project["license"],
    )


def test_the_settings_of_the_image_exist() -> None:
    """Every FLIQ_ variable that the image sets is a setting."""
    names = {name for each in last() if each.word == "ENV" for name in each.pairs if name.startswith("FLIQ_")}

    assert names
    assert names <= {row.name for row in TABLE}


def test_the_builder_gets_what_is_copied_and_nothing_else() -> None:
    """.dockerignore begins by refusing everything, and lets through what a COPY names."""
    lines = [
        line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line and not line.startswith("#")
    ]
    let_through = {line[1:] for line in lines if line.startswith("!")}
    copied: set[str] = set()
    for each in stages()["build"].all("COPY"):
        copied |= {word.removeprefix("./") for word in each.words[:-1]}

    assert lines[0] == "*"
    assert let_through == copied
    assert all((ROOT / name).exists() for name in copied)


def test_the_lock_of_the_image_is_a_part_of_the_other() -> None:
    """Same versions, same hashes: what the tests ran with is what the image holds."""
    whole, part = locked("requirements.lock"), locked("requirements-runtime.lock")

    assert part.items() <= whole.items()
    assert part


def test_the_lock_of_the_image_holds_what_fliq_needs_and_no_tests() -> None:
    """Every dependency of pyproject.toml is in it, and no tool of the developers'."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    part = set(locked("requirements-runtime.lock"))
    needed = {re.split(r"[^a-z0-9-]", name, maxsplit=1)[0] for name in project["dependencies"]}
    tools = {re.split(r"[^a-z0-9-]", name, maxsplit=1)[0] for name in project["optional-dependencies"]["dev"]}

    assert needed <= part
    assert part & tools == set()


def test_no_lock_names_a_place() -> None:
    """A lock is versions and hashes; where packages come from is the business of the machine."""
    for name in ("requirements.lock", "requirements-runtime.lock"):
        text = (ROOT / name).read_text("utf-8")
        assert "://" not in text
        assert LOCKED.sub("", text).strip().count("\n") == 0, "every package has hashes"


def test_every_file_names_this_version() -> None:
    """Commands that are pasted from a comment or from docs/operations.md mean the image of this version."""
    files = [each for each in (ROOT / "deploy").rglob("*") if each.is_file()] + [ROOT / "docs" / "operations.md"]
    named = {
        (each.name, version)
        for each in files
        for version in re.findall(r"\bfliq:(\d+\.\d+\.\d+)", each.read_text("utf-8"))
    }

    assert {name for name, version in named if version != VERSION} == set()
    assert {"Dockerfile", "operations.md", "compose.yaml"} <= {name for name, _ in named}
