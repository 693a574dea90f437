"""`fliq log`: its options, and its three actions: tail, dump, stats."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import heapq
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from libs.domain.job import MAX_OFFSETS, JobState
from libs.events.ids import partition_of
from libs.log.ends import all_ends
from libs.log.port import Log, LogUnavailable, Record
from libs.runtime.clock import SystemClock
from libs.runtime.lifecycle import signals_handled
from libs.runtime.settings.settings import Settings
from libs.store.reads.partition_tables import Tables
from services.commands.access import opened
from services.commands.log import scan, stats
from services.commands.log.lines import line
from services.commands.log.selection import Selection, job_id, schedule_id, when
from services.commands.option_values import whole
from services.commands.output import Output, OutputClosed, answer, answer_json, columns, progress
from services.commands.progress_bar import ProgressBar
from services.process.start_errors import is_log_apart
from services.start_error import StartError

NAME: Final = "log"
MEANING: Final = "show what stands in the log: tail, dump, stats"
TEXT: Final = """\
Show the records of the log, one line of JSON each: where it stands, its headers, and the event in it.

    fliq log tail                            the last ten, then what comes, until Ctrl-C
    fliq log dump --job job_01h...           a job's life: what counted, found by the positions that its row remembers
    fliq log dump --job job_01h... --scan    every record that names it, also those that changed nothing
    fliq log dump --since 10m --type job.finished --type job.cancelled
    fliq log stats                           records by type and partition; void decisions; records that cannot be read

It opens the log only, changes nothing, and may run beside the services. Times are those at which the log took a record.
A dump goes partition by partition, each in its own order. A record that cannot be read is shown with the reason and its
bytes in base64. Values of headers and bodies are shown as ***, and addresses without path and query, unless
--show-secrets is given.
"""
PARTITION_FACTS: Final = (
    *("partition", "begin", "end", "records", "bytes", "first_at", "last_at"),
    *("claims", "void_decisions", "unreadable"),
)
WAIT_S: Final = 1.0  # for new records, and between two checks whether the output is still read
AWAY_S: Final = 1.0  # before a log that does not answer is asked again


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("action", choices=["tail", "dump", "stats"], help="follow the log, show a part of it, or count")
    parser.add_argument("--job", type=job_id, metavar="ID", help="records of this job")
    parser.add_argument("--schedule", type=schedule_id, metavar="ID", help="records of this schedule itself")
    parser.add_argument("--type", action="append", metavar="NAME", help="records of this type, e.g. job.finished")
    parser.add_argument("--partition", type=whole, metavar="N", help="records of this partition")
    parser.add_argument("--since", type=when, metavar="WHEN", help="RFC 3339, or a time ago: 30s, 10m, 2h, 7d")
    parser.add_argument("--until", type=when, metavar="WHEN", help="the same")
    parser.add_argument("--from-position", type=whole, metavar="P", help="from this position of each partition on")
    parser.add_argument("--limit", type=whole, metavar="N", help="dump, tail: end after so many lines")
    parser.add_argument("-n", "--lines", type=whole, default=10, metavar="N", help="tail: show so many first [10]")
    parser.add_argument("--once", action="store_true", help="tail: show the last ones and end")
    parser.add_argument(
        "--scan", action="store_true", help="dump --job: read the partition, not only what the job's row names"
    )
    parser.add_argument(
        "--show-secrets", action="store_true", help="show values of headers, bodies, and whole addresses"
    )
    parser.add_argument("--json", action="store_true", help="stats: answer as one JSON document")


async def run(args: argparse.Namespace, settings: Settings) -> int:
    """Show records, or count them."""
    now = SystemClock().now()
    selection = Selection(
        job=args.job,
        schedule=args.schedule,
        types=None if args.type is None else frozenset(args.type),
        partition=args.partition,
        since=None if args.since is None else args.since.at(now),
        until=None if args.until is None else args.until.at(now),
        from_position=args.from_position,
    )
    async with opened(settings, needs_database=not is_log_apart(settings)) as access:
        log = await access.log()
        partitions = _partitions(selection, await log.partitions())
        if args.action == "stats":
            await _stats(args, log, partitions, selection)
            return 0
        printer = _Printer(args)
        with contextlib.suppress(OutputClosed):
            if args.action == "tail":
                await _tail(args, log, partitions, selection, printer)
            else:
                await _dump(args, settings, log, partitions, selection, printer)
    return 0


def _partitions(selection: Selection, count: int) -> Sequence[int]:
    only = selection.only_partition
    if only is None:
        return range(count)
    if not 0 <= only < count:
        raise StartError(f"there is no partition {only}: the log has {count}, from 0 on")
    return [only]


class _Printer:
    """Prints records, up to --limit."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.output = Output()
        self._left: int | None = args.limit
        self._with_secrets: bool = args.show_secrets

    def show(self, partition: int, record: Record) -> None:
        """Print *record*. Raises `OutputClosed` after the last one wanted, or if the output is not read any more."""
        if self._left is not None and self._left <= 0:
            raise OutputClosed
        self.output.write(line(partition, record, with_secrets=self._with_secrets))
        if self._left is not None:
            self._left -= 1
            if not self._left:
                raise OutputClosed


# --- dump ------------------------------------------------------------------------------------------------------------


async def _dump(
    args: argparse.Namespace,
    settings: Settings,
    log: Log,
    partitions: Sequence[int],
    selection: Selection,
    printer: _Printer,
) -> None:
    if selection.job is not None and not args.scan:
        positions = await _remembered(settings, selection.job)
        if positions and len(positions) < MAX_OFFSETS:
            await _show_job(log, selection.job, positions, selection, printer)
            return
    bounds = {each: await scan.bounds(log, each, selection) for each in partitions}
    async for partition, record in _scanned(log, bounds, selection, show_bar=not sys.stdout.isatty()):
        printer.show(partition, record)


async def _show_job(log: Log, job: str, positions: Sequence[int], selection: Selection, printer: _Printer) -> None:
    partition = partition_of(job)
    begin = await log.begin(partition)
    for position in positions:
        if position >= begin:
            for record in await log.read(partition, position, max_records=1):
                if selection.takes(record):
                    printer.show(partition, record)


async def _remembered(settings: Settings, job: str) -> Sequence[int]:
    """Return the positions that the job's row names; none if there is no row, or if the tables cannot be read."""
    try:
        async with opened(settings, log_level=None) as access:
            await access.check_schema()
            states = await Tables(await access.tables()).load(partition_of(job), [job])
    except StartError as error:
        progress(f"the tables do not say where the job's records are, so its partition is read: {error}")
        return ()
    return next((state.offsets for state in states if isinstance(state, JobState)), ())


async def _scanned(
    log: Log, bounds: Mapping[int, tuple[int, int]], selection: Selection, *, show_bar: bool = True
) -> AsyncIterator[tuple[int, Record]]:
    """Yield the records within *bounds* that *selection* takes, partition by partition."""
    total = sum(max(0, end - first) for first, end in bounds.values())
    done = 0
    with ProgressBar("records") as bar:

        def advance(count: int) -> None:
            nonlocal done
            done += count
            if show_bar:
                bar("reading", done, total)

        for partition, (first, end) in bounds.items():
            async for record in scan.records(log, partition, first, end, selection, on_read=advance):
                yield partition, record


# --- tail ------------------------------------------------------------------------------------------------------------


async def _tail(
    args: argparse.Namespace, log: Log, partitions: Sequence[int], selection: Selection, printer: _Printer
) -> None:
    ends = await all_ends(log, partitions)
    found: list[tuple[int, int, Record]] = []
    for partition, end in ends.items():
        last = await scan.last(log, partition, end, selection, args.lines)
        found += [(record.at, partition, record) for record in last]
    newest = heapq.nlargest(args.lines, found, key=lambda each: (each[0], each[1], each[2].position))
    for _, partition, record in reversed(newest):
        printer.show(partition, record)
    if args.once:
        return
    stopped = asyncio.Event()
    following = [
        asyncio.create_task(_follow(log, each, end, selection, printer), name=f"tail of partition {each}")
        for each, end in ends.items()
    ]
    watching = asyncio.create_task(_watch(printer), name="tail's output")
    waiting = asyncio.create_task(stopped.wait(), name="tail's end")
    tasks = [*following, watching, waiting]
    try:
        with signals_handled((signal.SIGINT, signal.SIGTERM), lambda _: stopped.set()):
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _follow(log: Log, partition: int, position: int, selection: Selection, printer: _Printer) -> None:
    is_away = False
    while True:
        try:
            found = await log.read(partition, position, wait_s=WAIT_S)
        except LogUnavailable as error:
            if not is_away:
                progress(f"partition {partition}: {error}; waiting for it")
            is_away = True
            await asyncio.sleep(AWAY_S)
            continue
        is_away = False
        for record in found:
            position = record.position + 1
            if selection.takes(record):
                printer.show(partition, record)


async def _watch(printer: _Printer) -> None:
    while True:
        printer.output.check()
        await asyncio.sleep(WAIT_S)


# --- stats -----------------------------------------------------------------------------------------------------------


async def _stats(args: argparse.Namespace, log: Log, partitions: Sequence[int], selection: Selection) -> None:
    everything = Selection(from_position=selection.from_position)  # claims count for the records after them
    bounds = {each: await scan.bounds(log, each, selection) for each in partitions}
    counted: dict[int, stats.PartitionStats] = {}
    for partition, (first, _) in bounds.items():
        begin, end = await log.begin(partition), await log.end(partition)
        counted[partition] = stats.PartitionStats(partition, begin=begin, end=end, is_whole=first == begin == 0)
    async for partition, record in _scanned(log, bounds, everything):
        counted[partition].add(record, is_wanted=selection.takes(record))
    facts = stats.facts(list(counted.values()))
    if args.json:
        answer_json(facts)
        return
    types = [(name, each["records"], each["bytes"]) for name, each in facts["types"].items()]
    answer(columns(("type", "records", "bytes"), types))
    heads = [head.replace("_at", "") for head in PARTITION_FACTS]
    answer("\n" + columns(heads, [[each[name] for name in PARTITION_FACTS] for each in facts["partitions"]]))
    answer(
        f"\n{facts['records']:,} records, {facts['bytes']:,} bytes, from {facts['first_at'] or '-'} to {facts['last_at'] or '-'}\n"
        + ", ".join(f"{facts[name]:,} {name.replace('_', ' ')}" for name in stats.COUNTS)
    )
