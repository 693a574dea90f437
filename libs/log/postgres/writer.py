"""Writer: one task that commits one group of appends after the other, on a connection of its own."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any, Final

import asyncpg
import structlog

from libs.events import Envelope
from libs.log.appends import Append, AppendQueue
from libs.log.error_line import line
from libs.log.growing_pauses import LAST_S, growing_pauses
from libs.log.port import AppendFailed, LogUnavailable, Record
from libs.log.postgres import sql
from libs.log.postgres.connection import CONNECTION_LOST, close, connect
from libs.log.recent_records import RecentRecords
from libs.runtime.crashpoint import crash_at
from libs.runtime.postgres.array_columns import send_arrays

GROUP_RECORDS_MAX: Final = 2_000  # measured: larger groups gain nothing and take longer than 10 ms
GROUP_BYTES_MAX: Final = 8_000_000
END_BACKEND_MS: Final = 2_000
ANNOUNCE_EVERY_S: Final = 1.0  # what is written in between, others find by themselves

_log = structlog.get_logger("log")


class Writer:
    """
    Takes groups from the queue and makes them durable.

    Args:
        dsn, timeout_s: the database, and the bound on one commit.
        queue: the appends to write.
        recents: of all partitions; they get the written records.
        note_foreign: called if another process wrote in between.
        note_announced: called if another process announces that it writes.
    """

    def __init__(
        self,
        *,
        dsn: str,
        timeout_s: float,
        queue: AppendQueue,
        recents: Sequence[RecentRecords],
        note_foreign: Callable[[], None],
        note_announced: Callable[[], None],
    ) -> None:
        self._dsn = dsn
        self._timeout_s = timeout_s
        self._queue = queue
        self._recents = recents
        self._note_foreign = note_foreign
        self._note_announced = note_announced
        self._announced_at = float("-inf")  # by the loop's clock: when the group was sent that was announced last
        self._connection: asyncpg.Connection | None = None
        self._statement: Any = None
        self._me: tuple[int, Any] | None = None  # our backend: its process id and the instant it started
        self._listens = False  # to announcements
        self._suspect: tuple[int, Any] | None = None  # a backend that may still be writing a group of ours

    @property
    def hears(self) -> bool:
        """Whether announcements of other processes arrive."""
        return self._listens and self._connection is not None and not self._connection.is_closed()

    async def run(self) -> None:
        """Write until the queue is closed and empty."""
        try:
            while not self._queue.is_over:
                try:
                    await self._run()
                except Exception:  # noqa: BLE001 - as said below
                    # A defect. This group and this connection are lost; if the writer ended, every later append would be lost.
                    _log.exception("log_writer_failed")
                    self._queue.fail_taken(AppendFailed("the outcome of the append is unknown: the writer failed"))
                    self._drop()
                    await asyncio.sleep(LAST_S)
        finally:
            self._queue.abandon()  # nothing is left, unless this task failed: then no caller may wait for ever
            if self._connection is not None:
                await close(self._connection)

    async def _run(self) -> None:
        await self._reconnect()
        while await self._queue.arrival():
            if self._connection is None or self._connection.is_closed():
                await self._reconnect()
                continue
            # Callers whose append ended with the last group run now, and their next appends join this group.
            await asyncio.sleep(0)
            group = self._queue.take(max_records=GROUP_RECORDS_MAX, max_bytes=GROUP_BYTES_MAX)
            if group:
                await self._write(group)

    async def _reconnect(self) -> None:
        """Connect, however long it takes: waiting appends end at their own deadlines. Return if the queue is closed and empty."""
        self._drop()
        pauses = growing_pauses()
        while not self._queue.is_over:
            try:
                await self._connect()
                return
            except (TimeoutError, asyncpg.PostgresError, *CONNECTION_LOST) as error:
                _log.warning("log_writer_waits", error=line(error))
                if self._connection is not None:
                    self._connection.terminate()
                    self._connection = None
            await asyncio.sleep(next(pauses))

    async def _connect(self) -> None:
        self._connection = connection = await connect(self._dsn, self._timeout_s)
        if self._suspect is not None:
            gone = await connection.fetchval(sql.END_BACKEND, *self._suspect, END_BACKEND_MS)
            if gone is False:
                raise TimeoutError("the connection before this one is still at work on the server")
            self._suspect = None
        send_arrays(connection)
        self._statement = await connection.prepare(sql.APPEND)
        # After it: asyncpg sends no Sync with a prepare, so until the next statement the table's lock would be kept.
        self._me = tuple(await connection.fetchrow(sql.WHO_AM_I))
        await connection.add_listener(sql.CHANNEL, self._heard)
        self._listens = True

    def _heard(self, _: object, pid: int, *__: object) -> None:
        if self._me is not None and pid != self._me[0]:
            self._note_announced()

    def _drop(self) -> None:
        """Drop the connection. Its backend may still be at work, and is ended at the next connect."""
        self._listens = False
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
            self._suspect = self._me

    async def _write(self, group: list[Append]) -> None:
        by_partition: dict[int, list[Append]] = {}
        for append in group:
            by_partition.setdefault(append.partition, []).append(append)
        envelopes: list[Envelope] = []
        counts: list[int] = []
        parts: list[int] = []
        nths: list[int] = []
        for partition, appends in by_partition.items():
            before = len(envelopes)
            for append in appends:
                envelopes += append.envelopes
            count = len(envelopes) - before
            counts.append(count)
            parts += repeat(partition, count)
            nths += range(count)
        columns = zip(*envelopes, strict=True)
        now = asyncio.get_running_loop().time()
        announces = now - self._announced_at >= ANNOUNCE_EVERY_S
        if announces:
            self._announced_at = now
        crash_at("log.before_commit")
        try:
            rows = await self._statement.fetch(
                list(by_partition), counts, parts, nths, *columns, announces, timeout=self._timeout_s
            )
        except asyncio.CancelledError:
            self._drop()
            raise  # `stop` fails the group
        except Exception as error:  # noqa: BLE001 - after any error the group must end, and may not be sent again
            self._fail(error)
        else:
            crash_at("log.after_commit")
            self._settle(by_partition, rows)

    def _fail(self, error: Exception) -> None:
        """Fail the group that was taken, with the error that says what is certain about it."""
        _log.warning("log_group_failed", error=line(error))
        self._announced_at = float("-inf")  # the announcement is lost with the group
        connection = self._connection
        refused = isinstance(error, asyncpg.PostgresError) and not isinstance(error, CONNECTION_LOST)
        if refused and connection is not None and not connection.is_closed():
            # The server reported the error and the connection is open: the statement was rolled back.
            self._queue.fail_taken(LogUnavailable(f"the log refused the append: {line(error)}"))
            return
        self._queue.fail_taken(AppendFailed(f"the outcome of the append is unknown: {line(error)}"))
        self._drop()

    def _settle(self, by_partition: dict[int, list[Append]], rows: Sequence[Any]) -> None:
        """Tell the callers of a durable group the positions, and add its records to `RecentRecords`."""
        for partition, base, at, _ in rows:
            envelopes: list[Envelope] = []
            for append in by_partition.pop(partition):
                if not append.written.done():
                    append.written.set_result(base + len(envelopes))
                envelopes += append.envelopes
            recent = self._recents[partition]
            if base > recent.known_end:
                self._note_foreign()
            if base > recent.next:
                # Others wrote before it. A reader fetches that and this together; kept alone, it would take the place of what the
                # readers of this process are about to read.
                recent.see(recent.begin, base + len(envelopes))
                continue
            recent.add(list(map(Record, range(base, base + len(envelopes)), repeat(at), envelopes)))
        if by_partition:
            self._queue.fail_taken(LogUnavailable(f"partitions {sorted(by_partition)} are not in log_heads"))
        self._queue.taken_ended()
