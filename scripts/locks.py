"""Locks: the packages that requirements.lock and requirements-runtime.lock name, with versions and hashes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[1]
RUNTIME: Final = ROOT / "requirements-runtime.lock"
CHECKOUT: Final = ROOT / "requirements.lock"
_PACKAGE: Final = re.compile(r"^([a-z0-9.-]+)==(\S+)", re.MULTILINE)
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class Package(NamedTuple):
    """A package of a lock: *hashes* are the SHA-256 of the files that pip may install for it, in hex."""

    name: str
    version: str
    hashes: tuple[str, ...]


def packages(lock: Path) -> list[Package]:
    """Return the packages of *lock*; raises ValueError if it has none, or one without a hash."""
    text = lock.read_text(encoding="utf-8")
    starts = [*_PACKAGE.finditer(text)]
    ends = [*(start.start() for start in starts[1:]), len(text)]
    found = [
        Package(start[1], start[2], tuple(_HASH.findall(text[start.end() : end])))
        for start, end in zip(starts, ends, strict=True)
    ]
    if not found or not all(each.hashes for each in found):
        raise ValueError(f"{lock.name} has no packages, or one without a hash")
    return found
