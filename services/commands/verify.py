"""`fliq verify`: the tables against the log."""

from __future__ import annotations

import argparse
from typing import Any, Final

import msgspec

from libs.runtime.settings.settings import Settings
from libs.store.rebuild.difference import Differences
from libs.store.rebuild.verify import Report, verify
from services.commands.access import opened
from services.commands.option_values import whole
from services.commands.output import answer, answer_json
from services.commands.progress_bar import ProgressBar
from services.start_error import StartError

NAME: Final = "verify"
MEANING: Final = "compare the tables with the log, row for row; exit 1 on a difference"
TEXT: Final = """\
Read the log from its beginning, compute the tables that follow from it, and compare them with every row of the real ones
(in one snapshot, up to the position where they are).

Prints a line for each row that differs: its table, its key, and what the tables and the log say (of a spec only that it
differs: it may hold secrets). It only reads, and may run beside the services. What to do about a difference: keep what
this printed, and run `fliq rebuild`, which makes the tables again from the log.

exit codes: 0 no difference, 1 a difference or a failure, 2 wrong usage or settings
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--partition", type=whole, action="append", metavar="N", help="only this partition (may be given several times)"
    )
    parser.add_argument("--json", action="store_true", help="answer as one JSON document")


async def run(args: argparse.Namespace, settings: Settings) -> int:
    """Compare; prints every difference and returns 1 when there is one."""
    async with opened(settings, log_level="warning") as access:
        await access.check_schema()
        log, pool = await access.log(), await access.tables()
        count = await log.partitions()
        partitions = sorted(set(args.partition)) if args.partition else list(range(count))
        if unknown := [each for each in partitions if not 0 <= each < count]:
            raise StartError(f"--partition: there is no partition {unknown[0]}: the log has {count}, from 0 on")
        with ProgressBar("records") as bar:
            report = await verify(log, pool, partitions, on_progress=lambda done, total: bar("verifying", done, total))
    if args.json:
        answer_json(_facts(report))
    else:
        for line in report.differences.lines():
            answer(line)
        answer(_summary(report))
    return 1 if report.differences.count else 0


def differences_json(found: Differences) -> dict[str, Any]:
    """Return differences as JSON has them: how many, and the first of each table and partition."""
    return {
        "differences": found.count,
        "rows_that_differ": [
            msgspec.to_builtins(each)
            | {"columns": {name: {"tables": ours, "log": theirs} for name, (ours, theirs) in each.columns.items()}}
            for each in found.shown
        ],
    }


def _facts(report: Report) -> dict[str, Any]:
    return {
        "partitions": report.partitions,
        "records": report.records,
        "rows": report.rows,
        "sealed_rows": report.sealed,
        "older_rows": report.older,
    } | differences_json(report.differences)


def _summary(report: Report) -> str:
    compared = (
        f"{sum(report.rows.values()):,} rows compared with {report.records:,} records"
        f" of {report.partitions} partition{'s' if report.partitions != 1 else ''}"
    )
    if report.sealed:
        compared += f"; {report.sealed:,} of them are older than the log, and right by the sums in it"
    if report.older:
        compared += f"; {report.older:,} of them are older than the log, and nothing says whether they are right"
    if report.differences.count:
        return f"{report.differences.count:,} differences; {compared}"
    return f"the tables are the fold of the log: {compared}"
