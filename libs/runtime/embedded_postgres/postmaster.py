"""
The postmaster: the process of a running PostgreSQL server, its pid file, and whether that file names the right process.

A pid alone proves nothing: after a crash the same number may belong to another process. A process counts as the server only if its
command is `postgres` and, on Linux, its working directory is the data directory.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import msgspec

PID_FILE = "postmaster.pid"
_HAS_PROC = Path("/proc/self/cwd").exists()
_POLL_S = 0.02  # only where the kernel cannot report the end of a process


class PidFile(msgspec.Struct, frozen=True, kw_only=True):
    """What the server writes into postmaster.pid. While the server starts, the later lines are missing."""

    pid: int
    data_dir: Path
    port: int
    socket_dir: str
    address: str
    status: str

    @classmethod
    def read(cls, data_dir: Path) -> Self | None:
        """Return the file's content; None if there is no file, or if no server wrote it."""
        try:
            lines = (data_dir / PID_FILE).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        except FileNotFoundError:
            return None
        lines += [""] * (8 - len(lines))
        try:
            return cls(
                pid=abs(int(lines[0])),
                data_dir=Path(lines[1]),
                port=int(lines[3] or 0),
                socket_dir=lines[4].strip(),
                address=lines[5].strip(),
                status=lines[7].strip(),
            )
        except ValueError:
            return None


class Postmaster:
    """A handle on one server process: our child, or one that an earlier Fliq started."""

    def __init__(self, pid: int, *, child: subprocess.Popen[bytes] | None = None) -> None:
        self.pid = pid
        self._child = child
        self._pidfd: int | None = None
        if hasattr(os, "pidfd_open"):
            try:
                # Stands for this process only: a later process with the same number is never signalled.
                self._pidfd = os.pidfd_open(pid)
            except OSError:
                self._pidfd = None

    @classmethod
    def find(cls, data_dir: Path) -> Self | None:
        """Return the server of *data_dir* that runs; None without a pid file, or if its process is not that server."""
        pid_file = PidFile.read(data_dir)
        if pid_file is None or not _is_server_of(pid_file.pid, data_dir):
            return None
        found = cls(pid_file.pid)
        # Checked again, because the process may have ended before the handle was opened.
        if not _is_server_of(pid_file.pid, data_dir):
            found.close()
            return None
        return found

    def is_alive(self) -> bool:
        return not self.wait(0.0)

    def wait(self, timeout_s: float) -> bool:
        """Wait until the process has ended; return False if it has not ended after *timeout_s*."""
        if self._child is not None:
            try:
                self._child.wait(timeout_s)
            except subprocess.TimeoutExpired:
                return False
            return True
        if self._pidfd is not None:
            # A pidfd becomes readable when its process ends, even before its parent has collected the status.
            return bool(select.select([self._pidfd], [], [], timeout_s)[0])
        end_at = time.monotonic() + timeout_s
        while _exists(self.pid):
            if time.monotonic() >= end_at:
                return False
            time.sleep(_POLL_S)
        return True

    async def ended(self, timeout_s: float, poll_s: float) -> None:
        """Return when the process has ended, or after *timeout_s*; after *poll_s* where the kernel does not report the end."""
        if self._pidfd is None:
            await asyncio.sleep(min(poll_s, timeout_s))
            return
        loop, ended, pidfd = asyncio.get_running_loop(), asyncio.Event(), self._pidfd
        loop.add_reader(pidfd, ended.set)
        try:
            async with asyncio.timeout(timeout_s):
                await ended.wait()
        except TimeoutError:
            pass
        finally:
            loop.remove_reader(pidfd)

    def send(self, signum: signal.Signals) -> None:
        """Signal the process; do nothing if it has ended already."""
        try:
            if self._child is not None:
                self._child.send_signal(signum)
            elif self._pidfd is not None:
                signal.pidfd_send_signal(self._pidfd, signum)
            else:
                os.kill(self.pid, signum)
        except ProcessLookupError:
            pass  # it ended just before

    def close(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None


def orphans_of(data_dir: Path) -> list[int]:
    """
    Return the pids of the server processes that work in *data_dir* (on Linux; elsewhere none are found).

    Call it only while no postmaster runs. Then a killed postmaster left these processes behind, and each of them holds the shared
    memory that a new one needs.
    """
    if not _HAS_PROC:
        return []
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if _command(pid) == "postgres" and _works_in(pid, data_dir, _is_left_alone)]


def _is_server_of(pid: int, data_dir: Path) -> bool:
    if pid <= 0 or not _exists(pid):
        return False
    if _HAS_PROC:
        return _command(pid) == "postgres" and _works_in(pid, data_dir, _was_started_for)
    shown = subprocess.run(  # noqa: S603 - fixed command, a number as argument
        ["/bin/ps", "-o", "comm=", "-p", str(pid)], capture_output=True, text=True, timeout=10, check=False
    )
    return Path(shown.stdout.strip()).name == "postgres"


def _works_in(pid: int, data_dir: Path, else_judge: Callable[[int, Path], bool]) -> bool:
    """Compare working directories. Root in a container may not see those of another user; then *else_judge* decides."""
    try:
        return os.path.samefile(f"/proc/{pid}/cwd", data_dir)
    except PermissionError:
        try:
            same_user = os.stat(f"/proc/{pid}").st_uid == data_dir.stat().st_uid
        except OSError:
            return False
        return same_user and else_judge(pid, data_dir)
    except OSError:
        return False  # ended meanwhile


def _was_started_for(pid: int, data_dir: Path) -> bool:
    """Whether the command line is the one with which Fliq starts the postmaster of *data_dir*."""
    words = _read(pid, "cmdline").split("\0")
    return "-D" in words and Path(words[words.index("-D") + 1]) == data_dir


def _is_left_alone(pid: int, _data_dir: Path) -> bool:
    """Whether this is a back end (they carry a title) whose parent is no postmaster any more."""
    if not _read(pid, "cmdline").startswith("postgres: "):
        return False
    parent = next((line.split()[1] for line in _read(pid, "status").splitlines() if line.startswith("PPid:")), "0")
    return _command(int(parent)) != "postgres"


def _command(pid: int) -> str:
    return _read(pid, "comm").strip()


def _read(pid: int, file: str) -> str:
    try:
        return Path(f"/proc/{pid}/{file}").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""  # ended meanwhile


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
