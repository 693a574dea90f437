"""Fetching records from the brokers: at once for readers that are behind, as they arrive for readers that wait."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import structlog
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.protocol.fetch import FetchRequest

from libs.log.error_line import line
from libs.log.kafka.connection import BROKER_ERRORS, Connection, NotNow, Reachability, check
from libs.log.kafka.records import parse
from libs.log.port import LogError, Record
from libs.log.recent_records import RecentRecords

READ_BYTES_MAX: Final = 8_000_000
READ_BYTES_MIN: Final = 65_536  # a broker gives at least one batch, however large
RECORD_BYTES_GUESS: Final = 4_096
FOLLOW_BYTES_MAX: Final = 1_048_576  # per partition
# How long a broker holds a request that finds no records. A partition that is not in that request waits as long, too.
FOLLOW_WAIT_MS: Final = 200
# Between an answer and the next request, so that records of one moment come together: waking broker and process costs most.
FOLLOW_PACE_S: Final = 0.005
FOLLOW_FAILED_S: Final = 0.25
FOLLOWED_S: Final = 5.0  # for how long a partition is followed after a reader waited for it
LEADERS_CHECK_S: Final = 1.0  # how often leaders that moved are noticed, at the latest

_log = structlog.get_logger("log")


class OutOfRange(Exception):
    """The leader says that the position is not in the partition."""


async def fetch(connection: Connection, partition: int, position: int, max_records: int) -> tuple[list[Record], int]:
    """
    Return up to *max_records* records from *position* on, and the end of the partition.

    Raises:
        OutOfRange: *position* is before begin, or beyond the records of the replicas.
        LogError: the records are damaged.
        NotNow, BROKER_ERRORS: ask again.
    """
    leader = connection.leader_now(partition)
    size = min(READ_BYTES_MAX, max(READ_BYTES_MIN, max_records * RECORD_BYTES_GUESS))
    topics = [(connection.topic, [(partition, position, size)])]
    answer = await connection.send(leader, FetchRequest(0, 0, size, 0, topics))
    for _, partitions in answer.topics:
        for found in partitions:
            _check(partition, found[1])
            return parse(found[-1] or b"", partition, position, max_records), found[2]
    raise NotNow("no records in the answer")


class Follower:
    """
    Fetches what other processes append, while a reader waits for it: one request per broker, held there until records arrive.

    Args:
        connection: used for nothing else: a broker answers the requests of a connection in turn, and these take long.
        recents: of all partitions; they get the fetched records.
        reachability: is told whether the cluster answers.
    """

    def __init__(self, connection: Connection, recents: Sequence[RecentRecords], reachability: Reachability) -> None:
        self._reachability = reachability
        self._connection = connection
        self._recents = recents
        self._until = [float("-inf")] * len(recents)  # by the loop's clock: until when a partition is followed
        self._wanted = asyncio.Event()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._stale = False
        # By partition: a reader that waited sees whether there was an answer meanwhile.
        self.answers = [0] * len(recents)

    def watch(self, partition: int) -> None:
        """Follow *partition* for the next `FOLLOWED_S`."""
        now = asyncio.get_running_loop().time()
        if self._until[partition] < now:
            self._wanted.set()
        self._until[partition] = now + FOLLOWED_S

    async def run(self) -> None:
        """Keep one task for each broker that leads a followed partition; run until cancelled."""
        try:
            while True:
                try:
                    async with asyncio.timeout(LEADERS_CHECK_S):
                        await self._wanted.wait()
                except TimeoutError:
                    pass  # check anyway
                self._wanted.clear()
                followed = self._followed()
                leaders = {self._connection.leader(partition) for partition in followed}
                if self._stale or None in leaders:
                    self._stale = False
                    await self._connection.refresh()
                    leaders = {self._connection.leader(partition) for partition in followed}
                for leader in leaders:
                    if leader is not None and (leader not in self._tasks or self._tasks[leader].done()):
                        self._tasks[leader] = asyncio.create_task(self._follow(leader))
        finally:
            for task in self._tasks.values():
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks.values())

    def _followed(self) -> list[int]:
        now = asyncio.get_running_loop().time()
        return [
            partition
            for partition, recent in enumerate(self._recents)
            if recent.has_readers or self._until[partition] > now
        ]

    async def _follow(self, node: int) -> None:
        """Fetch from *node* while it leads a followed partition."""
        while True:
            parts = [part for part in self._followed() if self._connection.leader(part) == node]
            if not parts:
                self._reachability.answered(f"broker {node}")
                return
            try:
                complete = await self._fetch(node, parts)
            except BROKER_ERRORS as error:
                self._reachability.failed(f"broker {node}", error)
                complete = False
            except Exception:  # noqa: BLE001 - as said below
                # A defect. If the follower ended, no reader would ever see what other processes write.
                _log.exception("log_poll_failed")
                complete = False
            if complete:
                self._reachability.answered(f"broker {node}")
                await asyncio.sleep(FOLLOW_PACE_S)
            else:
                self._stale = True
                self._wanted.set()
                await asyncio.sleep(FOLLOW_FAILED_S)

    async def _fetch(self, node: int, parts: list[int]) -> bool:
        asked = [(part, self._recents[part].known_end, FOLLOW_BYTES_MAX) for part in parts]
        request = FetchRequest(FOLLOW_WAIT_MS, 1, READ_BYTES_MAX, 0, [(self._connection.topic, asked)])
        answer = await self._connection.send(node, request)
        complete = True
        for _, partitions in answer.topics:
            for found in partitions:
                complete = self._take(found) and complete
        return complete

    def _take(self, found: Any) -> bool:
        part, data, recent = found[0], found[-1], self._recents[found[0]]
        try:
            _check(part, found[1])
            # The records that this process wrote meanwhile are kept already.
            records = parse(data, part, recent.known_end, 1_000_000) if data and found[2] > recent.known_end else []
        except (NotNow, OutOfRange, LogError) as error:
            if not isinstance(error, NotNow):
                _log.error("log_damaged", partition=part, error=line(error) or "the position is not in the log")
                recent.wake()  # readers then fetch for themselves, and get the error
            return False
        self.answers[part] += 1
        if records:
            recent.add(records)
        return True


def _check(partition: int, code: int) -> None:
    if code == OffsetOutOfRangeError.errno:
        raise OutOfRange
    check(code, f"partition {partition}")
