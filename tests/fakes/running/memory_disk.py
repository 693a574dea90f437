"""
Memory disk: where the servers that tests start keep their data, if the machine has one.

On a disk that all lanes share a server waits for what the others write; in memory it does not. What a kill leaves is the same there
and here; what is about the disk itself has a place of its own.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

PLACE = Path("/dev/shm")
ROOM = 6 << 30  # bytes: a whole run takes less than two


def data_folder(prefix: str) -> Path:
    """Make a folder of a name that begins with *prefix*, in memory if there is room; its path is short enough for a socket."""
    has_room = PLACE.is_dir() and shutil.disk_usage(PLACE).free >= ROOM
    return Path(tempfile.mkdtemp(prefix=prefix, dir=PLACE if has_room else None))
