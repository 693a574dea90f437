"""PartitionWriter: writes the appends of one kind (facts or decisions) to one partition, one batch after the other."""

import asyncio
from itertools import repeat
from typing import Any, Final

import structlog

from libs.events import Envelope
from libs.log.appends import Append, AppendQueue
from libs.log.error_line import line
from libs.log.kafka.producers import PRODUCE_S, Producers
from libs.log.kafka.records import to_kafka
from libs.log.port import AppendFailed, LogError, Record
from libs.log.recent_records import RecentRecords
from libs.log.shared_request import retrieve
from libs.runtime.crashpoint import crash_at

GROUP_RECORDS_MAX: Final = 2_000
GROUP_BYTES_MAX: Final = 262_144  # the most a batch should have; a larger append is sent alone
PAUSE_S: Final = 0.5  # after a defect
LOG_APPEND_TIME: Final = 1

_log = structlog.get_logger("log")


class PartitionWriter:
    """
    Takes groups from its queue and sends each as one batch. Kafka writes a batch as a whole, so the records of an append stand next
    to each other (G2). The next batch is sent after this one was acknowledged or given up.

    Args:
        topic, partition: where to write.
        producers: provide the producer to send with.
        queue: the appends to write.
        recent: gets the written records, if no other process wrote in between.
    """

    def __init__(
        self, topic: str, partition: int, producers: Producers, queue: AppendQueue, recent: RecentRecords
    ) -> None:
        self._topic = topic
        self._partition = partition
        self._producers = producers
        self._recent = recent
        self.queue = queue

    async def run(self) -> None:
        """Write until the queue is closed and empty."""
        try:
            while await self.queue.arrival():
                try:
                    await self._next()
                except Exception:  # noqa: BLE001 - as said below
                    # A defect. This group is lost; if the writer ended, every later append would be lost.
                    _log.exception("log_writer_failed")
                    self.queue.fail_taken(AppendFailed("the outcome of the append is unknown: the writer failed"))
                    await asyncio.sleep(PAUSE_S)
        finally:
            self.queue.abandon()  # nothing is left, unless this task failed: then no caller may wait for ever

    async def _next(self) -> None:
        async with self._producers.use() as life:
            # Callers whose append ended with the last group run now, and their next appends join this group.
            await asyncio.sleep(0)
            group = self.queue.take(max_records=GROUP_RECORDS_MAX, max_bytes=GROUP_BYTES_MAX)
            if not group:
                return
            envelopes = [envelope for append in group for envelope in append.envelopes]
            crash_at("log.before_commit")
            try:
                placed = await self._send(life.producer, envelopes)
            except Exception as error:  # noqa: BLE001 - after any error the group must end, and may not be sent again
                _log.warning("log_group_failed", partition=self._partition, error=line(error))
                self._producers.retire(life)
                self.queue.fail_taken(AppendFailed(f"the outcome of the append is unknown: {line(error)}"))
                return
            crash_at("log.after_commit")
            self._settle(group, envelopes, placed)

    async def _send(self, producer: Any, envelopes: list[Envelope]) -> Any:
        """Send one batch and return its position; raises any error of the producer."""
        batch = producer.create_batch()
        for envelope in envelopes:
            key, value, headers = to_kafka(envelope)
            if batch.append(timestamp=None, key=key, value=value, headers=headers) is None:
                raise ValueError("the batch is larger than it was measured")
        batch.close()
        known = self._recent.known_end
        async with asyncio.timeout(PRODUCE_S):
            sent = await producer.send_batch(batch, self._topic, partition=self._partition)
        sent.add_done_callback(retrieve)
        await asyncio.wait([sent], timeout=PRODUCE_S)  # this does not cancel *sent*: the producer could not handle that
        if not sent.done():
            raise TimeoutError(f"no acknowledgement within {PRODUCE_S:g} s")
        placed = sent.result()
        if placed.offset < 0:
            raise ValueError("the broker has the batch already, and does not say where")
        if placed.offset < known:
            _log.error("log_lost_records", partition=self._partition, position=known - 1)
            raise LogError(
                f"the batch stands at {placed.offset}, though {known - 1} was written before: the log lost records"
            )
        return placed

    def _settle(self, group: list[Append], envelopes: list[Envelope], placed: Any) -> None:
        """Tell the callers the positions of their records, and add the records to `RecentRecords`."""
        base: int = placed.offset
        position = base
        for append in group:
            if not append.written.done():
                append.written.set_result(position)
            position += len(append.envelopes)
        recent = self._recent
        if placed.timestamp_type == LOG_APPEND_TIME and recent.next == base == recent.known_end:
            recent.add(list(map(Record, range(base, position), repeat(placed.timestamp), envelopes)))
        else:
            recent.see(recent.begin, position)  # others wrote in between, so readers must fetch
        self.queue.taken_ended()
