"""
Where the Chromium of the tests comes from, in this order:

    FLIQ_TEST_CHROMIUM, or chromium on the PATH
    Debian's package, installed (once, about 100 MB; needs apt-get and root)
    neither: the tests are skipped, and say so
"""

import os
import shutil
import subprocess
from typing import Final

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
INSTALL_S: Final = 600.0


class Unavailable(Exception):
    """There is no Chromium to be had; the message says why in one line."""


def find() -> str:
    """Return the program; raises `Unavailable`."""
    asked = os.environ.get("FLIQ_TEST_CHROMIUM")
    found = asked or next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        raise Unavailable("there is no chromium on the PATH; as root, make test installs Debian's package")
    return found


def install() -> str:
    """Return the program, installed if it is not there and that is possible; raises `Unavailable`."""
    try:
        return find()
    except Unavailable:
        apt = shutil.which("apt-get")
        if apt is None or os.geteuid() != 0:
            raise
    print("fliq: installing Debian's package of Chromium (once, about 100 MB)", flush=True)
    _run([apt, "update", "-qq"])
    _run([apt, "install", "-y", "-qq", "--no-install-recommends", "chromium", "fonts-dejavu-core"])
    return find()


def _run(command: list[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=INSTALL_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"Chromium cannot be installed: {error}"[:200]) from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Unavailable(f"Chromium cannot be installed: {said[-1] if said else command[0]}"[:200])
