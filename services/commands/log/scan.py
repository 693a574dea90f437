"""
Scan: finds the selected records of a partition with few reads.

A partition is ordered by position. A time is found by binary search, because later records have later times, unless a clock was
set back. For that case `MARGIN_MS` more is read on both sides.
"""

from collections.abc import AsyncIterator, Callable
from typing import Final

from libs.events.ids import instant_of
from libs.log.ends import first_at
from libs.log.port import Log, Record
from services.commands.log.selection import Selection

BATCH: Final = 1_000
MARGIN_MS: Final = (
    600_000  # a clock may have been set back by so much, or an id may be so much older than its first record
)
BACK_STEP: Final = 500
BACK_MAX: Final = 20_000  # records read, from the end backwards, to find the last few that are selected

OnRead = Callable[[int], None]


async def bounds(log: Log, partition: int, selection: Selection) -> tuple[int, int]:
    """Return the first position of *partition* to read, and the position to stop before."""
    begin, end = await log.begin(partition), await log.end(partition)
    since = selection.since
    if selection.job is not None:
        since = max(since or 0, instant_of(selection.job))
    elif selection.schedule is not None:
        since = max(since or 0, instant_of(selection.schedule))
    first = begin if since is None else await first_at(log, partition, since - MARGIN_MS, begin, end)
    if selection.until is not None:
        end = await first_at(log, partition, selection.until + MARGIN_MS, first, end)
    return max(first, selection.from_position or 0), end


async def records(
    log: Log, partition: int, first: int, end: int, selection: Selection, *, on_read: OnRead = lambda count: None
) -> AsyncIterator[Record]:
    """Yield the records from *first* on, and before *end*, that *selection* takes."""
    position = first
    while position < end:
        batch = await log.read(partition, position, max_records=min(BATCH, end - position))
        if not batch:
            return  # the log was trimmed meanwhile or is damaged; the services report that
        for record in batch:
            if selection.takes(record):
                yield record
        position = batch[-1].position + 1
        on_read(len(batch))


async def last(log: Log, partition: int, end: int, selection: Selection, count: int) -> list[Record]:
    """Return the last *count* records before *end* that *selection* takes, of the last `BACK_MAX`, in order."""
    found: list[Record] = []
    begin = max(await log.begin(partition), end - BACK_MAX, selection.from_position or 0)
    while end > begin and len(found) < count:
        start = max(begin, end - BACK_STEP)
        step = [record async for record in records(log, partition, start, end, selection)]
        found = step + found
        end = start
    return found[-count:] if count else []
