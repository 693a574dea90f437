"""
Replay: folds a partition from the log alone, with the same `Ledger` and `PartitionChanges` that fold it while Fliq runs.

Verify and rebuild use this: there is no second way to read the log. What was folded gathers in `changes` until the caller takes
it away. States stay in `ledger` until `forget`; afterwards they are loaded again when a record names them.

The log may begin later than with its first record. Then the fold begins with the rows that the log carries (`begin_with_carried`).
While needless records are being deleted, a little at a time, the log begins before the position that these rows are of.

Cost: O(records); memory O(states that were not forgotten).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from libs.domain.ledger import Ledger, names
from libs.domain.state_registry import State, id_of
from libs.events import Event, LogCarried, Unknown, Unreadable, read
from libs.events.protocol import protocol_of
from libs.log.port import Log, LogDamaged
from libs.store.carried.carried_rows import CARRIED, BadRows, Beginning
from libs.store.carried.seals import Seals
from libs.store.projection.changes import PartitionChanges

BATCH: Final = 2_000  # records read at once

Load = Callable[[int, Sequence[str]], Awaitable[list[State]]]


class Replay:
    """The fold of *partition* from its oldest record on."""

    def __init__(self, log: Log, partition: int, *, begin: int = 0) -> None:
        """Fold from position *begin* of *log*; nothing is read before `step`."""
        self.ledger = Ledger(partition, position=begin - 1)
        self.changes = PartitionChanges(partition)
        self.needs = 0  # the highest protocol of what was folded (libs/events/protocol.py)
        self.beginning = Beginning(begin)
        self.seals = Seals()
        self._log = log
        self._forgot = False

    @property
    def partition(self) -> int:
        """Which partition this is."""
        return self.ledger.partition

    @property
    def position(self) -> int:
        """The last position folded; one before begin when nothing was."""
        return self.ledger.position

    async def begin_with_carried(self) -> AsyncIterator[None]:
        """
        Take in the rows that the log carries, if it does not begin with its first record; `changes` may be taken in between.

        They are of a position at which the log begins or would begin if all that is needless were deleted. The fold goes on there:
        `step` reads the records between that position and the rows.

        Raises:
            LogDamaged: the log does not carry what stood before its beginning.
            LogError: it cannot be read.
        """
        beginning = self.beginning
        if not beginning.begin:
            return
        async for events in self._carried():
            yield
            # Between two deletions the log begins anywhere before what was carried; what it holds there is needed no more.
            begins = [each.begin for each in events if isinstance(each, LogCarried) and each.begin >= beginning.begin]
            if begins:
                beginning.begin, self.ledger.position = begins[0], begins[0] - 1
                break
        async for events in self._carried():
            try:
                for event in events:
                    beginning.take(event, self.ledger, self.changes)
            except BadRows as error:
                raise LogDamaged(f"partition {self.partition}: {error}") from error
            yield
            if beginning.end is not None:
                return

    async def _carried(self) -> AsyncIterator[list[Event | Unknown | Unreadable]]:
        """Yield what the log carries, from where it begins on; raise LogDamaged at its end."""
        begin = position = self.beginning.begin
        while True:
            try:
                records = await self._log.read(self.partition, position, max_records=BATCH)
            except LogDamaged:
                if (now := await self._log.begin(self.partition)) <= position:
                    raise
                position = now  # deleted meanwhile
                continue
            if not records:
                raise LogDamaged(
                    f"partition {self.partition}: the log begins at {begin}, and does not carry what stood before"
                )
            yield [read(self.partition, each.envelope) for each in records if each.envelope.type in CARRIED]
            position = records[-1].position + 1

    async def step(self, until: int, load: Load | None = None) -> int:
        """
        Fold the next records, none behind position *until*, and return how many they were; 0 once *until* is reached.

        Args:
            load: fetches states that were forgotten, by partition and ids.

        Raises:
            LogError: the log cannot be read, or ends before *until*.
            GapInLog, MustUnderstand: it cannot be folded.
        """
        ledger, changes = self.ledger, self.changes
        if ledger.position >= until:
            return 0
        wanted = min(BATCH, until - ledger.position)
        records = await self._log.read(ledger.partition, ledger.position + 1, max_records=wanted)
        if not records:
            raise LogDamaged(
                f"partition {ledger.partition}: the log holds nothing at {ledger.position + 1}, before its end"
            )
        items = [read(ledger.partition, record.envelope) for record in records]
        if self._forgot and load is not None:
            await self._load([each for item in items for each in names(item)], load)
        for record, item in zip(records, items, strict=True):
            self.needs = max(self.needs, protocol_of(record.envelope))
            applied = ledger.apply(record.position, item, record.envelope.claim)
            changes.add(applied)
            if record.envelope.type in CARRIED:
                self.seals.take(applied)
        return len(records)

    async def _load(self, ids: Sequence[str], load: Load) -> None:
        ledger = self.ledger
        missing = [each for each in dict.fromkeys(ids) if each not in ledger.states]
        if missing:
            ledger.states.update((id_of(state), state) for state in await load(ledger.partition, missing))

    def taken(self) -> None:
        """Note that what is in `changes` is in the tables now."""
        self.changes = PartitionChanges(self.partition)

    def forget(self) -> None:
        """Let go of all states; what is in `changes` must have been taken, so that `load` can find it."""
        self.ledger.states.clear()
        self._forgot = True
