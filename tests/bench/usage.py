"""
Usage: CPU time and memory of processes, read from /proc, by group: Fliq's own, PostgreSQL's, and the measurement's.

A process that ended is counted through its parent. The kernel counts CPU time in ticks of 10 ms, so a measurement lasts seconds.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def _stat(pid: int) -> list[bytes]:
    """Return the fields of /proc/<pid>/stat behind the name; empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()
    except OSError:
        return []


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of *pid*, and of those below it that ended; 0 when it is gone."""
    fields = _stat(pid)
    return sum(int(field) for field in fields[11:15]) / _TICKS_PER_S if fields else 0.0


def descendants(pid: int) -> list[int]:
    """Return the processes below *pid*."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))):
            children.setdefault(int(fields[1]), []).append(int(entry))
    found: list[int] = []
    pending = [pid]
    while pending:
        below = children.get(pending.pop(), [])
        found += below
        pending += below
    return found


def _is_postgres(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip().startswith("postgres")
    except OSError:
        return False


def postgres_of(pid: int) -> list[int]:
    """Return PostgreSQL's processes below *pid*."""
    return [child for child in descendants(pid) if _is_postgres(child)]


def rss_mb(pid: int) -> float:
    """Return the resident memory of *pid* and what it started, PostgreSQL's apart, in MB (10^6 bytes)."""
    own = [pid, *[child for child in descendants(pid) if not _is_postgres(child)]]
    return sum(int(fields[21]) for each in own if (fields := _stat(each))) * _PAGE / 1e6


def pss_mb(pid: int) -> dict[str, float]:
    """Return the memory of Fliq, with what it started, and of its PostgreSQL, in MB: a page that several share counts in parts."""
    of_postgres = postgres_of(pid)
    own = [pid, *[child for child in descendants(pid) if child not in of_postgres]]
    return {"fliq": sum(map(_pss_mb, own)), "postgres": sum(map(_pss_mb, of_postgres))}


def _pss_mb(pid: int) -> float:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024 / 1e6


def used_by(pid: int) -> float:
    """Return the CPU seconds of *pid* and of everything below it."""
    return cpu_s(pid) + sum(map(cpu_s, descendants(pid)))


class Meter:
    """CPU seconds of each group of processes between two looks: of Fliq, of its PostgreSQL, and of *others*."""

    def __init__(self, fliq_pid: int, **others: int) -> None:
        self._fliq = fliq_pid
        self._others = others
        self._before = self.look()
        self._began_s = time.perf_counter()

    def look(self) -> dict[str, float]:
        """Return what each group has used so far."""
        postgres = sum(map(cpu_s, postgres_of(self._fliq)))
        others = {name: cpu_s(pid) for name, pid in self._others.items()}
        return {"fliq": used_by(self._fliq) - postgres, "postgres": postgres} | others

    def used_s(self) -> dict[str, float]:
        """Return the CPU seconds since the start, by group."""
        now = self.look()
        return {name: now[name] - self._before[name] for name in now}

    def shares(self) -> str:
        """Return what share of one core each group used, as text."""
        took_s = time.perf_counter() - self._began_s
        return "  ".join(f"{name} {used / took_s:.0%}" for name, used in self.used_s().items())
