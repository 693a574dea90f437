"""Selection: which records of the log a command shows. Pure."""

import argparse
import re
from typing import Final

import msgspec

from libs.events.ids import is_id, partition_of
from libs.log.port import Record
from services.api.contract.instants import parse_instant

_AGO: Final = re.compile(r"(\d{1,9})(ms|s|m|h|d)", re.ASCII)
_UNITS_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class When(msgspec.Struct, frozen=True):
    """An instant as it was asked for: *ms* since 1970, or before now when *is_ago*."""

    ms: int
    is_ago: bool

    def at(self, now: int) -> int:
        """Return the instant, in ms since 1970."""
        return now - self.ms if self.is_ago else self.ms


def when(text: str) -> When:
    """Read `10m` (also ms, s, h, d) or an RFC 3339 instant; raises argparse's error for anything else."""
    if match := _AGO.fullmatch(text):
        return When(int(match[1]) * _UNITS_MS[match[2]], is_ago=True)
    at = parse_instant(text)
    if at is None:
        raise argparse.ArgumentTypeError(f"{text!r} is neither an RFC 3339 instant nor a time ago such as 10m")
    return When(at, is_ago=False)


def job_id(text: str) -> str:
    """Read a job's id; raises argparse's error for anything else."""
    return _id(text, "job", "a job")


def schedule_id(text: str) -> str:
    """Read a schedule's id; raises argparse's error for anything else."""
    return _id(text, "sched", "a schedule")


def _id(text: str, kind: str, words: str) -> str:
    if not is_id(text, kind):
        raise argparse.ArgumentTypeError(f"{text!r} is not the id of {words}")
    return text


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """
    Which records are shown; a field that is None selects all.

    Args:
        job, schedule: an id. The first record of a job that a schedule created is the schedule's tick.
        types: names of record types.
        partition: its number; if an id is given, the partition in the id is used.
        since, until: instants at which the log took the record, both included.
        from_position: the first position.
    """

    job: str | None = None
    schedule: str | None = None
    types: frozenset[str] | None = None
    partition: int | None = None
    since: int | None = None
    until: int | None = None
    from_position: int | None = None

    @property
    def only_partition(self) -> int | None:
        """The only partition that can hold the records; None if every partition can."""
        subject = self.job or self.schedule
        return self.partition if subject is None else partition_of(subject)

    def takes(self, record: Record) -> bool:
        """Whether *record* is selected; its partition is not checked."""
        if self.since is not None and record.at < self.since:
            return False
        if self.until is not None and record.at > self.until:
            return False
        if self.from_position is not None and record.position < self.from_position:
            return False
        envelope = record.envelope
        if self.types is not None and envelope.type not in self.types:
            return False
        if self.schedule is not None and envelope.key != self.schedule:
            return False
        if self.job is None or envelope.key == self.job:
            return True
        # The key of a tick is its schedule; the tick names the job that it created.
        return envelope.type == "schedule.ticked" and self.job.encode() in envelope.value
