"""`fliq retention`: what of the history is kept, and what would be forgotten."""

from __future__ import annotations

import argparse
from typing import Any, Final

from libs.domain.history.choice import HistoryTerms, wanted
from libs.domain.instants import rfc3339
from libs.domain.job import JobStatus
from libs.log.port import Log
from libs.runtime.clock import SteadyClock
from libs.runtime.settings.settings import Settings
from libs.store.history.history_report import HistoryReport
from services.commands.access import opened
from services.commands.output import answer, answer_json, answer_rows
from services.start_error import StartError

NAME: Final = "retention"
MEANING: Final = "show which ended jobs and how much of the log are kept, and how many jobs would be forgotten"
TEXT: Final = """\
Show the ended jobs that are kept, by kind of end: how many there are, and when the oldest ended; and how many records the log has.

    fliq retention show             what is kept, and what the settings say
    fliq retention run --dry-run    how many jobs the settings of this shell would forget, and about how many bytes

Fliq forgets by itself, once a minute, what FLIQ_HISTORY_DAYS and FLIQ_HISTORY_FAILED_DAYS say, and deletes it a little at a
time. So `run` without --dry-run is refused. To see what other settings would do, set them for this command:

    FLIQ_HISTORY_DAYS=7 fliq retention run --dry-run

All ended jobs are counted, which takes some time if there are many millions.

exit codes: 0 done, 1 failed, 2 wrong usage or settings
"""
_WORDS: Final = {
    None: "heartbeat",
    JobStatus.COMPLETED: "success",
    JobStatus.FAILED: "failed",
    JobStatus.CANCELLED: "cancelled",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("action", choices=["show", "run"], help="show what is kept, or count what would be forgotten")
    parser.add_argument("--dry-run", action="store_true", help="with `run`: count only")
    parser.add_argument("--json", action="store_true", help="answer as one JSON document")


async def run(args: argparse.Namespace, settings: Settings) -> int:
    """Show what is kept, or count what would go."""
    if args.action == "run" and not args.dry_run:
        raise StartError("Fliq forgets by itself, once a minute: `fliq retention run --dry-run` counts what would go")
    async with opened(settings) as access:
        report = HistoryReport(await access.tables())
        if args.action == "show":
            return await _show(args, report, settings, await access.log())
        return await _count(args, report, settings)


async def _show(args: argparse.Namespace, report: HistoryReport, settings: Settings, log: Log) -> int:
    days = {None: "1 hour", JobStatus.FAILED: _days(settings.history_failed_days)}
    rows: list[dict[str, Any]] = [
        {
            "kind": _WORDS[kept.status],
            "rows": kept.rows,
            "oldest": rfc3339(kept.oldest_at),
            "kept_for": days.get(kept.status, _days(settings.history_days)),
        }
        for kept in await report.kept()
    ]
    rows += await _of_log(log, settings)
    if args.json:
        answer_json(rows)
    elif rows:
        answer_rows(rows, ("kind", "rows", "oldest", "kept for"), as_json=False)
    else:
        answer("no job has ended, or all that did are forgotten")
    return 0


async def _of_log(log: Log, settings: Settings) -> list[dict[str, Any]]:
    """Return the log as one more kind: its records, and when the oldest of them came."""
    count, oldest = 0, []
    for partition in range(await log.partitions()):
        begin, end = await log.begin(partition), await log.end(partition)
        count += end - begin
        if end > begin:
            oldest.append((await log.read(partition, begin, max_records=1))[0].at)
    if not oldest:
        return []
    days = f"{settings.log_days} days, half as long again at the most" if settings.log_days else "for ever"
    return [{"kind": "records of the log", "rows": count, "oldest": rfc3339(min(oldest)), "kept_for": days}]


async def _count(args: argparse.Namespace, report: HistoryReport, settings: Settings) -> int:
    terms = HistoryTerms(days=settings.history_days, failed_days=settings.history_failed_days)
    now, positions = SteadyClock().now(), await report.positions()
    new = {
        part: wanted(terms, floors, now=now, position=positions[part], oldest_at=None, is_pressed=False)
        for part, floors in (await report.floors()).items()
    }
    jobs = await report.would_go(new)
    size = int(jobs * await report.bytes_a_job())
    if args.json:
        answer_json({"jobs": jobs, "bytes": size})
    else:
        answer(f"{jobs} jobs would be forgotten, about {size / 1e6:.1f} MB of the tables")
    return 0


def _days(days: int) -> str:
    return f"{days} days" if days else "for ever"
