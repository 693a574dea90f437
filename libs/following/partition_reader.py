"""
Partition reader: reads one partition of the log under one lease.

    begin   the service says from which position, and under which claim, to read on
    take    after each read, the service gets the admitted events of the types that it wants, and the position reached
    again   after any error the reader waits, longer each time up to 5 s, and begins again

If a gap, a damaged log, or an unknown record that must be understood comes next, the reader stops in front of it. It tries
again and never skips it. In the last case FollowingService gives the lease up, so that a process of a newer build can take it.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

import structlog

from libs.domain.ledger import MustUnderstand
from libs.domain.reader_fold import ReaderFold
from libs.events import Claim, Event
from libs.following.partition_trouble import STARTING, PartitionTrouble, trouble_of
from libs.following.ports import PoisonMeter
from libs.log.port import READ_WAIT_S, Log
from libs.runtime.clock import Clock
from libs.runtime.pace import Pace

READ_MAX: Final = 100  # records in one round of the loop: about 2 ms
RETRY_FIRST_MS: Final = 100
RETRY_MAX_MS: Final = 5_000


class Wanted(NamedTuple):
    """An admitted event of a type that the service wants, its position, and the claim admitted there."""

    position: int
    event: Event
    claim: Claim | None


class ReaderContext(NamedTuple):
    """
    What all readers of one service share.

    Args:
        role: the name of the service's logger.
        gather_ms: the least time between two reads of a partition.
    """

    role: str
    event_log: Log
    clock: Clock
    meter: PoisonMeter
    gather_ms: int


class BeginAgain(Exception):
    """Raised by `take` to have the reader begin again at once; not an error."""


class PartitionReader(ABC):
    """Reads one partition; a service says in a subclass how to begin and what to do with the events."""

    wanted_from: Mapping[str, int] = MappingProxyType({})  # see ReaderFold

    def __init__(self, partition: int, context: ReaderContext, *, wanted: frozenset[str]) -> None:
        """Prepare to read *partition*; *wanted* are the stored names of the events that the service wants."""
        self.partition = partition
        self.position = -1  # the last position read
        self.trouble: PartitionTrouble | None = STARTING
        self.stopped_before: tuple[int, str] | None = (
            None  # position and name of a record that only a newer build knows
        )
        self.read_wait_s = READ_WAIT_S  # how long a read waits for a record
        self.is_behind = False  # the last read found as many records as it may
        self._furthest = -1
        self._wanted = wanted
        self._log = context.event_log
        self._clock = context.clock
        self._gather_ms = context.gather_ms
        self._count_poison = context.meter.poison
        self._logger = structlog.get_logger(context.role)

    @abstractmethod
    async def begin(self) -> tuple[int, Claim | None]:
        """Return the position behind which to read on, and the claim admitted there."""

    @abstractmethod
    async def take(self, wanted: Sequence[Wanted], position: int, claim: Claim | None) -> None:
        """
        Take over what the last read found, also if that was nothing.

        Args:
            wanted: the events, in the order of the log.
            position: the last position read.
            claim: the claim admitted there.

        Raises:
            BeginAgain: the reader is to begin again.
        """

    async def run(self) -> None:
        """Read until cancelled."""
        retry_ms = RETRY_FIRST_MS
        while True:
            furthest = self._furthest
            try:
                self.position, claim = await self.begin()
                if self.trouble is STARTING:
                    self.trouble = None
                await self._read_on(
                    ReaderFold(
                        self.partition,
                        wanted=self._wanted,
                        wanted_from=self.wanted_from,
                        position=self.position,
                        claim=claim,
                    )
                )
            except BeginAgain:
                continue
            except Exception as error:  # noqa: BLE001 - whatever log and tables raise, the partition is read on later
                self._note_trouble(trouble_of(error))
            if self._furthest > furthest:
                retry_ms = RETRY_FIRST_MS  # it had moved on since the last error
            await self._clock.pause(retry_ms)
            retry_ms = min(retry_ms * 2, RETRY_MAX_MS)

    async def _read_on(self, fold: ReaderFold) -> None:
        pace = Pace(self._clock, self._gather_ms)
        while True:
            await pace.turn()
            records = await self._log.read(
                self.partition, fold.position + 1, max_records=READ_MAX, wait_s=self.read_wait_s
            )
            self.is_behind = len(records) == READ_MAX
            if self.is_behind:
                pace.skip()
            wanted: list[Wanted] = []
            try:
                for position, _, envelope in records:
                    try:
                        event = fold.take(position, envelope)
                    except MustUnderstand as error:
                        self.stopped_before = position, str(error)
                        raise
                    if event is not None:
                        wanted.append(Wanted(position, event, fold.claim))
            finally:
                # If a record stops the reader, what stands in front of it counts all the same.
                self._count_unreadable(fold)
                self.position = fold.position
                self._furthest = max(self._furthest, fold.position)
                await self.take(wanted, fold.position, fold.claim)
            self.trouble = None

    def _count_unreadable(self, fold: ReaderFold) -> None:
        if count := fold.poison_count:
            self._logger.error("unreadable_records", partition=self.partition, count=count, position=fold.position)
            self._count_poison(count)
            fold.poison_count = 0

    def _note_trouble(self, trouble: PartitionTrouble) -> None:
        if self.trouble != trouble:
            self._logger.error("partition_halted", partition=self.partition, reason=trouble.text)
        self.trouble = trouble
