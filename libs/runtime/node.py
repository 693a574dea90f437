"""
Node names: the name of this process among the others, kept over restarts.

A lease names its holder. A process that comes back after a kill -9 under its old name may take its leases again at
once instead of waiting for them to run out, so the name belongs to the directory and not to the process: the first
free of `node-0.lock`, `node-1.lock` … gives `<id of the directory>-<n>`, and is held for life.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Self

from libs.runtime.clock import Entropy
from libs.runtime.lockfile import LockFile, unusable

_NODES_MAX = 256  # processes on one data directory; more is a loop that starts processes
_ID_FILE = "node.id"


class NodeError(RuntimeError):
    """No name could be had; the text is one line for the operator."""


class Node:
    """A name that no other process on this data directory has until release() is called."""

    def __init__(self, name: str, lock: LockFile | None) -> None:
        self.name = name
        self._lock = lock

    @classmethod
    def claim(cls, data_dir: Path, *, override: str | None, entropy: Entropy) -> Self:
        """
        Take a name.

        Args:
            data_dir: FLIQ_DATA_DIR; made when missing.
            override: FLIQ_NODE; used as it is, and locked in the same way where the directory is shared.

        Raises:
            NodeError: the name is held by a running process, or the directory cannot be used.
        """
        try:
            data_dir.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
            if override is not None:
                lock = LockFile(data_dir / f"node-name-{override}.lock")
                if not lock.try_acquire():
                    raise NodeError(f"FLIQ_NODE: {override} is the name of another running process ({lock.holder()})")
                return cls(override, lock)
            directory_id = _directory_id(data_dir, entropy)
            for number in range(_NODES_MAX):
                lock = LockFile(data_dir / f"node-{number}.lock")
                if lock.try_acquire():
                    return cls(f"{directory_id}-{number}", lock)
        except OSError as error:
            raise NodeError(unusable(data_dir, error)) from error
        raise NodeError(f"{_NODES_MAX} processes already use {data_dir}")

    def release(self) -> None:
        """Let the name go; twice is fine."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _directory_id(data_dir: Path, entropy: Entropy) -> str:
    """Return the directory's id, making it once; two first starts at the same moment agree on one."""
    path = data_dir / _ID_FILE
    fresh = data_dir / f"{_ID_FILE}.new-{os.getpid()}"
    if not path.exists():
        fresh.write_text(entropy.entropy(8).hex() + "\n", encoding="ascii")
        try:
            os.link(fresh, path)  # unlike a rename it fails when the other was first
        except FileExistsError:
            pass  # theirs it is
        finally:
            fresh.unlink()
    text = path.read_text(encoding="ascii", errors="replace").strip()
    if re.fullmatch(r"[0-9a-f]{16}", text) is None:
        raise NodeError(f"{path} does not hold a node id; remove it")
    return text
