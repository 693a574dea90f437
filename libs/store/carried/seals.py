"""
Seals: what proves ended jobs whose records were trimmed. A seal is one number for all jobs of a partition that ended in one hour.

    seal       how many they are, and the sum of a 63-bit hash of each: its row, what it called, and its attempts. Successes and
               failures apart, because they are forgotten at different times. The same for each day of `usage_daily`
    carried    all seals stand in the log with each `log.carried`, those of before and those of the hours since: `sealed_before`
    proved     an hour whose rows have these numbers holds what it held when it was sealed

An hour is sealed once it is long over (`MARGIN_MS`): no owner decides ends of it any more. What may change of a job after its end
is not hashed: when its webhook had an outcome, and the positions of records about that. Heartbeats are not sealed: they are
forgotten after an hour.

An hour that begins before the instant up to which jobs like these are forgotten is not proved: the janitor may have begun with it.

A hash must stay the same for as long as its job is kept, whatever build computes it. So it is made of what `rows.carried` would
say of the row: a field that a later build adds is left out while it says the usual.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

from libs.domain.history.floors import Floors
from libs.domain.instants import day_of
from libs.domain.job import JobState, JobStatus
from libs.domain.ledger import Applied, Verdict
from libs.events import LogCarried, RowsCarried
from libs.store.carried.carried_rows import DAYS_OF_USAGE, SEALS, plain_row, state_row
from libs.store.projection.changes import ExecutionRow

HOUR_MS: Final = 3_600_000
MARGIN_MS: Final = (
    3_600_000  # from the end of an hour to the first moment at which it is sealed: clocks differ, appends take time
)
SUCCESS: Final = "success"
FAILED: Final = "failed"
USAGE: Final = "usage"
_MASK: Final = (1 << 63) - 1

_read: Final = msgspec.json.Decoder(tuple[str, int, int, int]).decode

Key = tuple[str, int]  # of a seal: what it is about, and where the hour or the day begins


class Sum(NamedTuple):
    """How many rows, and the sum of their hashes."""

    rows: int = 0
    sum: int = 0

    def plus(self, hashed: int) -> "Sum":
        """Return this with one row more."""
        return Sum(self.rows + 1, (self.sum + hashed) & _MASK)


class Ended(NamedTuple):
    """An ended job, its hash, and how many attempts it had."""

    job: JobState
    hash: int
    attempts: int


class Apart(NamedTuple):
    """An hour or a day whose rows are not what they were."""

    key: Key
    stored: Sum
    sealed: Sum


def sealed_until(at: int) -> int:
    """Return the instant before which all hours may be sealed at the instant *at*."""
    return max(0, at - MARGIN_MS) // HOUR_MS * HOUR_MS


def key_of(job: JobState) -> Key:
    """Return the key of the seal that the ended *job* is in."""
    kind = FAILED if job.status is JobStatus.FAILED else SUCCESS
    return kind, (job.completed_at or 0) // HOUR_MS * HOUR_MS


def hash_of(job: JobState, executions: Iterable[ExecutionRow], spec: bytes | None) -> int:
    """Return the hash of *job*, its attempts by their number, and what it calls as it is stored."""
    parts = [state_row(msgspec.structs.replace(job, webhook_at=None, offsets=())), spec or b""]
    return _hashed(b"\n".join([*parts, *map(plain_row, executions)]))


def summed(found: Iterable[Ended]) -> dict[Key, Sum]:
    """Return the sums of *found*."""
    sums: dict[Key, Sum] = {}
    for each in found:
        key = key_of(each.job)
        sums[key] = sums.get(key, Sum()).plus(each.hash)
    return sums


def add(sums: dict[Key, Sum], more: Mapping[Key, Sum]) -> None:
    """Add *more* to *sums*."""
    for key, found in more.items():
        old = sums.get(key, Sum())
        sums[key] = Sum(old.rows + found.rows, (old.sum + found.sum) & _MASK)


def usage_hash(account: str, day: int, count: int) -> int:
    """Return the hash of a row of `usage_daily`."""
    return _hashed(plain_row((account, day, count)))


def usage_before(before: int) -> int:
    """Return the first day whose usage is not sealed if the hours before *before* are."""
    return day_of(before) - DAYS_OF_USAGE


def _hashed(row: bytes) -> int:
    return int.from_bytes(blake2b(row, digest_size=8).digest(), "big") & _MASK


def seal_row(key: Key, found: Sum) -> tuple[str, int, int, int]:
    """Return how a seal is carried."""
    return (*key, *found)


def is_kept(key: Key, floors: Floors) -> bool:
    """Say whether no row of the seal is forgotten."""
    kind, start = key
    return kind == USAGE or start >= (floors.failed_before if kind == FAILED else floors.success_before)


def apart(sealed: Mapping[Key, Sum], stored: Mapping[Key, Sum], floors: Floors) -> Iterator[Apart]:
    """Yield the seals that *stored*, the sums of the rows of all hours that are sealed, does not fit."""
    for key in sorted(sealed.keys() | stored.keys()):
        said, found = sealed.get(key, Sum()), stored.get(key, Sum())
        if said != found and is_kept(key, floors):
            yield Apart(key, found, said)


class Seals:
    """The newest seals in the log, as a fold of its records."""

    def __init__(self) -> None:
        """Start with nothing sealed."""
        self.before = 0
        self.known: dict[Key, Sum] = {}
        self._coming: dict[int, dict[Key, Sum]] = {}

    def take(self, applied: Applied) -> None:
        """Take in what one record did."""
        event = applied.event
        if applied.verdict is not Verdict.APPLIED:
            return
        if isinstance(event, RowsCarried) and event.table == SEALS:
            self.read(event.begin, event.rows)
        elif isinstance(event, LogCarried):
            self.end(event)

    def read(self, begin: int, rows: Sequence[msgspec.Raw]) -> None:
        """Read carried seals; they count once their end is read, too."""
        coming = self._coming.setdefault(begin, {})
        for kind, start, count, total in map(_read, rows):
            coming[kind, start] = Sum(count, total)

    def end(self, event: LogCarried) -> None:
        """Take over what was carried until *event*."""
        self.known, self.before = self._coming.pop(event.begin, {}), event.sealed_before
        self._coming.clear()
