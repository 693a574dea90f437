"""Private files: only their owner may read them, and they are still there after a crash."""

from __future__ import annotations

import os
from pathlib import Path

from libs.runtime.embedded_postgres.unprivileged import ServerUser


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, and flush it to the disk; an existing file is replaced."""
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def give(path: Path, user: ServerUser) -> None:
    """Make *user* the owner of *path*, unless that is the user that Fliq runs as."""
    if user.drops:
        os.chown(path, user.uid, user.gid)


def sync_directory(directory: Path) -> None:
    """Flush the names in *directory* to the disk, after a file or directory was made or renamed there."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
