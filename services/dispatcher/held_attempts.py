"""
Held attempts: the attempts that this process knows of, so that it starts none twice.

An attempt is held from the moment its due event is read. If its outcome is in the log at position q, it is held until the
reader has passed q, or until a snapshot as of q or later is taken. Before that, a reader that begins again (a lease lost and
regained, an overlooked attempt) may still find the attempt running in the tables, and would make its call a second time.

    loading   its spec is being fetched
    waiting   it waits for its instant
    queued    it waits for a slot
    calling   the request is under way
    recording its outcome is being appended
    recorded  its outcome is in the log; it is remembered as said above

An attempt that has not started (loading, waiting, queued) may be dropped at any time: it is running in the tables, and the next
holder of the partition's lease finds it there.
"""

from collections import deque
from enum import IntEnum

from libs.events import AttemptDue, Spec

_OVERHEAD_BYTES = 2_000  # an attempt and its spec without the body, roughly


class Stage(IntEnum):
    """How far an attempt has come, in this order."""

    LOADING = 0
    WAITING = 1
    QUEUED = 2
    CALLING = 3
    RECORDING = 4
    RECORDED = 5
    DROPPED = 6


class HeldAttempt:
    """
    One attempt under way.

    Args:
        partition: where its job lives.
        due: the admitted due event.
        position: the tables know its job once they are folded up to here.
    """

    __slots__ = ("cost_bytes", "due", "host", "partition", "position", "secrets", "spec", "stage", "trace_id")

    def __init__(self, partition: int, due: AttemptDue, position: int) -> None:
        self.partition = partition
        self.due = due
        self.position = position
        self.stage = Stage.LOADING
        self.spec: Spec | None = None
        self.secrets: tuple[str, ...] = ()
        self.host = ""
        self.trace_id: str | None = None
        self.cost_bytes = _OVERHEAD_BYTES

    @property
    def account(self) -> str:
        """Whose call it is."""
        return self.due.account

    @property
    def is_waiting(self) -> bool:
        """Whether the call waits for a slot."""
        return self.stage is Stage.QUEUED


class HeldAttempts:
    """All attempts held, by partition and execution id."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._held: dict[int, dict[str, HeldAttempt]] = {}
        self._recorded: dict[int, deque[tuple[int, str]]] = {}
        self.open_count = 0
        self.open_bytes = 0

    def add(self, partition: int, due: AttemptDue, position: int) -> HeldAttempt | None:
        """Hold an attempt and return it; return None if it is held already."""
        held = self._held.setdefault(partition, {})
        if due.execution_id in held:
            return None
        held_attempt = held[due.execution_id] = HeldAttempt(partition, due, position)
        self.open_count += 1
        self.open_bytes += held_attempt.cost_bytes
        return held_attempt

    def loaded(self, held_attempt: HeldAttempt, spec: Spec, host: str) -> None:
        """Note the spec of an attempt; its size counts until the outcome is in the log."""
        held_attempt.spec = spec
        held_attempt.host = host
        size = len(spec.body or "")
        held_attempt.cost_bytes += size
        self.open_bytes += size

    def recorded(self, held_attempt: HeldAttempt, position: int) -> None:
        """Note that the outcome is in the log at *position*."""
        held_attempt.stage = Stage.RECORDED
        held_attempt.spec = None
        self._close(held_attempt)
        self._recorded.setdefault(held_attempt.partition, deque()).append((position, held_attempt.due.execution_id))

    def passed(self, partition: int, position: int) -> None:
        """Forget the attempts whose outcome is at or before *position*, which the reader or a snapshot has reached."""
        recorded = self._recorded.get(partition)
        if recorded:
            held = self._held[partition]
            while recorded and recorded[0][0] <= position:
                del held[recorded.popleft()[1]]

    def drop_unstarted(self, partition: int) -> int:
        """Drop the attempts that have not started, and return how many there were."""
        held = self._held.get(partition, {})
        unstarted = [held_attempt for held_attempt in held.values() if held_attempt.stage < Stage.CALLING]
        for held_attempt in unstarted:
            self.drop(held_attempt)
        return len(unstarted)

    def drop(self, held_attempt: HeldAttempt) -> None:
        """Drop one attempt; no outcome of it is recorded."""
        held_attempt.stage = Stage.DROPPED
        held_attempt.spec = None
        self._close(held_attempt)
        del self._held[held_attempt.partition][held_attempt.due.execution_id]

    def open_count_of(self, partition: int) -> int:
        """Return how many attempts of *partition* are held whose outcome is not in the log. O(attempts held)."""
        return sum(held_attempt.stage is not Stage.RECORDED for held_attempt in self._held.get(partition, {}).values())

    def knows(self, partition: int, execution_id: str) -> bool:
        """Whether the attempt is held, in any stage."""
        return execution_id in self._held.get(partition, ())

    def _close(self, held_attempt: HeldAttempt) -> None:
        self.open_count -= 1
        self.open_bytes -= held_attempt.cost_bytes
