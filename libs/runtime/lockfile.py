"""
Lock files: one holder at a time, for exactly as long as the holder lives.

The kernel drops a flock when its process ends, however it ends, so that nothing stale is left after a kill -9.
The file itself stays; its content is only for the message that a second process shows.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class LockFile:
    """An exclusive flock on *path*. Not reentrant; releasing twice, or without holding, is fine."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    @property
    def is_held(self) -> bool:
        return self._fd is not None

    def try_acquire(self) -> bool:
        """Take the lock without waiting; False when another holder (also in this process) has it. OSError passes."""
        if self._fd is not None:
            return False
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(fd, 0)
            os.write(fd, f"{os.getpid()}\n".encode())
        except BlockingIOError:
            os.close(fd)
            return False
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        return True

    def release(self) -> None:
        """Give the lock back. The file is not removed: removing it would let two holders lock two different files."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def holder(self) -> str:
        """The process id the last holder wrote, for messages; empty when unknown."""
        try:
            return self.path.read_text(encoding="ascii", errors="replace").strip()[:20]
        except OSError:
            return ""


def unusable(directory: Path, error: OSError) -> str:
    """Return the one line that says why the data directory, or one in it, cannot be used."""
    why = "it is not a directory" if isinstance(error, FileExistsError | NotADirectoryError) else error.strerror
    return f"FLIQ_DATA_DIR: cannot use {directory}: {why}"
