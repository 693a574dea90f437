"""Log ends: where partitions end, asked together, so that one which does not answer costs the others nothing but a bounded wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from libs.log.port import Log, LogError


async def ends_of(log: Log, partitions: Sequence[int], timeout_s: float) -> dict[int, int]:
    """Return the ends of those of *partitions* that *log* says within *timeout_s*; the others are left out."""
    if len(partitions) == 1:
        try:
            async with asyncio.timeout(timeout_s):
                return {partitions[0]: await log.end(partitions[0])}
        except (LogError, TimeoutError):
            return {}
    asking = {partition: asyncio.ensure_future(log.end(partition)) for partition in partitions}
    try:
        await asyncio.wait(asking.values(), timeout=timeout_s)
    finally:
        late = [each for each in asking.values() if each.cancel()]
        if late:
            await asyncio.wait(late)
    ends: dict[int, int] = {}
    for partition, asked in asking.items():
        if asked.cancelled():
            continue
        try:
            ends[partition] = asked.result()
        except (LogError, TimeoutError):
            continue
    return ends
