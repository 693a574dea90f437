"""
Memory disk: where the servers that tests start keep their data, if the machine has one, and memory for it.

On a disk that all lanes share a server waits for what the others write; in memory it does not. What a kill leaves is the same there
and here; what is about the disk itself has a place of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

import psutil

PLACE = Path("/dev/shm")
ROOM = 6 << 30  # bytes: a whole run takes less than two
SPARE = 4 << 30  # bytes of memory, beside the room: what the tests themselves take
_OWNED = re.compile(r"fliq-[a-z]*-?(\d+)-\w+")


def data_folder(prefix: str) -> Path:
    """Make a folder of a name that begins with *prefix*, in memory if there is room; its path is short enough for a socket."""
    sweep(PLACE)
    has_room = (
        PLACE.is_dir() and shutil.disk_usage(PLACE).free >= ROOM and psutil.virtual_memory().available >= ROOM + SPARE
    )
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=PLACE if has_room else None))


def sweep(place: Path) -> None:
    """Remove what test runs left that were killed: it would take memory for ever. A server whose data are gone ends by itself."""
    for folder in place.glob("fliq-*"):
        owned = _OWNED.fullmatch(folder.name)
        if owned is not None and not psutil.pid_exists(int(owned[1])):
            shutil.rmtree(folder, ignore_errors=True)
