"""
RecentRecords: the newest records of one partition that this process wrote or read, and the readers that wait for more.

Readers in the same process as the writer find new records here, so they need not ask the database or the broker.

    first          next                 known_end
      |              |                      |
     [40][41][42][43] .  .  .  .  .  .  .  .       kept: the newest records this process has seen, without gaps
                                                   known_end: every position before it is written and final

Invariants: the kept records have no gaps; next <= known_end; known_end never goes back. Records and bytes are bounded: the oldest
records are dropped first. `let_go` bounds their age, so that nothing of a burst is kept for ever.
Cost: `add` O(records) amortised, `slice` O(records returned).
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from libs.log.port import LogUnavailable, Record


class RecentRecords:
    """
    The newest records of one partition.

    Args:
        max_records, max_bytes: how much is kept; bytes count values only.
    """

    def __init__(self, *, max_records: int, max_bytes: int) -> None:
        self.known_end = 0
        self.begin = 0
        self._fetch_lock = asyncio.Lock()
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._first = 0
        self._records: list[Record] = []
        self._bytes = 0
        self._readers: set[asyncio.Future[None]] = set()
        self._let_go_until = 0  # what was kept already at the last `let_go` goes with the next one

    @property
    def next(self) -> int:
        """The position after the newest record kept."""
        return self._first + len(self._records)

    @property
    def has_readers(self) -> bool:
        """Whether a reader waits for more."""
        return bool(self._readers)

    def add(self, records: Sequence[Record]) -> None:
        """Keep *records*, which must have no gaps. Records that are kept already are not added again."""
        position = records[0].position
        held_until = self.next
        if position == held_until:
            self._records += records
            self._bytes += _size(records)
        elif position > held_until or not self._records:
            self._records = list(records)
            self._first = position
            self._bytes = _size(records)
        elif position + len(records) > held_until:
            fresh = records[held_until - position :]
            self._records += fresh
            self._bytes += _size(fresh)
        self._shrink()
        self.see(self.begin, self.next)

    def see(self, begin: int, end: int) -> None:
        """Note where the partition begins and ends. If there are new records, wake the readers."""
        self.begin = max(begin, self.begin)
        if end > self.known_end:
            self.known_end = end
            self.wake()

    def slice(self, position: int, max_records: int) -> list[Record] | None:
        """Return the records from *position* on, at least one, or None if the record at *position* is not kept."""
        index = position - self._first
        if 0 <= index < len(self._records) and position >= self.begin:
            return self._records[index : index + max_records]
        return None

    async def wait_beyond(self, position: int, wait_s: float) -> None:
        """Return when *position* is known to be written, when `wake` is called, or after *wait_s*, whichever is first."""
        if position < self.known_end:
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._readers.add(woken)
        try:
            async with asyncio.timeout(wait_s):
                await woken
        except TimeoutError:
            pass  # no new record came in time
        finally:
            self._readers.discard(woken)

    @asynccontextmanager
    async def fetching(self, timeout_s: float, server: str) -> AsyncIterator[None]:
        """
        Enter when no other reader fetches: one reader fetches new records, the others then find them here.

        Raises:
            LogUnavailable: the other reader got no answer from *server* within *timeout_s*.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._fetch_lock.acquire()
        except TimeoutError as error:
            raise LogUnavailable(f"{server} does not answer in time") from error
        try:
            yield
        finally:
            self._fetch_lock.release()

    def let_go(self) -> int:
        """Drop what was kept already when this was called before, and return how many. Who still needs a record asks the server."""
        kept = len(self._records)
        self._drop(max(0, self._let_go_until - self._first))
        self._let_go_until = self.next
        return kept - len(self._records)

    @property
    def count(self) -> int:
        """How many records are kept."""
        return len(self._records)

    def wake(self) -> None:
        """Wake all readers that wait."""
        readers, self._readers = self._readers, set()
        for reader in readers:
            if not reader.done():
                reader.set_result(None)

    def _shrink(self) -> None:
        records, dropped = self._records, 0
        # Drop many records at once: each time, the rest of the list must be moved to the front.
        if len(records) > self._max_records:
            dropped = len(records) - self._max_records * 3 // 4
        excess = self._bytes - self._max_bytes
        if excess > 0:
            excess += self._max_bytes // 4
            freed = 0
            for index, record in enumerate(records):
                if freed >= excess and index >= dropped:
                    break
                freed += len(record.envelope.value)
                dropped = max(dropped, index + 1)
        self._drop(dropped)

    def _drop(self, count: int) -> None:
        dropped = self._records[:count]
        self._bytes -= _size(dropped)
        del self._records[:count]
        self._first += len(dropped)


def _size(records: Sequence[Record]) -> int:
    return sum([len(record.envelope.value) for record in records])
