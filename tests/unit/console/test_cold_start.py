"""A process that nobody looks at pays nothing for the console."""

from __future__ import annotations

import subprocess
import sys

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
