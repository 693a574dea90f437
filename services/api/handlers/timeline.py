"""
Timeline: the records of one job, read back from the log by their positions.

The events of an attempt stand close together, so neighbours come with one read. One read at a time: a log lets one reader after the
other at what is no longer at hand, and whoever follows the log must not wait behind all the records of somebody's timeline.
"""

from collections.abc import Iterable
from typing import Final

from libs.log.port import Log, Record

SPAN: Final = 32  # records that one read brings at most; what stands between two events of a job is read and dropped


async def records_at(log: Log, partition: int, positions: Iterable[int]) -> list[Record]:
    """
    Return the records of *partition* at *positions*, oldest first; those that are not there are left out.

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
