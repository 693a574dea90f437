"""What the stream of events reads of the tables, over the dictionaries of the contract tests' harness."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from libs.domain.ledger import Ledger
from libs.store.reads.partition_tables import TablePosition
from libs.store.reads.stream_tables import StreamFacts


class FakeStreamTables:
    """As `StreamTables`; *tables* has jobs and schedules by id; *asked* counts the look-ups."""

    def __init__(self, ledgers: Sequence[Ledger], tables: Any) -> None:
        self._ledgers = ledgers
        self._tables = tables
        self.asked = 0

    async def positions(self) -> dict[int, TablePosition]:
        return {ledger.partition: (ledger.position, ledger.claim) for ledger in self._ledgers}

    async def facts_of(self, partition: int, ids: Collection[str]) -> tuple[int, dict[str, StreamFacts]]:
        self.asked += 1
        found = {}
        for each in ids:
            if (job := self._tables.jobs.get(each)) is not None:
                found[each] = StreamFacts(job.account, job.schedule_id, dict(job.labels), 0)
            elif (schedule := self._tables.schedules.get(each)) is not None:
                labels = dict((schedule.more.labels if schedule.more is not None else None) or {})
                found[each] = StreamFacts(schedule.account, each, labels, schedule.changed_at)
        return self._ledgers[partition].position, found
