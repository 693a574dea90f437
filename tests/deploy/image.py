"""
Image: deploy/Dockerfile carried out without a container engine.

A stage is an overlay over this machine's own root, in a mount namespace: what its instructions write lands in a
directory of its own, and the machine stays as it is. This machine's Python stands in for the base image's. The last
stage is then mounted read-only, as `docker run --read-only` and Kubernetes do, with a volume and a /tmp.

Needs root and overlays; `refusal` says what is missing elsewhere.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests.deploy.dockerfile import ROOT, Stage, stages

BUILD_TIMEOUT_S = 300.0
PYTHON = Path(os.path.realpath(sys._base_executable))  # type: ignore[attr-defined]
SYSTEM_PATH = f"{PYTHON.parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
UID = 10001


def refusal(place: Path) -> str | None:
    """Return None when images can be built below *place*, else why not."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "building without an engine needs Linux and root"
    if missing := [
        tool for tool in ("unshare", "nsenter", "setpriv", "useradd", "chroot") if shutil.which(tool) is None
    ]:
        return f"building without an engine needs {', '.join(missing)}"
    for name in ("up", "work", "root"):
        (place / name).mkdir(parents=True, exist_ok=True)
    mounted = _overlay(place / "root", upper=place / "up", work=place / "work")
    python = shlex.quote(str(PYTHON))
    done = _run(f"{mounted}\nchroot {place / 'root'} {python} -c 'import venv, ensurepip, ssl'", timeout_s=30)
    return None if done.returncode == 0 else f"building without an engine needs overlays: {done.stderr.strip()[-200:]}"


class NoIndex(Exception):
    """There is no package index to install from."""


class Image:
    """The last stage of deploy/Dockerfile, made below *place* of what the file says."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.layers: dict[str, Path] = {}

    @property
    def last(self) -> Stage:
        """The stage that runs."""
        return list(stages().values())[-1]

    def build(self) -> None:
        """
        Carry out every stage that has instructions; fails with what the failing one printed.

        Raises:
            NoIndex: the packages cannot be had.
        """
        for stage in stages().values():
            if not stage.instructions:
                continue
            folder = self.place / stage.name
            for name in ("up", "work", "root"):
                (folder / name).mkdir(parents=True, mode=0o755)
            done = _run(self._script(stage, folder), timeout_s=BUILD_TIMEOUT_S)
            if "Failed to establish a new connection" in done.stderr:
                raise NoIndex
            assert done.returncode == 0, f"{stage.name}: {done.stdout[-1000:]}\n{done.stderr[-2000:]}"
            self.layers[stage.name] = folder / "up"

    def environment(self) -> dict[str, str]:
        """Return the variables that a container of the image starts with."""
        found = {"PATH": SYSTEM_PATH}
        for each in self.last.all("ENV"):
            found |= {name: value.replace("${PATH}", found["PATH"]) for name, value in each.pairs.items()}
        return found

    def command(self, arguments: list[str], *, volume: Path, environment: dict[str, str] | None = None) -> list[str]:
        """
        Return a command line that runs *arguments* in the image as its user: everything is read-only but *volume*, where the
        VOLUME of the image is, and a fresh /tmp. The process that it starts becomes the program, so its id is the program's.
        """
        (self.place / "run").mkdir(exist_ok=True)
        root = self.place / "run"
        variables = [f"{name}={value}" for name, value in (self.environment() | (environment or {})).items()]
        user = self.last.last("USER").rest.split(":")
        data = self.last.last("VOLUME").rest
        program = ["env", "-i", *variables, *arguments]
        script = "\n".join(
            [
                "set -e",
                _overlay(root, upper=self.layers[self.last.name], work=self.place / self.last.name / "work"),
                f"mount -o remount,ro {root}",
                f"mount -t tmpfs -o mode=1777 tmpfs {root}/tmp",
                f"mount --bind {volume} {root}{data}",
                f"exec chroot {root} setpriv --reuid={user[0]} --regid={user[1]} --clear-groups --no-new-privs"
                f" --bounding-set=-all --inh-caps=-all sh -c 'cd {self.last.last('WORKDIR').rest} && exec \"$@\"' sh"
                f" {shlex.join(program)}",
            ]
        )
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]

    def inside(self, pid: int, arguments: list[str]) -> list[str]:
        """Return a command line that runs *arguments* beside the program *pid*, as `docker exec` and a health check do."""
        user = self.last.last("USER").rest.split(":")
        variables = [f"{name}={value}" for name, value in self.environment().items()]
        given = Path(f"/proc/{pid}/environ").read_text("utf-8").split("\0")
        entered = ["nsenter", f"--target={pid}", "--mount", "--root", "--wd"]
        dropped = ["setpriv", f"--reuid={user[0]}", f"--regid={user[1]}", "--clear-groups", "--no-new-privs"]
        return [*entered, *dropped, "env", "-i", *variables, *(each for each in given if each), *arguments]

    def _script(self, stage: Stage, folder: Path) -> str:
        root = folder / "root"
        lines = [_overlay(root, upper=folder / "up", work=folder / "work")]
        # Whoever runs the image must get to the Python that stands in for the base image's.
        lines += [f"chmod a+x {root}{parent}" for parent in PYTHON.parents if parent != Path("/")]
        variables = {"PATH": SYSTEM_PATH, "HOME": os.environ.get("HOME", "/root")}
        variables |= {
            name: value for name, value in os.environ.items() if name.startswith("PIP_")
        }  # how to get at packages
        here = "/"
        for each in stage.instructions:
            match each.word:
                case "ENV":
                    variables |= {
                        name: value.replace("${PATH}", variables["PATH"]) for name, value in each.pairs.items()
                    }
                case "WORKDIR":
                    here = each.rest
                    lines.append(f"mkdir -p {root}{here}")
                case "COPY":
                    lines.append(self._copy(each.words, root, here))
                case "RUN":
                    shown = shlex.join(f"{name}={value}" for name, value in variables.items())
                    inside = shlex.quote(f"cd {here} && {each.rest}")
                    lines.append(f"chroot {root} env -i {shown} sh -ec {inside}")
                case _:
                    pass  # says something of the image; changes no file
        return "\n".join(["set -e", *lines])

    def _copy(self, words: list[str], root: Path, here: str) -> str:
        source_of = next((word.removeprefix("--from=") for word in words if word.startswith("--from=")), None)
        *sources, target = [word for word in words if not word.startswith("--")]
        base = ROOT if source_of is None else self.layers[source_of]
        place = f"{root}{target}" if target.startswith("/") else f"{root}{here}/{target.removeprefix('./')}"
        if target.endswith("/"):
            return f"mkdir -p {place} && cp -a {shlex.join(str(base / each.lstrip('/')) for each in sources)} {place}"
        assert len(sources) == 1, "several sources need a target that ends in /"
        return f"mkdir -p $(dirname {place}) && cp -aT {base / sources[0].lstrip('/')} {place}"


def _overlay(root: Path, *, upper: Path, work: Path) -> str:
    binds = "\n".join(f"mount --rbind /{name} {root}/{name}" for name in ("proc", "dev", "sys"))
    return f"set -e\nmount -t overlay overlay -o lowerdir=/,upperdir={upper},workdir={work} {root}\n{binds}"


def _run(script: str, *, timeout_s: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        stdin=subprocess.DEVNULL,
    )
