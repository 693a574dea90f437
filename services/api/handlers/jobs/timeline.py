"""
Timeline: the records of one job, read back from the log by their positions.

The events of an attempt stand close together, so one read brings neighbours. The reads follow one another: a log serves one
reader after the other with records that are not in memory, and the services that follow the log must not wait for a whole timeline.
"""

from collections.abc import Iterable
from typing import Final

from libs.log.port import Log, Record

SPAN: Final = 32  # most records of one read; records between two events of the job are read and dropped


async def records_at(log: Log, partition: int, positions: Iterable[int]) -> list[Record]:
    """
    Return the records of *partition* at *positions*, oldest first; missing ones are left out.

    Raises:
        LogError: as `Log.read`.
    """
    found: list[Record] = []
    pending = sorted(set(positions))
    while pending:
        first = pending[0]
        wanted = {position for position in pending if position < first + SPAN}
        records = await log.read(partition, first, max_records=max(wanted) - first + 1)
        found += [record for record in records if record.position in wanted]
        reached = records[-1].position if records else first
        pending = [position for position in pending if position > reached]
    return found
