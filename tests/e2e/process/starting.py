"""Fliq started as a newcomer starts it: one process, its output in a file, nothing of the developer's environment."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from types import TracebackType
from typing import Self

from tests.fakes.running.topologies import ROOT, free_port
from tests.fakes.until import until_blocking

FLIQ = [sys.executable, "-m", "services"]


def environment(**settings: str) -> dict[str, str]:
    """Return a clean environment with free ports and *settings*."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "LC_ALL": "C.UTF-8",
        "NO_PROXY": "*",
        "FLIQ_PORT": str(free_port()),
        "FLIQ_ADMIN_PORT": str(free_port()),
        **settings,
    }


def run(command: list[str], settings: dict[str, str], *, timeout_s: float = 45) -> subprocess.CompletedProcess[str]:
    """Run what is expected to end by itself."""
    return subprocess.run(
        command, cwd=ROOT, env=settings, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=timeout_s
    )


class Started:
    """`fliq all`, standard output and standard error in one file."""

    def __init__(self, settings: dict[str, str]) -> None:
        self.url = f"http://127.0.0.1:{settings['FLIQ_PORT']}"
        self.admin_url = f"http://127.0.0.1:{settings['FLIQ_ADMIN_PORT']}"
        self._file = tempfile.NamedTemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed by __exit__
        self._process = subprocess.Popen(
            [*FLIQ, "all"],
            cwd=ROOT,
            env=settings,
            stdin=subprocess.DEVNULL,
            stdout=self._file,
            stderr=subprocess.STDOUT,
        )

    def output(self) -> str:
        """Return what was printed so far."""
        self._file.seek(0)
        return self._file.read()

    def wait_for(self, text: str, *, timeout_s: float = 45) -> None:
        """Return when *text* was printed."""

        def is_there() -> bool:
            if text in self.output():
                return True
            assert self._process.poll() is None, self.output()
            return False

        until_blocking(is_there, within_s=timeout_s, every_s=0.01, saying=self.output)

    def end(self, number: int, *, timeout_s: float = 45) -> int:
        """Send a signal and return the exit code."""
        self._process.send_signal(number)
        return self._process.wait(timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(45)
        self._file.close()
