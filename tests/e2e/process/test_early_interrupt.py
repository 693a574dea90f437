"""Ctrl-C before anything runs: while the modules are still being imported."""

from __future__ import annotations

import subprocess
import sys
from itertools import product

import pytest

# Stands for a Ctrl-C that comes just when *module* is imported.
INTERRUPTED = """
import runpy, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
sys.argv = ["fliq", "all"]
runpy.run_module({command!r}, run_name="__main__", alter_sys=True)
"""


EARLY = ("argparse", "libs.runtime.settings.settings", "services.start_error")


@pytest.mark.parametrize(
    ("command", "module"),
    [*product(["services", "services.dev.up"], EARLY), ("services", "services.process.run")],
)
def test_ctrl_c_while_modules_are_imported_says_nothing(command: str, module: str) -> None:
    """The exit code is a shell's for Ctrl-C, and there is no trace."""
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(module=module, command=command)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")
