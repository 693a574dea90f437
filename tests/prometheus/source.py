"""
Where the Prometheus of the tests comes from, in this order:

    prometheus and promtool on the PATH
    the Debian package, fetched without being installed into build/prometheus (once, 19 MB; needs apt-get and dpkg, no root)
    neither: the tests are skipped, and say so
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "prometheus"
FETCH_S = 300.0


class Unavailable(Exception):
    """There is no Prometheus to be had; the message says why in one line."""


@dataclass(frozen=True, kw_only=True)
class Binaries:
    """The two programs."""

    prometheus: str
    promtool: str


def find(*, show: bool = False) -> Binaries:
    """Find both programs, fetching them if need be; *show* says so. Raises `Unavailable`."""
    found = {name: shutil.which(name) for name in ("prometheus", "promtool")}
    if found["prometheus"] and found["promtool"]:
        return Binaries(prometheus=found["prometheus"], promtool=found["promtool"])
    place = KEPT / "usr" / "bin"
    if not (place / "promtool").exists():
        _fetch(show)
    return Binaries(prometheus=str(place / "prometheus"), promtool=str(place / "promtool"))


def _fetch(show: bool) -> None:
    """Bring the package's files into `KEPT`; a fetch that is broken off leaves nothing behind that looks whole."""
    apt, dpkg = shutil.which("apt-get"), shutil.which("dpkg")
    if apt is None or dpkg is None:
        raise Unavailable("prometheus and promtool are not on the PATH, and there is no apt-get to fetch them with")
    if show:
        print("fliq: fetching Debian's package of Prometheus (once, about 19 MB)", flush=True)
    fresh = KEPT.with_name(f"prometheus.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        _run([apt, "download", "prometheus"], fresh)
        packages = list(fresh.glob("prometheus_*.deb"))
        if not packages:
            raise Unavailable("apt-get fetched no package of Prometheus")
        _run([dpkg, "-x", packages[0].name, "files"], fresh)
        if not (fresh / "files" / "usr" / "bin" / "promtool").exists():
            raise Unavailable("the package of Prometheus holds no promtool")
        shutil.rmtree(KEPT, ignore_errors=True)
        (fresh / "files").replace(KEPT)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    if show:
        print(f"fliq: Prometheus is in {KEPT.relative_to(ROOT)}", flush=True)


def _run(command: list[str], directory: Path) -> None:
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=FETCH_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"Prometheus cannot be fetched: {error}"[:200]) from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Unavailable(f"Prometheus cannot be fetched: {said[-1] if said else command[0]}"[:200])
