"""`fliq partitions`: who serves which partition and how far it is; and more of them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

from libs.log.ends import all_ends
from libs.runtime.roles import READERS
from libs.runtime.settings.settings import Settings, SettingsError
from libs.store.leases.lease_report import HeldLease, LeaseReport, Member
from services.commands.access import opened
from services.commands.option_values import whole
from services.commands.output import answer, answer_json, columns
from services.process.open_log import log_partitions, open_log, prepare_tables
from services.start_error import StartError

NAME: Final = "partitions"
MEANING: Final = "show who serves which partition and how far it is; `grow N` adds partitions"
TEXT: Final = """\
Show for each partition of the log: its owner and epoch, how far the tables are (position, end, lag), and who serves it in
the other roles. A lag that stays, or a holder that is missing, is explained by `fliq doctor`.

    fliq partitions              a table
    fliq partitions --json       the same for a program
    fliq partitions grow 128     give the log 128 partitions, on Kafka and on PostgreSQL

Growing moves nothing: a job's partition is part of its id. Partitions cannot be removed. Running services do not notice new
ones: restart them one by one, the schedulers, dispatchers and webhooks first and the API last, so that jobs in a new partition
find processes that serve it. Until a service is restarted it goes on with the partitions it knows.
"""
MOST: Final = 1024  # as FLIQ_PARTITIONS


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("action", nargs="?", choices=["grow"], help="add partitions")
    parser.add_argument("count", nargs="?", type=whole, metavar="N", help="how many there are to be then")
    parser.add_argument("--json", action="store_true", help="answer as one JSON document")


async def run(args: argparse.Namespace, settings: Settings) -> int:
    """Show the partitions, or add some."""
    if args.action == "grow":
        return await _grow(args, settings)
    async with opened(settings) as access:
        log, lease_report = await access.log(), LeaseReport(await access.tables())
        leases = await lease_report.leases()  # before the ends: a position is never beyond its end
        members = await lease_report.members()
        ends = await all_ends(log)
    rows = [_row(partition, end, leases) for partition, end in ends.items()]
    if args.json:
        answer_json(rows)
        return 0
    heads = ("partition", "owner", "epoch", "position", "end", "lag", "dispatcher", "webhooks")
    cells = [
        (
            *(row["partition"], _holder(row["scheduler"]), row["scheduler"]["epoch"]),
            *(row["position"], row["end"], row["lag"]),
            *(_holder(row["dispatcher"]), _holder(row["webhooks"])),
        )
        for row in rows
    ]
    answer(columns(heads, cells))
    for line in _behind(members, len(ends)):
        answer(line)
    return 0


def _row(partition: int, end: int, leases: Sequence[HeldLease]) -> dict[str, Any]:
    """Return what there is to say of one partition; lags count records."""
    found = {lease.role: lease for lease in leases if lease.partition == partition}
    row: dict[str, Any] = {"partition": partition, "end": end, "position": None, "lag": None}
    for role in READERS:
        lease = found.get(role)
        row[role] = {
            "node": None if lease is None else lease.node,
            "held": lease is not None and lease.is_held,
            "left_s": None if lease is None or lease.left_s is None else round(lease.left_s, 3),
            "epoch": None if lease is None else lease.epoch,
        }
    if (owner := found.get("scheduler")) is not None:
        row["position"], row["lag"] = owner.position, max(0, end - 1 - owner.position)
    return row


def _holder(role: dict[str, Any]) -> str | None:
    if role["node"] is None:
        return None
    return str(role["node"]) if role["held"] else f"({role['node']}, {-role['left_s']:.0f} s ago)"


def _behind(members: Sequence[Member], count: int) -> list[str]:
    """Name the processes that were not restarted since the log grew."""
    return [
        f"{member.role} {member.node} works with {member.partitions} of {count} partitions: restart it"
        for member in members
        if member.is_live and member.partitions is not None and member.partitions < count
    ]


async def _grow(args: argparse.Namespace, settings: Settings) -> int:
    if args.count is None or not 1 <= args.count <= MOST:
        raise SettingsError(f"say how many partitions there are to be: fliq partitions grow N (up to {MOST})")
    async with opened(settings) as access, AsyncExitStack() as stack:
        before = await log_partitions(settings, access.dsn)
        if before is None:
            raise StartError("there is no log yet: FLIQ_PARTITIONS says how many partitions a new one gets")
        if args.count <= before:
            raise StartError(f"the log has {before} partitions already; they can only become more")
        # Before it grows: the log of other tables is not to be changed.
        await prepare_tables(await access.log(), access.dsn)
        await prepare_tables(await open_log(settings, access.dsn, stack, partitions=args.count), access.dsn)
    if args.json:
        answer_json({"before": before, "partitions": args.count})
    else:
        answer(
            f"the log has {args.count} partitions now, {args.count - before} more than before.\n"
            "Restart the services one by one: schedulers, dispatchers and webhooks first, the API last."
        )
    return 0
