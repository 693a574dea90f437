"""Ctrl-C before anything runs: while the modules are still being imported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

import pytest

# Stands for a Ctrl-C that comes just when *module* is imported.
INTERRUPTED = """
import runpy, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
sys.argv = ["fliq", {word!r}]
runpy.run_module({command!r}, run_name="__main__", alter_sys=True)
"""


EARLY = ("argparse", "libs.runtime.settings.settings", "services.start_error")


@pytest.mark.parametrize(
    ("command", "module"),
    [*product(["services", "services.dev.up"], EARLY), ("services", "services.process.run")],
)
def test_ctrl_c_while_modules_are_imported_says_nothing(command: str, module: str) -> None:
    """The exit code is a shell's for Ctrl-C, and there is no trace."""
    interrupted(INTERRUPTED.format(module=module, command=command, word="all"))


def test_ctrl_c_while_a_dev_server_makes_its_database_leaves_nothing() -> None:
    """The database is made while modules are imported; it is stopped, and its folder is gone."""
    folder = Path(tempfile.mkdtemp())  # not of pytest: the server's user must be able to enter
    folder.chmod(0o711)
    try:
        module = "services.dev.server.run"
        interrupted(INTERRUPTED.format(module=module, command="services", word="dev"), TMPDIR=str(folder))
        assert list(folder.iterdir()) == []
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def interrupted(script: str, **variables: str) -> None:
    """Run *script*; it ends as a shell expects of Ctrl-C, without a word."""
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")
