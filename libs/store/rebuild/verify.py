"""
Verify: proves that the tables are the fold of the log.

For each group of partitions: fold the log up to the position of the tables. Open a snapshot of the tables, and fold the few
records that came meanwhile. Then compare the rows one by one with the fold, and remove each from it; what is left is missing in
the tables.

A log that was trimmed carries what lived where it begins, and the fold begins with that. Rows that are older (older_rows.py) are
proved by the sums of their hours and days, which stand in the log (sealed_rows.py). What has no sum is counted.

The fold takes nothing from the tables but the positions, and nothing is written, so this may run beside the services. A
snapshot is kept only while rows are read. Memory: the fold of one group, `GROUP_RECORDS` records or one partition, whichever is
more; a table is read once for each group.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec

from libs.domain.history.floors import FIELDS, NOTHING_FORGOTTEN, Floors
from libs.domain.state_registry import id_of
from libs.events import Claim
from libs.events.ids import from_int
from libs.log.ends import all_ends
from libs.log.port import Log
from libs.store.errors import translated
from libs.store.projection import rows
from libs.store.projection.changes import LabelRow
from libs.store.projection.state_table import StateTable
from libs.store.projection.table_registry import FOLD_TABLES, STATE_TABLES
from libs.store.reads.partition_tables import LOCK_BEFORE_SNAPSHOT, NOTHING_FOLDED, positions
from libs.store.rebuild.difference import Differences, columns_apart
from libs.store.rebuild.forgotten_states import forgotten_in
from libs.store.rebuild.older_rows import Older, known_specs
from libs.store.rebuild.replay import Replay
from libs.store.rebuild.response_check import RESPONSE_COLUMNS, DigestedResponse, not_forgotten, response_of
from libs.store.rebuild.sealed_rows import SealedRows

GROUP_RECORDS: Final = 400_000  # about 150 MB of states
ROWS: Final = 2_000  # fetched at once
TRIES: Final = 3  # if the tables go back to an older position meanwhile
TIMEOUT_S: Final = 600.0  # of one fetch: the first one may have to pass over the rows of all other partitions

OnProgress = Callable[[int, int], None]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """
    What was compared, and what was found.

    Args:
        records: how many were folded.
        rows: how many were compared, by table; those that are older than the log are among them.
        sealed: how many are older than the log, and are right by a sum that the log has of them.
        older: how many are older than the log, and nothing says whether they are right.
    """

    partitions: int
    records: int
    rows: dict[str, int]
    sealed: int = 0
    older: int = 0
    differences: Differences


class _TablesWentBack(Exception):
    """The tables stand before a position that they had already: they were restored, or their server crashed."""


async def differences(log: Log, pool: Any, partition: int | None = None) -> list[str]:
    """Return a line for each difference between the tables and the fold of the log; see `verify`."""
    partitions = range(await log.partitions()) if partition is None else [partition]
    return list((await verify(log, pool, partitions)).differences.lines())


async def verify(
    log: Log, pool: Any, partitions: Sequence[int], *, on_progress: OnProgress = lambda done, total: None
) -> Report:
    """
    Compare the tables of *partitions* with the fold of the log.

    Args:
        on_progress: called with the records folded so far, and how many there will be.

    Raises:
        LogError, StoreUnavailable: one of the two cannot be read.
        GapInLog, MustUnderstand: the log itself cannot be folded.
    """
    return await _Verification(log, pool, on_progress).run(partitions)


_NEEDS: Final = "SELECT needs FROM progress WHERE part = $1"


class _Verification:
    def __init__(self, log: Log, pool: Any, on_progress: OnProgress) -> None:
        self._log = log
        self._pool = pool
        self._on_progress = on_progress
        self._found = Differences()
        self._rows = dict.fromkeys(FOLD_TABLES, 0)
        self._records = 0
        self._expected = 0
        self._older = 0
        self._sealed = 0

    async def run(self, partitions: Sequence[int]) -> Report:
        with translated():
            known = dict.fromkeys(partitions, NOTHING_FOLDED) | await positions(self._pool, partitions)
        begins = {each: await self._log.begin(each) for each in partitions}
        sizes = {each: max(0, known[each][0] + 1 - begins[each]) for each in partitions}
        self._expected = sum(sizes.values())
        for group in _groups(sizes):
            for tries in range(TRIES):
                replays = {each: _DigestingReplay(self._log, each, begin=await self._log.begin(each)) for each in group}
                try:
                    await self._group(replays, {each: known[each][0] for each in group})
                    break
                except _TablesWentBack:
                    if tries == TRIES - 1:
                        raise
                    with translated():
                        known |= await positions(self._pool, group)
        return Report(
            partitions=len(partitions),
            records=self._records,
            rows=self._rows,
            sealed=self._sealed,
            older=self._older,
            differences=self._found,
        )

    async def _group(self, replays: "dict[int, _DigestingReplay]", known: dict[int, int]) -> None:
        ends = await all_ends(self._log, replays)
        for each, replay in replays.items():
            async for _ in replay.begin_with_carried():
                replay.digest_specs()
            await self._fold(replay, min(known[each], ends[each] - 1))
        async with self._snapshot() as connection:
            standing = dict.fromkeys(replays, NOTHING_FOLDED) | await positions(connection, replays)
            for each in replays:
                if standing[each][0] < known[each]:
                    raise _TablesWentBack(f"partition {each} went back from {known[each]}")
            for each in list(replays):
                position, claim = standing[each]
                if position >= await self._log.end(each):
                    # Its rows come from another log, or from records that this log lost: they cannot be compared.
                    apart: dict[str, tuple[Any, Any]] = {"position": (position, f"an end at {ends[each]}")}
                    self._found.add(each, "progress", "", "changed", apart)
                    del replays[each]
                    continue
                await self._fold(replays[each], position)
                if claim != replays[each].ledger.claim:
                    apart = {"claim": (_text_of(claim), _text_of(replays[each].ledger.claim))}
                    self._found.add(each, "progress", "", "changed", apart)
                if (needs := await connection.fetchval(_NEEDS, each) or 0) < replays[each].needs:
                    self._found.add(each, "progress", "", "changed", {"needs": (needs, replays[each].needs)})
            if replays:
                comparison = _Comparison(connection, replays, self._found, self._rows)
                await comparison.run()
                self._sealed += comparison.proved
                self._older += comparison.older_count - comparison.proved

    async def _fold(self, replay: "_DigestingReplay", until: int) -> None:
        while folded := await replay.step(until):
            replay.digest_specs()
            self._records += folded
            self._on_progress(self._records, max(self._records, self._expected))

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[Any]:
        with translated():
            async with (
                self._pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                await connection.execute(LOCK_BEFORE_SNAPSHOT)
                for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
                    await connection.execute(f"SET LOCAL {name} = '{TIMEOUT_S:.0f}s'")
                yield connection


class _DigestingReplay(Replay):
    """A replay that keeps digests of specs and responses."""

    def __init__(self, log: Log, partition: int, *, begin: int) -> None:
        super().__init__(log, partition, begin=begin)
        self.digests: dict[str, bytes] = {}
        self.responses: dict[tuple[str, int], DigestedResponse] = {}

    def digest_specs(self) -> None:
        specs = self.changes.specs
        self.digests.update((spec_id, _digest(spec)) for spec_id, spec in specs.items())
        specs.clear()
        self.responses.update(((row.job_id, row.attempt), DigestedResponse.of(row)) for row in self.changes.responses)
        self.changes.responses.clear()
        self.changes.spec_bytes = 0


_UNKNOWN: Final = object()


class _Usage(NamedTuple):
    executions: int


class _Comparison:
    """Compares the rows of a snapshot one by one with what *replays* folded, and removes each from there."""

    def __init__(
        self, connection: Any, replays: dict[int, _DigestingReplay], found: Differences, counts: dict[str, int]
    ) -> None:
        self._connection = connection
        self._replays = replays
        self._found = found
        self._counts = counts
        self._forgotten = {part: forgotten_in(replay.ledger) for part, replay in replays.items()}
        self._older = {part: Older.than(replay.beginning) for part, replay in replays.items()}
        self._known_specs = {
            part: known_specs(replay.ledger.states.values() if replay.beginning.begin else ())
            for part, replay in replays.items()
        }
        self._sealed = {part: SealedRows(replay) for part, replay in replays.items()}
        self.older_count = 0

    @property
    def proved(self) -> int:
        """How many of the rows that are older are right by their sums."""
        return min(self.older_count, sum(each.proved for each in self._sealed.values()))

    async def run(self) -> None:
        for sealed in self._sealed.values():
            await sealed.compare(self._connection, self._found)
        for table in STATE_TABLES:
            await self._states(table)
        await self._specs()
        executions = {part: replay.changes.executions for part, replay in self._replays.items()}
        async for row in self._each("executions", "*"):
            stored = rows.execution_of(row)
            by_log = executions[row["part"]].pop((stored.job_id, stored.attempt), None)
            if by_log is None and self._is_older(self._older[row["part"]].has_execution(stored)):
                continue
            self._compare(
                row, "executions", f"{stored.job_id} {stored.attempt}", stored, by_log, rows.EXECUTION_COLUMNS
            )
        for part, left in executions.items():
            for key in [key for key in left if key[0] in self._forgotten[part].ids]:
                del left[key]
        self._report_missing("executions", executions)
        await self._labels()
        await self._responses()
        usage = {part: replay.changes.usage for part, replay in self._replays.items()}
        async for row in self._each("usage_daily", "part, account, day - DATE '1970-01-01' AS day, executions"):
            count = usage[row["part"]].pop((row["account"], row["day"]), None)
            if count is None and self._is_older(self._older[row["part"]].has_day(row["day"])):
                continue
            counted = None if count is None else _Usage(count)
            name = f"{row['account']} {row['day']}"
            self._compare(row, "usage_daily", name, _Usage(row["executions"]), counted, _Usage._fields)
        self._report_missing("usage_daily", usage)
        await self._floors()

    async def _states(self, table: StateTable[Any]) -> None:
        expected = {part: replay.ledger.states for part, replay in self._replays.items()}
        async for row in self._each(table.name, f"part, {table.listed}"):
            stored = table.state_of(row[1:])
            state_id = id_of(stored)
            by_log = expected[row["part"]].pop(state_id, None)
            if by_log is None and self._is_older(self._older[row["part"]].has_state(stored)):
                continue
            self._compare(row, table.name, state_id, stored, by_log, table.columns)
        self._report_missing(
            table.name,
            {
                part: {each: None for each in states.of(table.kind.state) if each not in self._forgotten[part].ids}
                for part, states in expected.items()
            },
        )

    async def _specs(self) -> None:
        expected = {part: replay.digests for part, replay in self._replays.items()}
        async for row in self._each("specs", "part, spec_id, spec"):
            part, number = row["part"], row["spec_id"].int
            key = from_int("sched", number)
            if key not in expected[part]:
                key = from_int("job", number)
            digest = expected[part].pop(key, None)
            if digest is None:
                is_known = key[-26:] in self._known_specs[part]
                if not self._is_older(not is_known and self._older[part].has_spec(key)):
                    self._found.add(part, "specs", key, "only in the tables")
            elif digest != _digest(row["spec"]):
                self._found.add(part, "specs", key, "changed", {"spec": (None, None)})
        self._report_missing(
            "specs",
            {
                part: {each: None for each in left if self._forgotten[part].needs(each)}
                for part, left in expected.items()
            },
        )

    async def _labels(self) -> None:
        expected = {part: dict.fromkeys(replay.changes.labels) for part, replay in self._replays.items()}
        async for row in self._each("labels", "part, account, key, value, job_id"):
            stored = LabelRow(row["account"], row["key"], row["value"], rows.job_id_of(row["job_id"]))
            sealed = self._sealed[row["part"]].labels
            if expected[row["part"]].pop(stored, _UNKNOWN) is not _UNKNOWN:
                continue
            is_older = stored in sealed or self._older[row["part"]].has_labels(stored.job_id)
            sealed.discard(stored)
            if not self._is_older(is_older):
                self._found.add(row["part"], "labels", stored.name, "only in the tables")
        self._report_missing(
            "labels",
            {
                part: {
                    each.name: None
                    for each in (*left, *self._sealed[part].labels)
                    if each.job_id not in self._forgotten[part].ids
                }
                for part, left in expected.items()
            },
        )

    async def _responses(self) -> None:
        expected = {part: replay.responses for part, replay in self._replays.items()}
        async for row in self._each("responses", RESPONSE_COLUMNS):
            stored = response_of(row)
            by_log = expected[row["part"]].pop((stored.job_id, stored.attempt), None)
            if by_log is None and self._is_older(self._older[row["part"]].has_response(stored)):
                continue
            key = f"{stored.job_id} {stored.attempt}"
            self._compare(row, "responses", key, DigestedResponse.of(stored), by_log, DigestedResponse._fields)
        for part, replay in self._replays.items():
            expected[part] = not_forgotten(expected[part], replay.ledger.floors, self._forgotten[part].ids)
        self._report_missing("responses", expected)

    async def _floors(self) -> None:
        expected = {
            part: {"": replay.ledger.floors}
            for part, replay in self._replays.items()
            if replay.ledger.floors != NOTHING_FORGOTTEN
        }
        async for row in self._each("history", f"part, {', '.join(FIELDS)}"):
            by_log = expected.pop(row["part"], {}).get("")
            self._compare(row, "history", "", Floors(**{name: row[name] for name in FIELDS}), by_log, FIELDS)
        self._report_missing("history", expected)

    def _is_older(self, is_older: bool) -> bool:
        self.older_count += is_older
        return is_older

    async def _each(self, table: str, columns: str) -> AsyncIterator[Any]:
        query = f"SELECT {columns} FROM {table} WHERE part = ANY ($1::int4[])"  # noqa: S608 - our own names
        cursor = await self._connection.cursor(query, list(self._replays))
        while found := await cursor.fetch(ROWS, timeout=TIMEOUT_S):
            self._counts[table] += len(found)
            for row in found:
                yield row

    def _compare(self, row: Any, table: str, key: str, stored: Any, by_log: Any, names: tuple[str, ...]) -> None:
        if by_log is None:
            self._found.add(row["part"], table, key, "only in the tables")
        elif stored != by_log:
            self._found.add(row["part"], table, key, "changed", columns_apart(names, stored, by_log))

    def _report_missing(self, table: str, expected: Mapping[int, Mapping[Any, Any]]) -> None:
        for part, left in expected.items():
            for key in left:
                name = key if isinstance(key, str) else " ".join(map(str, key))
                self._found.add(part, table, name, "only in the log")


def _groups(sizes: dict[int, int]) -> Iterator[list[int]]:
    """Yield the partitions in groups of up to `GROUP_RECORDS` records, one partition at least."""
    group: list[int] = []
    for partition, size in sizes.items():
        if group and sum(sizes[each] for each in group) + size > GROUP_RECORDS:
            yield group
            group = []
        group.append(partition)
    if group:
        yield group


def _digest(spec: bytes) -> bytes:
    return blake2b(spec, digest_size=16).digest()


def _text_of(claim: Claim | None) -> str | None:
    return None if claim is None else str(claim)
