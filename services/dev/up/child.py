"""A process that is kept running: started, watched until it is ready, started again when it ends, drained or killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import aiohttp

from libs.runtime.settings.settings import unread_names
from services.dev.up.plan import Child

POLL_S: Final = 0.1
PROBE_S: Final = 2.0
READY_S: Final = 30.0
STEADY_S: Final = 60.0  # a process that ran this long starts again with the shortest pause
PAUSES_S: Final = (1.0, 2.0, 4.0, 8.0, 15.0)  # before it is started again; after the last one it is given up
PRINTED_MAX: Final = 16_384  # bytes kept of what it prints for a person
LOG_SHOWN_LINES: Final = 5


class KeptChild:
    """
    One process of the plan, over all its lives.

    Args:
        planned: what to run.
        environ: the environment it inherits.
        say: receives each line for the terminal.
    """

    def __init__(self, planned: Child, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
        self.planned = planned
        self.was_ready = asyncio.Event()  # set for good when a life got ready
        self.printed = bytearray()  # standard output of its first life: the API greets there
        given = {**environ, **planned.settings}
        unread = unread_names(given, (planned.role,))
        self._environ = {name: value for name, value in given.items() if name not in unread}
        self._say = say
        self.status: int | None = None  # how its last life ended
        self._process: asyncio.subprocess.Process | None = None
        self._ending = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self.planned.name

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def keep(self, http: aiohttp.ClientSession) -> int | None:
        """
        Run it until it is told to end (None), ends before it was ever ready, or has ended too often (its status).
        """
        ended_count = 0
        while not self._ending.is_set():
            begun_s = time.monotonic()
            process = await self._start()
            ready = asyncio.create_task(self._wait_ready(process, http))
            try:
                self.status = status = await process.wait()
            finally:
                ready.cancel()
                await asyncio.gather(ready, return_exceptions=True)
            if self._ending.is_set():
                return None
            if not self.was_ready.is_set():
                return status
            ended_count = 1 if time.monotonic() - begun_s > STEADY_S else ended_count + 1
            if ended_count > len(PAUSES_S):
                self._say(f"{self.name} {how(status)} for the {ended_count}th time and is left ended: see {self._log}")
                return status
            pause_s = PAUSES_S[ended_count - 1]
            self._say(f"{self.name} {how(status)}; it is started again in {pause_s:g} s")
            self.status = None  # said
            try:
                async with asyncio.timeout(pause_s):
                    await self._ending.wait()
            except TimeoutError:
                pass  # the pause is over
        return None

    def end(self, number: int = signal.SIGTERM) -> None:
        """Send it a signal, and do not start it again."""
        self._ending.set()
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    def last_lines(self) -> list[str]:
        """Return the end of its log."""
        try:
            lines = self.planned.log_file.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []
        return lines[-LOG_SHOWN_LINES:]

    @property
    def _log(self) -> str:
        return shown(self.planned.log_file)

    async def _start(self) -> asyncio.subprocess.Process:
        self.planned.directory.mkdir(parents=True, exist_ok=True)
        is_first = self._process is None
        with self.planned.log_file.open("wb" if is_first else "ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "services",
                self.planned.role,
                env=self._environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is ours to pass on: two signals would end it at once
            )
        self._reading = asyncio.create_task(self._read(self._process, keep=is_first))
        if self._ending.is_set():  # told while it was being started
            self._process.send_signal(signal.SIGTERM)
        return self._process

    async def _read(self, process: asyncio.subprocess.Process, *, keep: bool) -> None:
        """Take what it prints for a person, so that it never waits for a reader."""
        while process.stdout is not None and (data := await process.stdout.read(4096)):
            if keep and len(self.printed) < PRINTED_MAX:
                self.printed += data

    async def _wait_ready(self, process: asyncio.subprocess.Process, http: aiohttp.ClientSession) -> None:
        begun_s, is_late = time.monotonic(), False
        while True:  # until the process has ended
            if await self._is_ready(http):
                break
            if not is_late and time.monotonic() - begun_s > READY_S:
                self._say(f"{self.name} is not ready after {READY_S:g} s: its log says why, {self._log}")
                is_late = True
            await asyncio.sleep(POLL_S)
        planned = self.planned
        where = (
            f"{planned.address}, admin {planned.admin_address}" if planned.address else f"admin {planned.admin_address}"
        )
        self._say(f"{self.name:<12} is ready: process {process.pid}, {where}, log {self._log}")
        self.was_ready.set()

    async def _is_ready(self, http: aiohttp.ClientSession) -> bool:
        try:
            async with http.get(f"{self.planned.admin_address}/readyz") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False


def how(status: int) -> str:
    """Say how a process ended."""
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


def shown(path: Path) -> str:
    """Return *path* as short as it can be typed from here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
