"""
Sealed rows: compares the ended jobs of a partition with the seals in its log (libs/store/carried/seals.py).

This proves the rows of jobs whose records were trimmed, with what these jobs called, their attempts and their labels. An hour whose
rows are not what they were is one difference: nothing can say which row it is.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from libs.domain.instants import day_of, rfc3339
from libs.store.carried import sealer, seals
from libs.store.carried.seals import Apart, Ended, Key, Sum
from libs.store.projection.changes import LabelRow
from libs.store.rebuild.difference import Differences
from libs.store.rebuild.older_rows import Older
from libs.store.rebuild.replay import Replay

TABLE: Final = "seals"


class SealedRows:
    """The sealed rows of the partition that *replay* folded."""

    def __init__(self, replay: Replay) -> None:
        """Nothing is read before `compare`."""
        self.labels: set[LabelRow] = set()  # of jobs that the fold does not have, and whose hour is sealed
        self.proved = 0  # rows that the fold does not have, and that are what they were
        self._replay = replay
        self._older = Older.than(replay.beginning)
        self._rows: Counter[Key] = Counter()

    async def compare(self, connection: Any, found: Differences) -> None:
        """Sum up the rows that *connection* sees, in a transaction, and add to *found* the hours and days that differ."""
        replay = self._replay
        before, partition = replay.seals.before, replay.partition
        if not before:
            return
        sums: dict[Key, Sum] = {}
        async for batch in sealer.ended(connection, partition, 0, before):
            seals.add(sums, seals.summed(batch))
            for each in batch:
                self._count(each)
        usage = await sealer.usage(connection, partition, 0, before)
        seals.add(sums, usage)
        self._rows.update({key: each.rows for key, each in usage.items() if self._older.has_day(day_of(key[1]))})
        apart = {each.key: each for each in seals.apart(replay.seals.known, sums, replay.ledger.floors)}
        for key, changed in apart.items():
            found.add(partition, TABLE, _name(key), "changed", _columns(changed))
        self.proved = sum(
            count
            for key, count in self._rows.items()
            if key not in apart and key in replay.seals.known and seals.is_kept(key, replay.ledger.floors)
        )

    def _count(self, ended: Ended) -> None:
        job = ended.job
        key = seals.key_of(job)
        if job.job_id in self._replay.ledger.states or not seals.is_kept(key, self._replay.ledger.floors):
            return
        self.labels |= {LabelRow(job.account, *label, job.job_id) for label in job.labels.items()}
        has_own_spec = job.spec_id == job.job_id
        self._rows[key] += 1 + ended.attempts + len(job.labels) + has_own_spec


async def sealed_differences(connection: Any, replays: Iterable[Replay]) -> Differences:
    """Return the hours and days of *replays* whose rows, as *connection* sees them, are not what they were."""
    found = Differences()
    for replay in replays:
        await SealedRows(replay).compare(connection, found)
    return found


def _name(key: Key) -> str:
    kind, start = key
    if kind == seals.USAGE:
        return f"the day that began at {rfc3339(start)}, executions"
    return f"the hour that began at {rfc3339(start)}, {'failures' if kind == seals.FAILED else 'successes'}"


def _columns(each: Apart) -> dict[str, tuple[Any, Any]]:
    return {
        name: (getattr(each.stored, name), getattr(each.sealed, name))
        for name in Sum._fields
        if getattr(each.stored, name) != getattr(each.sealed, name)
    }
