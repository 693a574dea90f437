"""
Minting: the partition and the id of a new job or schedule.

Partitions take turns of `TURN_MS`: jobs that arrive together land in one partition, where they share one durable write,
and over a second every partition gets its share. Processes start at different turns. A partition in which new work would wait is
skipped while there are others.

Ids of one process grow, also within a millisecond, so that lists show the items of a batch in the batch's order: the
first id of a millisecond has a random tail of 63 bits, each further one a random step of up to 2^32 beyond it.
"""

from collections.abc import Callable, Container
from typing import Final

from libs.events.ids import new_endpoint_id, new_job_id, new_schedule_id
from libs.runtime.clock import Entropy

TURN_MS: Final = 10


class Mint:
    """Makes ids for *partition_count* partitions; *avoided* returns those that are skipped at the moment."""

    def __init__(
        self,
        entropy: Entropy,
        *,
        partition_count: int,
        avoided: Callable[[], Container[int]] = tuple,
    ) -> None:
        self._entropy = entropy
        self._partition_count = partition_count
        self._avoided = avoided
        self._offset = int.from_bytes(entropy.entropy(2), "big")
        self._last = (-1, -1, 0)  # instant, partition and tail of the last id

    def partition(self, now: int) -> int:
        """Return the partition whose turn it is."""
        turn, avoided = now // TURN_MS + self._offset, self._avoided()
        partition = turn % self._partition_count
        if partition in avoided:
            others = [each for each in range(self._partition_count) if each not in avoided]
            partition = others[turn % len(others)] if others else partition
        return partition

    def job_id(self, now: int, partition: int) -> str:
        """Return a fresh job id."""
        return new_job_id(now, partition, self._tail(now, partition))

    def schedule_id(self, now: int, partition: int) -> str:
        """Return a fresh schedule id."""
        return new_schedule_id(now, partition, self._tail(now, partition))

    def endpoint_id(self, now: int, account: str) -> str:
        """Return a fresh id of a webhook endpoint."""
        return new_endpoint_id(now, self.partition(now), account, self._entropy.entropy(4))

    def secret(self, n: int) -> bytes:
        """Return *n* bytes that nobody can guess and that are used nowhere else."""
        return self._entropy.entropy(n)

    def _tail(self, now: int, partition: int) -> bytes:
        drawn = int.from_bytes(self._entropy.entropy(8), "big")
        last_now, last_partition, last_tail = self._last
        tail = last_tail + (drawn >> 32) + 1 if last_now == now and last_partition == partition else drawn >> 1
        self._last = (now, partition, tail)
        return tail.to_bytes(8, "big")
