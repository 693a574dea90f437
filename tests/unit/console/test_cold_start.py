"""A process that nobody looks at pays nothing for the console, and an install little."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[3]
OF_THE_CONSOLE: Final = ("jinja2", "markupsafe")  # packages that nothing else needs
IMPORTS = """
import sys
import services.__main__
services.__main__.build_parser()
print([name for name in sys.modules if name.partition(".")[0] in ("jinja2", "markupsafe") or name.startswith("services.console.")])
"""


def test_a_start_imports_nothing_of_the_console() -> None:
    """Neither its modules nor its templates, until the first page is asked for."""
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout == "[]\n"


def test_an_install_grows_by_less_than_a_tenth() -> None:
    """For the console, the API's reference and their packages, against everything else that is installed, in bytes."""
    locked = re.findall(r"^([\w.-]+)==", (ROOT / "requirements-runtime.lock").read_text(), re.MULTILINE)
    packages = {name.lower(): _installed(name) for name in locked}
    console = _size(ROOT / "services" / "console") + sum(packages[name] for name in OF_THE_CONSOLE)
    others = sum(packages.values()) + _size(ROOT / "libs") + _size(ROOT / "services") - console

    print(f"the console: {console:,} of {others:,} bytes, {console / others:.1%}")
    assert console < others / 10


def _installed(name: str) -> int:
    files = [Path(str(each.locate())) for each in distribution(name).files or ()]
    return sum(_size(each) for each in files)


def _size(place: Path) -> int:
    files = place.rglob("*") if place.is_dir() else (place,)
    return sum(each.stat().st_size for each in files if each.is_file() and each.suffix != ".pyc")
