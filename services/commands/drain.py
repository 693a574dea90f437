"""`fliq drain`: take the work from a node before its machine is taken away."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from typing import Final

from libs.runtime.settings.settings import Settings
from libs.store.leases.lease_report import LeaseReport, Member
from services.commands.access import opened
from services.commands.option_values import wait_s
from services.commands.output import answer, answer_json, answer_rows, progress
from services.start_error import StartError

NAME: Final = "drain"
MEANING: Final = "have a node hand its partitions over, and wait until it holds none"
TEXT: Final = """\
Have a node hand its partitions to the others and take no new ones, before its machine is maintained or removed.

The scheduler writes the due events of the next 1.5 s ahead of time, and the dispatcher lets its calls end first (35 s at
most), so that nothing fires late or twice. The command waits until the node holds nothing; then stop the process (SIGTERM).
The mark ends with the process: if it is started again, it works again. `--undo` takes the mark back. Without --node, the
nodes are listed.

A stop by SIGTERM drains by itself and needs none of this; so does a Kubernetes rollout. The API holds no partitions:
take it out of the load balancer, or stop it.

exit codes: 0 the node holds nothing (--undo: it works again), 1 it still does, or failed, 2 wrong usage or settings
"""
ASK_S: Final = 0.5
WAIT_S: Final = 60.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--node", metavar="NAME", help="the node: FLIQ_NODE of its process, or as this command lists it"
    )
    parser.add_argument("--undo", action="store_true", help="let the node work again")
    parser.add_argument("--force", action="store_true", help="also when no other node would take its work over")
    parser.add_argument("--timeout", type=wait_s, default=WAIT_S, metavar="SECONDS", help="how long to wait [60]")
    parser.add_argument("--json", action="store_true", help="answer as one JSON document")


async def run(args: argparse.Namespace, settings: Settings) -> int:
    """Drain a node, take that back, or list the nodes."""
    async with opened(settings, may_start=False) as access:  # a database that does not run has no nodes
        lease_report = LeaseReport(await access.tables())
        members = [member for member in await lease_report.members() if member.is_live]
        if args.node is None:
            return await _list(args, lease_report, members)
        ours = [member for member in members if member.node == args.node]
        if not ours:
            known = ", ".join(sorted({member.node for member in members})) or "none"
            raise StartError(f"no node {args.node} is alive; alive: {known}")
        if args.undo:
            await lease_report.drain(args.node, undo=True)
            _say_state(args, args.node, {}, "works again")
            return 0
        if not args.force:
            _check_others(args.node, ours, members)
        await lease_report.drain(args.node)
        return await _wait(args, lease_report)


async def _list(args: argparse.Namespace, lease_report: LeaseReport, members: Sequence[Member]) -> int:
    held = await _held(lease_report)
    rows = [
        {
            "node": member.node,
            "role": member.role,
            "partitions": held.get((member.node, member.role), 0),
            "draining": member.is_draining,
            "version": member.version,
        }
        for member in members
    ]
    if args.json:
        answer_json(rows)
    elif rows:
        told = [row | {"draining": "draining" if row["draining"] else "works"} for row in rows]
        answer_rows(told, ("node", "role", "partitions", "state", "version"), as_json=False)
    else:
        answer("no node is alive")
    return 0


def _check_others(node: str, ours: Sequence[Member], members: Sequence[Member]) -> None:
    """Refuse to drain the last of a role: its partitions would be nobody's."""
    for mine in ours:
        if not any(other.role == mine.role and other.node != node and not other.is_draining for other in members):
            raise StartError(
                f"{node} is the only {mine.role} that works: nobody would take over; --force drains it anyway"
            )


async def _wait(args: argparse.Namespace, lease_report: LeaseReport) -> int:
    """Watch until the node holds nothing."""
    ends_at = asyncio.get_running_loop().time() + args.timeout
    shown: dict[str, int] | None = None
    while True:
        left = {role: count for (node, role), count in (await _held(lease_report)).items() if node == args.node}
        if not left:
            _say_state(args, args.node, left, "holds nothing: stop it when you like")
            return 0
        if left != shown:
            progress(f"{args.node} still holds {_words(left)}")
            shown = left
        if asyncio.get_running_loop().time() >= ends_at:
            _say_state(
                args, args.node, left, f"still holds {_words(left)} after {args.timeout:g} s; it goes on draining"
            )
            return 1
        await asyncio.sleep(ASK_S)


async def _held(lease_report: LeaseReport) -> dict[tuple[str, str], int]:
    """Return how many leases each node holds in each role."""
    found: dict[tuple[str, str], int] = {}
    for lease in await lease_report.leases():
        if lease.node is not None and lease.is_held:
            found[lease.node, lease.role] = found.get((lease.node, lease.role), 0) + 1
    return found


def _words(left: dict[str, int]) -> str:
    return ", ".join(f"{count} of {role}" for role, count in sorted(left.items()))


def _say_state(args: argparse.Namespace, node: str, left: dict[str, int], text: str) -> None:
    if args.json:
        answer_json({"node": node, "held": left, "draining": not args.undo})
    else:
        answer(f"{node} {text}")
