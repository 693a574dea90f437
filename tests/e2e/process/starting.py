"""Fliq started as a newcomer starts it: one process, its output in a file, nothing of the developer's environment."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
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
    """What goes on until it is told to end, `fliq all` unless it is said; standard output and standard error in one file."""

    def __init__(self, settings: dict[str, str], command: Sequence[str] = (*FLIQ, "all")) -> None:
        self.url = f"http://127.0.0.1:{settings['FLIQ_PORT']}"
        self.admin_url = f"http://127.0.0.1:{settings['FLIQ_ADMIN_PORT']}"
        self._file = tempfile.NamedTemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed by __exit__
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=settings, stdin=subprocess.DEVNULL, stdout=self._file, stderr=subprocess.STDOUT
        )

    def output(self) -> str:
        """Return what was printed so far."""
        self._file.seek(0)
        return self._file.read()

    def wait_for(self, pattern: str, *, count: int = 1, timeout_s: float = 60) -> list[str]:
        """Return what *pattern* finds in the output once it finds *count*."""

        def found() -> list[str] | None:
            places: list[str] = re.findall(pattern, self.output(), re.MULTILINE)
            if len(places) >= count:
                return places
            assert self.process.poll() is None, self.output()
            return None

        return until_blocking(found, within_s=timeout_s, every_s=0.01, saying=self.output) or []

    def end(self, number: int, *, timeout_s: float = 45) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout_s)

    def kill(self) -> None:
        """End it as kill -9 does."""
        self.process.kill()
        self.process.wait(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.end(signal.SIGTERM)
        self._file.close()
