"""Where partitions end, asked of the log for many partitions at once; and where in a partition an instant is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from libs.log.port import Log, LogError


async def all_ends(log: Log, partitions: Iterable[int] | None = None) -> dict[int, int]:
    """Return the end of each of *partitions*, all of them by default; raises what `Log.end` raises if one does not answer."""
    wanted = list(range(await log.partitions()) if partitions is None else partitions)
    ends = await asyncio.gather(*[log.end(partition) for partition in wanted])
    return dict(zip(wanted, ends, strict=True))


async def ends_of(log: Log, partitions: Sequence[int], timeout_s: float) -> tuple[dict[int, int], Exception | None]:
    """
    Return the ends that *log* gives within *timeout_s*, and why an end is missing.

    The reason is `TimeoutError` if any partition has not answered in time, else what an answer raised; None if all are there.
    """
    if len(partitions) == 1:  # the way of nearly every read of the API: no task, no set of futures
        try:
            async with asyncio.timeout(timeout_s):
                return {partitions[0]: await log.end(partitions[0])}, None
        except (LogError, TimeoutError) as error:
            return {}, error
    asking = {partition: asyncio.ensure_future(log.end(partition)) for partition in partitions}
    try:
        await asyncio.wait(asking.values(), timeout=timeout_s)
    finally:
        late = [each for each in asking.values() if each.cancel()]
        if late:
            await asyncio.wait(late)
    ends: dict[int, int] = {}
    reason: Exception | None = TimeoutError("no answer in time") if late else None
    for partition, asked in asking.items():
        if asked.cancelled():
            continue
        try:
            ends[partition] = asked.result()
        except (LogError, TimeoutError) as error:
            reason = reason or error
    return ends, reason


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
