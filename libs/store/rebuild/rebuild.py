"""
Rebuild: makes the tables again from the first record of the log, beside the tables in use, and puts them in their place while
services run.

    fold      every partition up to the position of the old tables; rows go by COPY into side tables that have only their keys
    compare   in a snapshot of the old tables, with the new ones folded to exactly its positions: a hash per table and partition
    index     make the other indexes, and collect statistics
    follow    fold in rounds, each shorter than the one before, until the new tables are a moment behind the log
    switch    one short transaction in which no other process reads or writes: fold the last records, drop the old tables, move
              the new ones in, end every lease

Why nothing is lost: everything that was acknowledged stands in the log. When the new tables take over, they are at least as far
as the old ones, so every read that waited for a position finds it. The database refuses the flushes of the owners. They resign
and take over again from the new tables, as after the death of another owner, and read in the log what they had decided and not
saved.

Why nothing is doubled: the position and the admitted claim of each partition move with its rows in the same transaction.

If a rebuild dies, the old tables stay in use; the next rebuild drops what is left of it and begins again. A second rebuild at
the same time is refused, by a lock that ends with its connection.

Memory: `STATES_MAX` states and one batch of rows for each of `WORKERS`. States that were dropped from memory are read back from
the side tables by key.

A log that was trimmed carries what lived where it begins, and the fold begins with that. Rows that are older (older_rows.py) are
taken over from the old tables as they are, and compared with the sums of their hours and days in the log (sealed_rows.py).

Not safe, and refused: a log that was trimmed by somebody else, and one that ends before the tables.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final

import asyncpg
import msgspec
import structlog

from libs.log.ends import all_ends
from libs.log.port import Log, LogDamaged
from libs.store.errors import translated
from libs.store.history.janitor import LOCK as JANITOR_LOCK
from libs.store.history.janitor import sweep_all
from libs.store.pool import CONNECT_TIMEOUT_S, SCHEMA
from libs.store.projection.table_registry import FOLD_TABLES
from libs.store.reads.partition_tables import TablePosition, Tables, positions
from libs.store.rebuild import row_hash, side_rows, side_tables
from libs.store.rebuild.difference import Differences
from libs.store.rebuild.older_rows import Older, take_over
from libs.store.rebuild.rebuild_session import LOCK, WRITER, connect, old_positions, undone
from libs.store.rebuild.replay import Replay
from libs.store.rebuild.sealed_rows import sealed_differences
from libs.store.rebuild.side_tables import SIDE, TablesLocked

WORKERS: Final = 2  # while one waits for the database, the other folds
ROWS_MAX: Final = 20_000  # changed rows gathered before they are written
SPEC_BYTES_MAX: Final = 32_000_000  # the same for specs
STATES_MAX: Final = 200_000  # states that a worker keeps
SHORT_TAIL: Final = 500  # records; with fewer left to fold, the switch takes milliseconds
ROUNDS_MAX: Final = 50
SWITCH_S: Final = 3.0  # the longest time for which others can neither read nor write
SWITCH_TRIES: Final = 30
SWITCH_PAUSE_S: Final = 0.5
MEASURE_S: Final = 5.0  # after the switch, to wait for the answer that tells how long it took

_log = structlog.get_logger("rebuild")

OnProgress = Callable[[str, int, int], None]


class RebuildRefused(Exception):
    """There is a reason not to rebuild; the message is one line."""


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a rebuild did.

    Args:
        records: how many were folded.
        rows: how many the new tables had when they were compared, by table.
        differences: where the old tables were not what the log says, at the same positions.
        has_switched: whether the new tables are in use.
        paused_ms: for how long others could neither read nor write; None if that could not be measured.
        hashes: those of the new tables when they were compared, by partition and table.
    """

    records: int
    rows: dict[str, int]
    differences: Differences
    has_switched: bool
    paused_ms: float | None
    hashes: row_hash.Hashes


class Rebuild:
    """One rebuild of the tables at *dsn* from *log*."""

    def __init__(
        self,
        log: Log,
        dsn: str,
        *,
        rows_max: int = ROWS_MAX,
        states_max: int = STATES_MAX,
        on_progress: OnProgress = lambda stage, done, total: None,
    ) -> None:
        """
        Prepare; nothing happens before `run`.

        Args:
            rows_max: how many rows are gathered before they are written; the result does not depend on it.
            states_max: how many states one worker keeps; the result does not depend on it either.
            on_progress: called with the stage (`folding`, `indexing`, ...), how much of it is done, and how much there is.
        """
        self._log = log
        self._dsn = dsn
        self._rows_max = rows_max
        self._states_max = states_max
        self._on_progress = on_progress
        self._replays: dict[int, Replay] = {}
        self._writers: list[Any] = []
        self._records = 0
        self._steps: list[int] = []

    async def run(self, *, is_check: bool = False, is_dry_run: bool = False) -> Rebuilt:
        """
        Rebuild.

        Args:
            is_check: stop after comparing, and leave nothing behind.
            is_dry_run: do everything except the switch, and leave nothing behind.

        Raises:
            RebuildRefused: another rebuild runs, or log and tables do not belong together.
            TablesLocked: another process held the old tables at every try; they stay in use.
            LogError, StoreUnavailable: one of the two cannot be reached; the old tables stay in use.
            GapInLog, MustUnderstand: the log cannot be folded.
        """
        async with AsyncExitStack() as stack:
            with translated():
                control = await connect(stack, self._dsn, "control")
                if not await control.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
                    raise RebuildRefused("another `fliq rebuild` is under way")
                try:
                    return await self._run(stack, control, is_check, is_dry_run)
                finally:
                    await self._tidy(control)

    async def _run(self, stack: AsyncExitStack, control: Any, is_check: bool, is_dry_run: bool) -> Rebuilt:
        ends = await self._begin(control)
        self._steps = await side_tables.schema_steps(control)
        await side_tables.make(control)
        for number in range(WORKERS):
            writer = await connect(stack, self._dsn, f"writer {number}", WRITER)
            await side_rows.prepare(writer)
            self._writers.append(writer)
        await side_rows.prepare(control)
        stands = await old_positions(control)
        await self._begin_with_carried()
        await self._fold({each: min(stands[each], ends[each] - 1) for each in stands}, "folding")
        differences, hashes = await self._compare(stack, control)
        has_switched = False
        paused_ms: float | None = 0.0
        if not is_check:
            await self._follow()
            await self._index(control)
            await self._follow()
        if not is_check and not is_dry_run:
            paused_ms = await self._switch(control)
            has_switched = True
        return Rebuilt(
            records=self._records,
            rows={table: sum(each.rows for (_, of), each in hashes.items() if of == table) for table in FOLD_TABLES},
            differences=differences,
            has_switched=has_switched,
            paused_ms=paused_ms,
            hashes=hashes,
        )

    async def _begin(self, control: Any) -> dict[int, int]:
        """Check that log and tables belong together; returns where the partitions of the log end."""
        stands = await old_positions(control)
        count = await self._log.partitions()
        if set(stands) != set(range(count)):
            raise RebuildRefused(
                f"the tables know {len(stands)} partitions and the log has {count}: start the services first, they mend that"
            )
        ends = await all_ends(self._log, stands)
        for partition, position in stands.items():
            if position >= ends[partition]:
                raise RebuildRefused(
                    f"partition {partition}: the tables stand at {position}, and the log ends at {ends[partition]}:"
                    " it is not the log of these tables, or it lost records"
                )
            self._replays[partition] = Replay(self._log, partition, begin=await self._log.begin(partition))
        return ends

    # --- folding -----------------------------------------------------------------------------------------------------

    async def _begin_with_carried(self) -> None:
        """Write what the log carries of what stood before it begins."""
        for replay in self._replays.values():
            try:
                async for _ in replay.begin_with_carried():
                    await self._write(replay, self._writers[0])
            except LogDamaged as error:
                raise RebuildRefused(str(error)) from error

    async def _fold(self, until: Mapping[int, int], stage: str) -> None:
        """Fold into the side tables exactly up to the positions *until*; a partition that is further already stays."""
        waiting = [replay for each, replay in self._replays.items() if replay.position < until[each]]
        waiting.sort(
            key=lambda replay: until[replay.partition] - replay.position
        )  # taken from the end: the longest first
        total = sum(until[replay.partition] - replay.position for replay in waiting)
        done = 0

        def advanced(count: int) -> None:
            nonlocal done
            done += count
            self._records += count
            self._on_progress(stage, done, total)

        async def work(writer: Any) -> None:
            while waiting:
                replay = waiting.pop()
                await self._advance(replay, until[replay.partition], writer, advanced)
                if sum(_states(each) for each in self._replays.values()) > self._states_max:
                    replay.forget()

        try:
            async with asyncio.TaskGroup() as tasks:
                for writer in self._writers:
                    tasks.create_task(work(writer))
        except ExceptionGroup as group:
            raise group.exceptions[0] from group

    async def _advance(self, replay: Replay, until: int, writer: Any, advanced: Callable[[int], None]) -> None:
        load = Tables(writer).load
        while count := await replay.step(until, load):
            advanced(count)
            if len(replay.changes) >= self._rows_max or replay.changes.spec_bytes >= SPEC_BYTES_MAX:
                await self._write(replay, writer)
        await self._write(replay, writer)

    async def _write(self, replay: Replay, writer: Any) -> None:
        await side_rows.write(writer, replay.changes)
        replay.taken()
        if _states(replay) > self._states_max:
            replay.forget()

    async def _index(self, control: Any) -> None:
        statements = await side_tables.indexes(control)
        statements += [f"ANALYZE {SIDE}.{table}" for table in side_tables.TABLES]
        for number, statement in enumerate(statements):
            self._on_progress("indexing", number, len(statements))
            await control.execute(statement)
        self._on_progress("indexing", len(statements), len(statements))

    # --- comparing ---------------------------------------------------------------------------------------------------

    async def _compare(self, stack: AsyncExitStack, control: Any) -> tuple[Differences, row_hash.Hashes]:
        """Compare the old tables with the new ones, at the positions of a snapshot of the old ones."""
        await self._fold(await old_positions(control), "following")  # so that the snapshot is short
        reader = await connect(stack, self._dsn, "compare")
        await control.execute("SELECT pg_advisory_lock($1)", JANITOR_LOCK)
        async with (
            undone(reader),
            control.transaction(isolation="repeatable_read"),  # its snapshot is taken by its first query, below
        ):
            await self._fold(await old_positions(reader), "following")
            self._on_progress("comparing", 0, 2)
            for replay in self._replays.values():
                if replay.beginning.begin:
                    await take_over(control, SIDE, SCHEMA, replay.partition, Older.than(replay.beginning))
                    replay.forget()  # from here on records find these rows, too
            # Rows of forgotten jobs may still be there, or not: they are no difference.
            await asyncio.gather(sweep_all(reader, SCHEMA), sweep_all(control, SIDE))
            old, new = await asyncio.gather(row_hash.hashes(reader, SCHEMA), row_hash.hashes(control, SIDE))
            self._on_progress("comparing", 1, 2)
            found = await row_hash.differences(reader, control, (SCHEMA, SIDE), old, new)
            found.include(await sealed_differences(control, self._replays.values()))
            for partition, (position, claim) in (await positions(reader)).items():
                folded = self._replays[partition].ledger.claim
                if claim != folded and position == self._replays[partition].position:
                    stored = None if claim is None else str(claim)
                    found.add(partition, "progress", "", "changed", {"claim": (stored, str(folded))})
            self._on_progress("comparing", 2, 2)
        await control.execute("SELECT pg_advisory_unlock($1)", JANITOR_LOCK)
        await reader.close()
        return found, new

    # --- switching ---------------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Fold in rounds until the new tables are a moment behind the log."""
        for _ in range(ROUNDS_MAX):
            ends = await all_ends(self._log, self._replays)
            tail = sum(end - 1 - self._replays[each].position for each, end in ends.items())
            await self._fold({each: end - 1 for each, end in ends.items()}, "following")
            if tail <= SHORT_TAIL:
                return
        raise RebuildRefused("the log grows faster than it can be folded: try again when there is less to do")

    async def _switch(self, control: Any) -> float | None:
        """Replace the old tables; return for how many ms others could neither read nor write, None if that is not known."""
        loop = asyncio.get_running_loop()
        reason = ""
        for number in range(SWITCH_TRIES):
            self._on_progress("switching", number, SWITCH_TRIES)
            await self._follow()
            last = _LastRecords(self, control)
            try:
                async with asyncio.timeout(None) as bound, side_tables.switching(control) as switch:
                    bound.reschedule(loop.time() + SWITCH_S)
                    await switch(last)
                    bound.reschedule(None)  # do not give up a commit: it may be done all the same
                self._on_progress("switching", SWITCH_TRIES, SWITCH_TRIES)
                return await last.held_ms()
            except TablesLocked as held:
                reason = str(held)
            except TimeoutError:
                reason = f"the last records took longer than {SWITCH_S:g} s"
            finally:
                await last.end()
            await asyncio.sleep(SWITCH_PAUSE_S)
        raise TablesLocked(f"{reason}: end that, or try again later; the old tables still serve")

    async def _last_records(self, control: Any) -> dict[int, TablePosition]:
        """Fold into the new tables up to the position of the old ones, which are locked; return the positions."""
        if await side_tables.schema_steps(control) != self._steps:
            raise RebuildRefused("the tables were migrated meanwhile: begin again")
        load = Tables(control).load
        for partition, position in (await old_positions(control)).items():
            replay = self._replays.get(partition)
            if replay is None:
                raise RebuildRefused("partitions were added meanwhile: begin again")
            while await replay.step(position, load):
                pass
            if len(replay.changes):
                # The changes are kept: if the transaction fails, the next try writes them again.
                await side_rows.write(control, replay.changes)
        await side_tables.raise_needs(control, {partition: replay.needs for partition, replay in self._replays.items()})
        return {partition: (replay.position, replay.ledger.claim) for partition, replay in self._replays.items()}

    async def _tidy(self, control: Any) -> None:
        """Leave nothing behind; the next rebuild drops what cannot be dropped now."""
        for writer in self._writers:
            writer.terminate()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await side_tables.drop(control)
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            _log.warning("side_tables_left", reason=f"{error}; the next rebuild drops them")


class _LastRecords:
    """Folds the last records of one try of the switch, and measures for how long others waited meanwhile."""

    def __init__(self, rebuild: Rebuild, control: Any) -> None:
        self._rebuild = rebuild
        self._control = control
        self._began_s = 0.0
        self._waiting: asyncio.Task[float] | None = None

    async def __call__(self) -> dict[int, TablePosition]:
        self._began_s = asyncio.get_running_loop().time()
        # A query that waits as all others do. The commit itself returns later: it removes the files of the old tables.
        self._waiting = asyncio.create_task(self._wait(), name="wait for the switch")
        return await self._rebuild._last_records(self._control)

    async def _wait(self) -> float:
        await self._rebuild._writers[0].fetchval(f"SELECT count(*) FROM {SCHEMA}.progress")  # noqa: S608
        return asyncio.get_running_loop().time()

    async def held_ms(self) -> float | None:
        """Return for how many ms others waited; None if the query got no answer: the switch is done all the same."""
        if self._waiting is None:
            return 0.0
        await asyncio.wait([self._waiting], timeout=MEASURE_S)
        if not self._waiting.done() or self._waiting.exception() is not None:
            return None
        return (self._waiting.result() - self._began_s) * 1000

    async def end(self) -> None:
        """End the query that waits."""
        if self._waiting is not None:
            await asyncio.wait([self._waiting], timeout=MEASURE_S)
            self._waiting.cancel()
            await asyncio.wait([self._waiting], timeout=MEASURE_S)
            if self._waiting.done() and not self._waiting.cancelled():
                self._waiting.exception()  # mark it as retrieved, so that asyncio does not report it


def _states(replay: Replay) -> int:
    return len(replay.ledger.states)
