"""`fliq rebuild`: the tables made again from the log."""

from __future__ import annotations

import argparse
import shutil
from typing import Any, Final

from libs.runtime.settings.settings import Settings
from libs.store.rebuild.rebuild import Rebuild, RebuildRefused, Rebuilt
from libs.store.rebuild.side_tables import TablesLocked, TablesNotOwned, table_bytes
from libs.store.schema.log_identity import check_log
from services.commands.access import opened
from services.commands.output import answer, answer_json, progress
from services.commands.progress_bar import ProgressBar
from services.commands.verify import differences_json
from services.start_error import StartError

NAME: Final = "rebuild"
MEANING: Final = "make the tables again from the log, beside the old ones, and switch while the services run"
TEXT: Final = """\
Compute new tables from the log's first record on, and replace the old ones with them while the services run.

    fold      every record, into new tables beside the old ones (schema fliq_rebuild)
    compare   with the old tables at the same positions: a hash for each table and partition, and the rows that differ
    index     and catch up with what came meanwhile
    switch    one short transaction in which nobody reads or writes; then every partition is taken over again

Nothing acknowledged is lost, and no job fires twice; jobs that are due in the moment of the switch are some hundred
milliseconds to two seconds late. Accounts, tokens, secrets and idempotency keys are not computed from the log, and stay.
If it is interrupted or killed, the old tables stay in service and the next run begins anew. If two run at once, the second
is refused. Until the switch it needs as much disk again as the tables take.

    fliq rebuild --check         compare only: exit 1 when a row differs, and leave nothing behind
    fliq rebuild --dry-run       everything but the switch

exit codes: 0 done (with --check: no difference), 1 failed or refused (with --check: a difference), 2 wrong usage or settings
"""
SHARE_LEFT: Final = 1.2  # free space that is wanted, as a multiple of what the tables take


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--check", action="store_true", help="only compare, and leave nothing behind")
    kind.add_argument("--dry-run", action="store_true", help="do everything but the switch, and leave nothing behind")
    parser.add_argument("--json", action="store_true", help="answer as one JSON document")


async def run(args: argparse.Namespace, settings: Settings) -> int:
    """Rebuild, or only compare."""
    async with opened(settings, log_level="warning") as access:
        await access.check_schema(exactly=True)
        log = await access.log()
        await check_log(access.dsn, await log.identity())
        _say_space(settings, await table_bytes(await access.tables()))
        try:
            with ProgressBar("records", tells_stages=True) as bar:
                rebuild = Rebuild(log, access.dsn, on_progress=bar)
                rebuilt = await rebuild.run(is_check=args.check, is_dry_run=args.dry_run)
        except (RebuildRefused, TablesNotOwned, TablesLocked) as error:
            raise StartError(str(error)) from error
    if args.json:
        answer_json(_facts(rebuilt))
    else:
        for line in rebuilt.differences.lines():
            answer(line)
        answer(_summary(rebuilt, args))
    return 1 if args.check and rebuilt.differences.count else 0


def _say_space(settings: Settings, taken: int) -> None:
    """Say how much disk it takes, and warn when the disk is known and has not that much."""
    if settings.database_url is not None:
        progress(f"the tables take {_size(taken)}; as much again is needed on the database's disk until the switch")
        return
    free = shutil.disk_usage(settings.data_dir).free
    note = " - THAT MAY NOT BE ENOUGH" if free < taken * SHARE_LEFT else ""
    progress(f"the tables take {_size(taken)}; as much again is needed until the switch, {_size(free)} are free{note}")


def _size(count: int) -> str:
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 1024:,.0f} kB"


def _facts(rebuilt: Rebuilt) -> dict[str, Any]:
    return {
        "records": rebuilt.records,
        "rows": rebuilt.rows,
        "switched": rebuilt.has_switched,
        "paused_ms": None if rebuilt.paused_ms is None else round(rebuilt.paused_ms, 1),
        "hashes": [
            {"partition": partition, "table": table, "rows": each.rows, "hash": str(each.hash)}
            for (partition, table), each in sorted(rebuilt.hashes.items())
        ],
    } | differences_json(rebuilt.differences)


def _summary(rebuilt: Rebuilt, args: argparse.Namespace) -> str:
    count = rebuilt.differences.count
    found = "no row differed" if not count else f"{count:,} rows differed"
    compared = f"{rebuilt.records:,} records folded, {sum(rebuilt.rows.values()):,} rows compared, {found}"
    if rebuilt.has_switched:
        if rebuilt.paused_ms is None:
            return f"the new tables serve: {compared}; for how long nobody could read or write was not measured"
        return f"the new tables serve: {compared}; nobody could read or write for {rebuilt.paused_ms:.0f} ms"
    if args.check:
        return compared
    return f"{compared}; nothing was switched (--dry-run)"
