"""
`make chaos`: hurt a real Fliq for a while, and say whether it kept its word.

    python -m tests.chaos --topology kafka --brokers 3 --minutes 25 --seed 7
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import signal
import sys
import time
from pathlib import Path

from tests.chaos.campaign import SPLIT, Order, Outcome, run
from tests.chaos.hurting.faults import KINDS
from tests.chaos.report import write
from tests.kafka.source import find

PLURAL = {"webhooks": "webhooks"}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="tests.chaos",
        description=__doc__,
        epilog=f"kinds of faults: {', '.join(kind.name for kind in KINDS)}\ndocs/chaos.md says what is done and checked",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--topology",
        choices=("embedded", "split", "kafka"),
        default="split",
        help="one process; services apart on PostgreSQL [split]; or on Kafka",
    )
    parser.add_argument("--seed", type=int, help="draws faults and load; a fresh one by default")
    parser.add_argument("--minutes", type=_positive, default=3.0, help="how long [3]")
    parser.add_argument("--faults", type=_count, help="end after so many faults, at the latest after --minutes")
    parser.add_argument("--jobs", type=_count, help="with --faults: not before so many jobs")
    parser.add_argument("--rate", type=_positive, default=60.0, help="jobs a second [60]")
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1, help="of Kafka [1]")
    parser.add_argument("--partitions", type=_count, help="of the log [4, on Kafka 16]")
    for role, count in SPLIT.items():
        parser.add_argument(
            f"--{PLURAL.get(role, role + 's')}", dest=role, type=int, default=count, help=f"processes [{count}]"
        )
    parser.add_argument("--only", default="", help="comma list of kinds of faults")
    parser.add_argument("--without", default="", help="comma list of kinds of faults to leave out")
    parser.add_argument("--out", type=Path, help="folder of the report [.fliq/chaos/<topology>-<seed>-<time>]")
    asked = parser.parse_args()
    named = {*asked.only.split(","), *asked.without.split(",")} - {""}
    if unknown := sorted(named - {kind.name for kind in KINDS}):
        parser.error(
            f"there is no kind of fault {', '.join(unknown)}; there are {', '.join(each.name for each in KINDS)}"
        )
    if asked.topology == "kafka" and find(show=True).kind != "java":
        print(f"chaos: it needs brokers that may be killed, and has {find().said}", file=sys.stderr)
        return 2
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(1, 10_000)
    out = asked.out or Path(".fliq/chaos") / f"{asked.topology}-{seed}-{time.strftime('%H%M%S')}"
    order = Order(
        topology=asked.topology,
        seed=seed,
        out=out.resolve(),
        seconds=asked.minutes * 60,
        faults=asked.faults,
        jobs=asked.jobs,
        per_s=asked.rate,
        brokers=asked.brokers,
        partitions=asked.partitions or (16 if asked.topology == "kafka" else 4),
        counts={} if asked.topology == "embedded" else {role: getattr(asked, role) for role in SPLIT},
        only=tuple(kind.name for kind in KINDS if _is_wanted(kind.name, asked.only, asked.without)),
        say=lambda line: print(f"chaos: {line}", flush=True),
    )
    order.say(f"{asked.topology}, seed {seed}, {asked.minutes:g} minutes at {asked.rate:g} jobs/s; into {out}")
    try:
        outcome = asyncio.run(_until_told(order))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("chaos: ended before its end; nothing is shown by that", file=sys.stderr)
        return 130
    summary = write(outcome)
    print(summary, flush=True)
    return 0 if outcome.is_good else 1


async def _until_told(order: Order) -> Outcome:
    """Run it; SIGTERM ends it as Ctrl-C does, and leaves no server behind."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await run(order)


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not more than 0: what is not tried shows nothing")
    return number


def _count(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return int(text)


def _is_wanted(name: str, only: str, without: str) -> bool:
    return (not only or name in only.split(",")) and name not in without.split(",")


if __name__ == "__main__":
    sys.exit(main())
