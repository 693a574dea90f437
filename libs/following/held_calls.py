"""
Held calls: the calls that this process knows of, so that it starts none twice, and no account fills the memory.

A call is held from the moment its event is read until its outcome is in the log. If that is at position q, it is remembered until
the reader has passed q, or until a snapshot as of q or later is taken. Before that, a reader that begins again (a lease lost and
regained, an overlooked attempt) may still find the attempt running in the tables, and would make its call a second time.

    loading   its spec is being fetched
    waiting   it waits for its instant
    queued    it waits for a slot
    calling   the request is under way
    recording its outcome is being appended
    recorded  its outcome is in the log; it is remembered as said above

A call that has not started (loading, waiting, queued) may be dropped at any time: it stands in tables and log, and the next holder
of the partition's lease finds it there.

Accounts share the places fairly (libs/domain/fair_shares.py). A call takes one place, and more for a spec that is kept for it. If
its account's share is full, the call is not held: it is *left* where it stands. As long as calls of an account are left in a
partition, its newer ones there are left, too, so that the oldest is recalled first.
"""

from collections import deque
from enum import IntEnum
from typing import Final, Generic, TypeVar

from libs.domain.fair_shares import FairShares
from libs.store.reads.partition_tables import StoredSpec

PLACE_BYTES: Final = 4_096  # of a stored spec; a place holds the rest of a call, about 2 kB, besides


class Stage(IntEnum):
    """How far a call has come, in this order."""

    LOADING = 0
    WAITING = 1
    QUEUED = 2
    CALLING = 3
    RECORDING = 4
    RECORDED = 5
    DROPPED = 6


class Call:
    """
    One call to be made.

    Args:
        partition: where its job lives.
        key: names the call among all calls of its partition.
        account: whose call it is.
        spec_id: names what to call in the tables.
        position: the tables know the spec once they are folded up to here.

    Attributes:
        spec: what to call, as it is stored; None if it is fetched when the call leaves.
        spec_bytes: its size.
        host: scheme, host and port of the target; None until the spec was read once.
    """

    __slots__ = (
        *("account", "host", "job_id", "key", "partition", "places", "position"),
        *("secrets", "spec", "spec_bytes", "spec_id", "stage", "started_at"),
    )

    def __init__(self, partition: int, key: str, *, job_id: str, account: str, spec_id: str, position: int) -> None:
        self.partition = partition
        self.key = key
        self.job_id = job_id
        self.account = account
        self.spec_id = spec_id
        self.position = position
        self.stage = Stage.LOADING
        self.spec: bytes | None = None
        self.spec_bytes = 0
        self.host: str | None = None
        self.secrets: tuple[str, ...] = ()
        self.places = 0
        self.started_at = 0  # when its request began to be sent


C = TypeVar("C", bound=Call)


class HeldCalls(Generic[C]):
    """All calls held, by partition and key."""

    def __init__(self, places: int) -> None:
        """Hold nothing; *places* are shared by all accounts."""
        self._shares = FairShares(places)
        self._held: dict[int, dict[str, C]] = {}
        self._recorded: dict[int, deque[tuple[int, str]]] = {}
        self._left: dict[int, set[str]] = {}
        self.open_count = 0

    def has_room(self, account: str) -> bool:
        """Whether one more call of *account* may be held."""
        return self._shares.may_take(account)

    def add(self, call: C, *, places: int = 1) -> None:
        """Hold a call that is not held yet; one without a *place* is only recorded, and not made."""
        self._held.setdefault(call.partition, {})[call.key] = call
        self.open_count += 1
        self._take(call, places)

    def leave(self, partition: int, account: str) -> None:
        """Note that calls of *account* are left in the tables of *partition*."""
        self._left.setdefault(partition, set()).add(account)

    def has_left(self, partition: int, account: str) -> bool:
        """Whether calls of *account* are left in the tables of *partition*."""
        return account in self._left.get(partition, ())

    def may_recall(self, partition: int) -> bool:
        """Whether calls are left in *partition* of an account that holds at most half of its share."""
        shares = self._shares
        return any(shares.may_take(account, shares.held_by(account) or 1) for account in self._left.get(partition, ()))

    def recall(self, partition: int) -> None:
        """Note that all calls of *partition* are about to be found again."""
        self._left.pop(partition, None)

    def loaded(self, call: C, stored: StoredSpec) -> None:
        """Note the spec of a call, and keep it if its account's share has room for it."""
        call.spec_bytes = stored.size
        places = stored.size // PLACE_BYTES
        if stored.spec is not None and (not places or self._shares.may_take(call.account, places)):
            call.spec = stored.spec
            self._take(call, places)

    def recorded(self, call: C, position: int) -> None:
        """Note that the outcome is in the log at *position*."""
        call.stage = Stage.RECORDED
        self._close(call)
        self._recorded.setdefault(call.partition, deque()).append((position, call.key))

    def passed(self, partition: int, position: int) -> None:
        """Forget the calls whose outcome is at or before *position*, which the reader or a snapshot has reached."""
        recorded = self._recorded.get(partition)
        if recorded:
            held = self._held[partition]
            while recorded and recorded[0][0] <= position:
                del held[recorded.popleft()[1]]

    def drop_unstarted(self, partition: int) -> int:
        """Drop the calls that have not started, and return how many there were."""
        unstarted = [call for call in self._held.get(partition, {}).values() if call.stage < Stage.CALLING]
        for call in unstarted:
            call.stage = Stage.DROPPED
            self._close(call)
            del self._held[partition][call.key]
        return len(unstarted)

    def open_count_of(self, partition: int) -> int:
        """Return how many calls of *partition* are held whose outcome is not in the log. O(calls held)."""
        return sum(call.stage is not Stage.RECORDED for call in self._held.get(partition, {}).values())

    def knows(self, partition: int, key: str) -> bool:
        """Whether the call is held, in any stage."""
        return key in self._held.get(partition, ())

    def _take(self, call: C, places: int) -> None:
        if places:
            call.places += places
            self._shares.take(call.account, places)

    def _close(self, call: C) -> None:
        self.open_count -= 1
        call.spec = None
        if call.places:
            self._shares.give_back(call.account, call.places)
