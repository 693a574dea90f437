"""
Flights: the attempts that this process knows of, so that none is started twice.

An attempt stays here from the moment its due event is read until its outcome is in the log *and* can no longer be met again: an
outcome at position q is forgotten once the reader has passed q, or a snapshot as of q or later was taken. Before that a reload
(lease flap, watchdog) may still find the attempt running in the tables, and would send it a second time.

    loading   its spec is being fetched
    waiting   for its instant
    queued    for a slot
    calling   the request is under way
    recording its outcome is being appended
    recorded  appended; remembered until it cannot come back

Not started yet (loading, waiting, queued) may be dropped at any time: it is running in the tables, and whoever serves the
partition next finds it there.
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


class Flight:
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


class Flights:
    """All attempts held, by partition and execution id."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._held: dict[int, dict[str, Flight]] = {}
        self._recorded: dict[int, deque[tuple[int, str]]] = {}
        self.open_count = 0
        self.open_bytes = 0

    def add(self, partition: int, due: AttemptDue, position: int) -> Flight | None:
        """Take an attempt up; None when it is known already."""
        held = self._held.setdefault(partition, {})
        if due.execution_id in held:
            return None
        flight = held[due.execution_id] = Flight(partition, due, position)
        self.open_count += 1
        self.open_bytes += flight.cost_bytes
        return flight

    def loaded(self, flight: Flight, spec: Spec, host: str) -> None:
        """Note the spec of a flight; its size counts until the outcome is in the log."""
        flight.spec = spec
        flight.host = host
        size = len(spec.body or "")
        flight.cost_bytes += size
        self.open_bytes += size

    def recorded(self, flight: Flight, position: int) -> None:
        """Note that the outcome stands at *position*."""
        flight.stage = Stage.RECORDED
        flight.spec = None
        self._close(flight)
        self._recorded.setdefault(flight.partition, deque()).append((position, flight.due.execution_id))

    def passed(self, partition: int, position: int) -> None:
        """Forget the attempts whose outcome stands at or before *position*, which reader or snapshot has reached."""
        recorded = self._recorded.get(partition)
        if recorded:
            held = self._held[partition]
            while recorded and recorded[0][0] <= position:
                del held[recorded.popleft()[1]]

    def drop_unstarted(self, partition: int) -> int:
        """Let go of what has not been started; say how many that were."""
        held = self._held.get(partition, {})
        unstarted = [flight for flight in held.values() if flight.stage < Stage.CALLING]
        for flight in unstarted:
            self.drop(flight)
        return len(unstarted)

    def drop(self, flight: Flight) -> None:
        """Let go of one attempt that ends without an outcome of ours."""
        flight.stage = Stage.DROPPED
        flight.spec = None
        self._close(flight)
        del self._held[flight.partition][flight.due.execution_id]

    def open_count_of(self, partition: int) -> int:
        """Return how many attempts of *partition* are held whose outcome is not in the log. O(attempts held)."""
        return sum(flight.stage is not Stage.RECORDED for flight in self._held.get(partition, {}).values())

    def knows(self, partition: int, execution_id: str) -> bool:
        """Whether the attempt is held, in any stage."""
        return execution_id in self._held.get(partition, ())

    def _close(self, flight: Flight) -> None:
        self.open_count -= 1
        self.open_bytes -= flight.cost_bytes
