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
its account's share is full, the call is not held: it is *left* where it stands (left_calls.py).

The lanes of an account share its places by the same rule, if the service asks for it (`enter_lane`): a lane may hold no more than
what is left for its account. So one lane alone holds at most a third of all places, and a new lane finds room. A call that is still
loaded counts in no lane.
"""

from collections import Counter, deque
from enum import IntEnum
from typing import Final, Generic, TypeVar

from libs.domain.fair_shares import FairShares
from libs.following.left_calls import LeftCalls
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
        account: whose call it is: with whose calls it shares.
        signer: whose secrets sign it, if they are not the account's.
        spec_id: names what to call in the tables.
        position: the tables know the spec once they are folded up to here.

    Attributes:
        spec: what to call, as it is stored; None if it is fetched when the call leaves.
        spec_bytes: its size.
        lane: the calls of one lane share a limit of calls under way. Of attempts this is the origin of the target, of webhooks
            origin and path. None until the spec was read once.
    """

    __slots__ = (
        *("account", "is_in_lane", "job_id", "key", "lane", "partition", "places", "position"),
        *("secrets", "signer", "spec", "spec_bytes", "spec_id", "stage", "started_at", "put_off_until"),
    )

    def __init__(
        self,
        partition: int,
        key: str,
        *,
        job_id: str,
        account: str,
        spec_id: str,
        position: int,
        signer: str | None = None,
    ) -> None:
        self.partition = partition
        self.key = key
        self.job_id = job_id
        self.account = account
        self.signer = signer or account
        self.spec_id = spec_id
        self.position = position
        self.stage = Stage.LOADING
        self.spec: bytes | None = None
        self.spec_bytes = 0
        self.lane: str | None = None
        self.is_in_lane = False  # counted in its lane
        self.secrets: tuple[str, ...] = ()
        self.places = 0
        self.started_at = 0  # when its request began to be sent
        self.put_off_until = 0  # the instant until which its address took no more calls of its account


C = TypeVar("C", bound=Call)


class HeldCalls(Generic[C]):
    """All calls held, by partition and key."""

    def __init__(self, places: int) -> None:
        """Hold nothing; *places* are shared by all accounts."""
        self._shares = FairShares(places)
        self._held: dict[int, dict[str, C]] = {}
        self._recorded: dict[int, deque[tuple[int, str]]] = {}
        self._in_lanes = FairShares(places)  # those of the calls that entered a lane
        self._in_lane: Counter[tuple[str, str]] = Counter()
        self.left = LeftCalls()
        self.open_count = 0

    def has_room(self, account: str) -> bool:
        """Whether one more call of *account* may be held."""
        return self._shares.may_take(account)

    def room_of(self, account: str) -> int:
        """Return how many more calls of *account* may be held, if the others hold what they hold now."""
        return max(0, (self._shares.free - self._shares.held_by(account) + 1) // 2)

    def has_room_in_lane(self, account: str, lane: str, *, amount: int = 1) -> bool:
        """Whether so many more calls of *account* may enter *lane*."""
        in_lanes = self._in_lanes
        return self._in_lane[account, lane] + amount <= in_lanes.free - in_lanes.held_by(account)

    def add(self, call: C) -> None:
        """Hold a call that is not held yet."""
        self._held.setdefault(call.partition, {})[call.key] = call
        self.open_count += 1
        self._take(call, 1)

    def enter_lane(self, call: C) -> None:
        """Count a held call, whose lane is known, in its lane."""
        assert call.lane is not None  # noqa: S101 - the caller has asked whether there is room in it
        call.is_in_lane = True
        self._in_lanes.take(call.account)
        self._in_lane[call.account, call.lane] += 1

    def may_recall(self, partition: int) -> bool:
        """Whether calls are left in *partition* of an account that holds at most half of its share."""
        shares = self._shares
        return any(shares.may_take(account, shares.held_by(account) or 1) for account in self.left.accounts(partition))

    def may_recall_lane(self, account: str, lane: str | None) -> bool:
        """Whether *lane* holds at most half of its share; None: whether one more call of *account* may be held at all."""
        if lane is None:
            return self.has_room(account)
        return self.has_room_in_lane(account, lane, amount=self._in_lane[account, lane] or 1)

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
            self.drop(call)
        return len(unstarted)

    def drop(self, call: C) -> None:
        """Drop a call that has not started."""
        call.stage = Stage.DROPPED
        self._close(call)
        del self._held[call.partition][call.key]

    def open_count_of(self, partition: int) -> int:
        """Return how many calls of *partition* are held whose outcome is not in the log. O(calls held)."""
        return sum(call.stage is not Stage.RECORDED for call in self._held.get(partition, {}).values())

    def working_count(self) -> int:
        """Return how many calls are under way or could be: those that wait for their instant are not. O(calls held)."""
        done = (Stage.WAITING, Stage.RECORDED)
        return sum(call.stage not in done for calls in self._held.values() for call in calls.values())

    def find(self, partition: int, key: str) -> C | None:
        """Return the call if it is held, in any stage."""
        return self._held.get(partition, {}).get(key)

    def knows(self, partition: int, key: str) -> bool:
        """Whether the call is held, in any stage."""
        return key in self._held.get(partition, ())

    def _take(self, call: C, places: int) -> None:
        call.places += places
        self._shares.take(call.account, places)

    def _close(self, call: C) -> None:
        self.open_count -= 1
        call.spec = None
        self._shares.give_back(call.account, call.places)
        if call.is_in_lane and call.lane is not None:
            self._in_lanes.give_back(call.account)
            key = call.account, call.lane
            self._in_lane[key] -= 1
            if not self._in_lane[key]:
                del self._in_lane[key]
