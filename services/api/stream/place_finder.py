"""
Place finder: where a stream begins: now, at an instant, or where an earlier one was.
"""

from __future__ import annotations

import asyncio
from typing import Final

from libs.events import OwnerClaimed, read
from libs.log.ends import first_at
from libs.log.port import Log, LogDamaged
from services.api.contract.api_error import ApiError, bad
from services.api.stream.place import Place, Places, claim_before
from services.api.stream.tail import Tail

AT_ONCE: Final = 8  # partitions in which an instant is looked for at once
BATCH: Final = 500
LOOKED_MAX: Final = 10_000  # records read to see whose decisions count where a stream begins


def too_old() -> ApiError:
    """Return the 410."""
    return ApiError(410, "too_old", "the log does not begin so early any more: begin without Last-Event-ID and since")


class PlaceFinder:
    """Finds where streams begin; *tail* runs meanwhile."""

    def __init__(self, log: Log, tail: Tail, places: Places) -> None:
        self._log = log
        self._tail = tail
        self._places = places

    def now(self) -> list[Place]:
        """Return where the tail is."""
        return [recent.place for recent in self._tail.recent]

    async def resumed(self, text: str, account: str) -> list[Place]:
        """
        Return the places that *text*, the `Last-Event-ID` of an earlier stream of *account*, stands for.

        Raises:
            ApiError: 400 if it is none, 410 if the log does not go back so far any more, or is another one.
            LogError: the log does not answer.
        """
        found = self._places.read(text, account)
        if found is None:
            raise bad("invalid_last_event_id", "Last-Event-ID is not one that a stream of this account had")
        count = len(self._tail.recent)
        places = [*found[:count], *[(-1, None)] * (count - len(found))]  # partitions that are new since then
        begins = await asyncio.gather(*[self._log.begin(partition) for partition in range(count)])
        ends = await asyncio.gather(*[self._log.end(partition) for partition in range(count)])
        if any(not begin - 1 <= place[0] < end for place, begin, end in zip(places, begins, ends, strict=True) if end):
            raise too_old()
        return places

    async def since(self, at: int) -> list[Place]:
        """
        Return the places of the instant *at*, in ms since 1970.

        Raises:
            ApiError: 410 if the log does not go back so far any more.
            LogError: the log does not answer.
        """
        places: list[Place] = []
        count = len(self._tail.recent)
        for first in range(0, count, AT_ONCE):
            partitions = range(first, min(first + AT_ONCE, count))
            places += await asyncio.gather(*[self._since(partition, at) for partition in partitions])
        return places

    async def _since(self, partition: int, at: int) -> Place:
        recent = self._tail.recent[partition]
        end, newest = recent.position + 1, recent.claim
        begin = await self._log.begin(partition)
        try:
            first = await first_at(self._log, partition, at, begin, end)
            if first == begin:
                if begin > 0:
                    raise too_old()
                return -1, None
            if first >= end:
                return recent.position, newest
            stamps: list[str] = []
            for start in range(first, min(end, first + LOOKED_MAX), BATCH):
                for record in await self._log.read(partition, start, max_records=min(BATCH, end - start)):
                    item = read(partition, record.envelope) if record.envelope.type == "owner.claimed" else None
                    if isinstance(item, OwnerClaimed):
                        return first - 1, claim_before(stamps, item.epoch)
                    if record.envelope.claim is not None:
                        stamps.append(record.envelope.claim)
        except LogDamaged:
            raise too_old() from None  # it was trimmed meanwhile
        # If the log's end was reached, no claim has come since.
        return first - 1, newest if end - first <= LOOKED_MAX else claim_before(stamps, None)
