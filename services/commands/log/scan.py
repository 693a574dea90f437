"""
Scan: the records of a partition that are asked for, with as little reading as their selection allows.

The log has one order, that of positions. Times are found by halving: the log takes records one after the other, so their times
grow, but for steps of a clock. `MARGIN_MS` more is read on both sides for that.
"""

from collections.abc import AsyncIterator, Callable
from typing import Final

from libs.events.ids import instant_of
from libs.log.port import Log, Record
from services.commands.log.selection import Selection

BATCH: Final = 1_000
MARGIN_MS: Final = 600_000  # by which a clock may have been set back, or an id be older than its first record
BACK_STEP: Final = 500
BACK_MAX: Final = 20_000  # records looked at, from the end, for the last few that are asked for

OnRead = Callable[[int], None]


async def bounds(log: Log, partition: int, selection: Selection) -> tuple[int, int]:
    """Return the first position worth reading in *partition*, and the one before which to stop."""
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


async def first_at(log: Log, partition: int, at: int, begin: int, end: int) -> int:
    """Return the position from *begin* to *end* of the first record that the log took at *at* or later; O(log n) reads."""
    while begin < end:
        middle = (begin + end) // 2
        found = await log.read(partition, middle, max_records=1)
        if found and found[0].at < at:
            begin = middle + 1
        else:
            end = middle
    return begin


async def records(
    log: Log, partition: int, first: int, end: int, selection: Selection, *, on_read: OnRead = lambda count: None
) -> AsyncIterator[Record]:
    """Yield the records that *selection* takes from position *first* on, before *end*."""
    position = first
    while position < end:
        batch = await log.read(partition, position, max_records=min(BATCH, end - position))
        if not batch:
            return  # shorter than it said: trimmed meanwhile, or damaged; what reads it for good says so
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
