"""Failure groups: failed jobs by host, status and error. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from services.console.showing import host, instant_ms

SPANS: Final = 24  # bars of a sparkline


class Group(NamedTuple):
    """Failed jobs alike; *bars* counts them over time, oldest first."""

    host: str
    code: int | None
    error: str
    jobs: tuple[Mapping[str, Any], ...]
    first_at: str
    last_at: str
    bars: tuple[int, ...]


def group_key(job: Mapping[str, Any]) -> tuple[str, int | None, str]:
    """Return what a failed *job* has in common with those that failed alike."""
    return host(job["url"]), job["last_status_code"], job["last_error"] or job.get("ended_by") or "no reason given"


def groups_of(jobs: Iterable[Mapping[str, Any]]) -> list[Group]:
    """Return failed *jobs* in groups, the largest first."""
    found: dict[tuple[str, int | None, str], list[Mapping[str, Any]]] = defaultdict(list)
    for job in jobs:
        found[group_key(job)].append(job)
    ends = [instant_ms(ended_at(job)) for each in found.values() for job in each]
    first, last = min(ends, default=0), max(ends, default=0)
    groups = []
    for key, each in found.items():
        each.sort(key=ended_at, reverse=True)
        groups.append(
            Group(*key, tuple(each), ended_at(each[-1]), ended_at(each[0]), _bars(each, first=first, last=last))
        )
    return sorted(groups, key=lambda group: (-len(group.jobs), group.last_at))


def failed_by_host(jobs: Iterable[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """Return how many of *jobs* failed at each host, the most first."""
    return Counter(host(job["url"]) for job in jobs).most_common(6)


def ended_at(job: Mapping[str, Any]) -> str:
    """Return the instant at which *job* ended."""
    return str(job["completed_at"] or job["created_at"])


def _bars(jobs: Iterable[Mapping[str, Any]], *, first: int, last: int) -> tuple[int, ...]:
    width = max(1, (last - first) // SPANS + 1)
    counts = Counter((instant_ms(ended_at(job)) - first) // width for job in jobs)
    return tuple(counts[index] for index in range(SPANS))
