"""KafkaLog: implements the log port on Kafka."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import structlog
from aiokafka.protocol.admin import DeleteRecordsRequest

from libs.events import Envelope
from libs.log.appends import AppendQueue
from libs.log.error_line import line
from libs.log.kafka import topic as topics
from libs.log.kafka.access import KafkaAccess
from libs.log.kafka.connection import BROKER_ERRORS, Connection, NotNow, Reachability, check, hush
from libs.log.kafka.fetching import Follower, OutOfRange, fetch
from libs.log.kafka.identity import identity
from libs.log.kafka.partition_bounds import PartitionBounds
from libs.log.kafka.partition_writer import PartitionWriter
from libs.log.kafka.producers import Producers
from libs.log.kafka.records import BATCH_BYTES, RECORD_BYTES
from libs.log.kafka.reported_offsets import ReportedOffsets
from libs.log.port import LogDamaged, LogError, LogUnavailable, PositionReports, Record, RecordTooLarge, measure
from libs.log.server_log import QUEUE_RECORDS_MAX, Running, ServerLog

TOPIC: Final = "fliq.log"
QUEUE_BYTES_MAX: Final = 128_000_000  # over all writers
START_S: Final = 20.0
SHORT_LOG_TRIES: Final = 5  # how often a leader must repeat that records are missing before it is believed
SHORT_LOG_PAUSE_S: Final = 0.3

_log = structlog.get_logger("log")


class KafkaLog(ServerLog["_Running"]):
    """
    The log in a Kafka topic. May be started again after it was stopped.

    Args:
        access: the cluster.
        topic: belongs to this log alone; made at start if it does not exist.
        partitions: how many the topic must have. If it has fewer, they are added; if it has more, it is refused.
        timeout_s: bound on connecting, and on one read.
        client_id: the name of this process in the brokers' logs and quotas.
    """

    def __init__(
        self,
        access: KafkaAccess,
        *,
        topic: str = TOPIC,
        partitions: int = 64,
        timeout_s: float = 5.0,
        client_id: str = "fliq",
    ) -> None:
        super().__init__(partitions)
        self._access = access
        self._topic = topic
        self._timeout_s = timeout_s
        self._client_id = client_id

    async def start(self) -> None:
        if self._running is not None:
            return
        hush()
        connections = [
            Connection(
                self._access,
                self._topic,
                client_id=f"{self._client_id}-{use}",
                timeout_s=self._timeout_s,
            )
            for use in ("reads", "follows")
        ]
        running: _Running | None = None
        try:
            for connection in connections:
                await connection.start()
            settings = await topics.ensure(connections[0], self._count)
            replicas = await topics.replicas_of(connections[0])
            for doubt in topics.doubts(settings, replicas):
                _log.warning("log_topic_doubtful", topic=self._topic, reason=doubt)
            running = _Running(self._access, self._client_id, connections, self._count, settings)
            running.identity = await identity(connections[0])
            await running.start()
        except BaseException:
            if running is not None:
                await running.stop()
            else:
                for connection in connections:
                    await connection.stop()
            raise
        self._running = running

    async def identity(self) -> str:
        return self._at(0).identity

    @property
    def position_reports(self) -> PositionReports:
        return self

    async def reported_notes(self, group: str) -> Mapping[int, str]:
        """Return the newest note reported with the positions of *group*, by partition; raises `LogUnavailable`."""
        running = self._at(0)
        if not any(recent.known_end for recent in running.recents):
            return {}  # an empty log has no readers, and a new cluster would take seconds to say so
        return await running.reported.notes(group)

    async def report_positions(self, group: str, positions: Mapping[int, int], note: str = "") -> None:
        """
        Commit to *group*, with *note*, that each partition is read up to and including its position; see `reported_offsets`.

        Raises:
            LogUnavailable: it failed; the next call may succeed.
        """
        next_positions = {partition: position + 1 for partition, position in positions.items()}
        await self._at(0).reported.commit(group, next_positions, note)

    async def append(self, partition: int, envelopes: Sequence[Envelope], *, timeout_s: float = 10.0) -> int:
        running = self._at(partition)
        taken = tuple(envelopes)
        # `measure` counts types, claims and keys by characters; outside ASCII a character takes up to four bytes.
        size = measure(taken) + RECORD_BYTES * len(taken)
        if size + BATCH_BYTES > running.batch_bytes:
            raise RecordTooLarge(f"an append of {size:,} bytes; the topic takes {running.batch_bytes:,} at once")
        return await running.writer(partition, taken).queue.put(partition, taken, size, timeout_s)

    async def begin(self, partition: int) -> int:
        running = self._at(partition)
        begin = await running.bounds.begin(partition)
        running.recents[partition].see(begin, running.recents[partition].known_end)
        return begin

    async def end(self, partition: int) -> int:
        return await self._at(partition).end(partition)

    async def trim(self, partition: int, before: int) -> None:
        running = self._at(partition)
        end = await running.end(partition)
        if before > end:
            raise LogError(f"cannot trim partition {partition} before {before}: it ends at {end}")
        if before > await self.begin(partition):
            await running.trim(partition, before)


class _Running(Running):
    """What exists between start and stop."""

    def __init__(
        self,
        access: KafkaAccess,
        client_id: str,
        connections: Sequence[Connection],
        count: int,
        settings: dict[str, str],
    ) -> None:
        super().__init__(count)
        self._connections = connections
        self._connection = connection = connections[0]
        self.batch_bytes = min(int(settings["max.message.bytes"]), topics.MESSAGE_BYTES)
        self.identity = ""
        self.bounds = PartitionBounds(connection)
        self.reported = ReportedOffsets(connection)
        reachability = Reachability()
        self.follower = Follower(connections[1], self.recents, reachability)
        self._producers = [
            Producers(
                access,
                name=f"{client_id}-{kind}",
                timeout_s=connection.timeout_s,
                batch_bytes=self.batch_bytes,
                reachability=reachability,
            )
            for kind in ("facts", "decisions")
        ]
        share = max(2 * self.batch_bytes, QUEUE_BYTES_MAX // count)
        self._writers = [
            [
                PartitionWriter(
                    connection.topic,
                    partition,
                    producers,
                    AppendQueue(max_records=QUEUE_RECORDS_MAX, max_bytes=share),
                    self.recents[partition],
                )
                for partition in range(count)
            ]
            for producers in self._producers
        ]
        self._is_stopped = False

    async def start(self) -> None:
        """Learn where all partitions begin and end, then start the writers and the follower."""
        try:
            async with asyncio.timeout(START_S):
                for connection in self._connections:
                    await connection.follow_topic()
        except BROKER_ERRORS as error:
            raise LogUnavailable(f"Kafka does not say who leads {self._connection.topic}: {line(error)}") from error
        everyone = range(len(self.recents))
        begins = await asyncio.gather(*(self.bounds.begin(partition) for partition in everyone))
        ends = await asyncio.gather(*(self.bounds.end(partition) for partition in everyone))
        for recent, begin, end in zip(self.recents, begins, ends, strict=True):
            recent.see(begin, end)
        for writers in self._writers:
            self._writing += [asyncio.create_task(writer.run()) for writer in writers]
        for producers in self._producers:
            producers.warm()
        self._looking = [asyncio.create_task(self.follower.run()), asyncio.create_task(self._let_go())]

    def writer(self, partition: int, envelopes: Sequence[Envelope]) -> PartitionWriter:
        """Return the writer for an append: decisions do not wait behind facts."""
        is_decision = any(envelope.claim is not None for envelope in envelopes)
        return self._writers[is_decision][partition]

    async def stop(self) -> None:
        self._is_stopped = True
        await self._end_tasks([writer.queue for writers in self._writers for writer in writers])
        await asyncio.gather(*(producers.stop() for producers in self._producers))
        for connection in self._connections:
            await connection.stop()
        await self.bounds.stop()

    async def end(self, partition: int) -> int:
        """Return the end. It is never before a record that was known to be written."""
        for _ in range(SHORT_LOG_TRIES):
            known = self.recents[partition].known_end
            self._check_running()
            end = await self.bounds.end(partition)
            if end >= known:
                self.recents[partition].see(0, end)
                return end
            # The broker led this partition and does not know yet that another does now, or the log lost records.
            await self._connection.refresh()
            await asyncio.sleep(SHORT_LOG_PAUSE_S)
        _log.error("log_lost_records", partition=partition, position=known - 1)
        raise LogDamaged(f"the log is damaged: partition {partition} ends at {end}, though {known - 1} was written")

    def watch(self, partition: int) -> None:
        self.follower.watch(partition)

    def answer_count(self, partition: int) -> int:
        return self.follower.answers[partition]

    async def read(self, partition: int, position: int, max_records: int) -> list[Record]:
        """Fetch from the brokers: one reader fetches new records for all readers that want them."""
        recent = self.recents[partition]
        async with recent.fetching(self._connection.timeout_s, "Kafka"):
            return recent.slice(position, max_records) or await self._fetch(partition, position, max_records)

    async def trim(self, partition: int, before: int) -> None:
        async def delete() -> int:
            leader = self._connection.leader_now(partition)
            request = DeleteRecordsRequest(
                [(self._connection.topic, [(partition, before)])], int(self._connection.timeout_s * 1000)
            )
            answer = await self._connection.send(leader, request)
            for found in answer.topics:
                for _, begin, code, *_ in found[1]:
                    check(code, f"partition {partition}")
                    return int(begin)
            raise NotNow("nothing in the answer")

        begin = await self._connection.retry(delete)
        self.recents[partition].see(begin, self.recents[partition].known_end)

    async def _fetch(self, partition: int, position: int, max_records: int) -> list[Record]:
        self._check_running()
        recent = self.recents[partition]
        try:
            records, end = await self._connection.retry(
                lambda: fetch(self._connection, partition, max(position, 0), max_records)
            )
        except OutOfRange:
            records, end = [], -1
        except LogError as error:
            if not isinstance(error, LogUnavailable):
                _log.error("log_damaged", partition=partition, position=position, error=line(error))
            raise
        if records and position >= 0:
            recent.see(recent.begin, records[-1].position + 1)
            if position >= recent.next:
                recent.add(records)
            return records
        if position != end or position < recent.known_end:
            begin, end = await self.bounds.begin(partition), await self.end(partition)
            recent.see(begin, end)
            if not begin <= position <= end:
                raise LogDamaged(f"position {position} is not in partition {partition}: {begin} to {end}")
        return []

    def _check_running(self) -> None:
        if self._is_stopped:
            raise LogUnavailable("the log was stopped")
