"""
Measure Fliq: creates, batches, herds, lateness, CPU of lives and at rest, a restart, memory, and promises; on request a rebuild.

    python -m tests.bench [--topology kafka] [--quick] [--long] [--only creates,herd] [--rounds n]

Real processes, an embedded PostgreSQL with fsync on, everything on this machine. Figures are medians of rounds that take turns with
a bare aiohttp doing the same; nothing gates on them. What is a fact and not a figure fails the run: a call that was early, lost
or made twice.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

from tests.bench import at_rest, cluster, other_targets, rebuild, sections
from tests.bench.costs import keeping, promises, sealing
from tests.bench.harness import Harness, elapsed_s, machine, say

WITH_RIG = {
    "creates": sections.creates,
    "batches": sections.batches,
    "herd": sections.herd,
    "lateness": sections.lateness,
    "lives": sections.lives,
}
WITH_THEIR_OWN = {
    "https": other_targets.https_herd,
    "slow": other_targets.slow_target,
    "idle": at_rest.idle,
    "restart": at_rest.restart,
    "keeping": keeping.keeping,
}
IN_TURNS = {"sealing": sealing.measure, "labels": promises.labels, "capture": promises.capture}
NAMES = (*WITH_RIG, *WITH_THEIR_OWN, "memory", *IN_TURNS, "rebuild")


def show(title: str, lines: Iterable[str]) -> None:
    """Print a section as it comes."""
    sys.stdout.write(f"\n{title}\n")
    for line in lines:
        sys.stdout.write(f"  {line}\n")
        sys.stdout.flush()


def measure_cluster(size: sections.Size, wanted: tuple[str, ...]) -> None:
    """Measure the services on Kafka; ends the program where there is none."""
    try:
        for title, lines in cluster.measure(size, wanted):
            show(title, lines)
    except cluster.NoKafka as error:
        sys.exit(f"fliq: no Kafka to measure on: {error}")
    say(f"done in {elapsed_s():.0f} s")


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=(__doc__ or "").splitlines()[1])
    parser.add_argument(
        "--topology",
        choices=("embedded", "kafka"),
        default="embedded",
        help="kafka: a process for each service on a broker, beside the embedded one",
    )
    parser.add_argument("--quick", action="store_true", help="a minute instead of four: fewer rounds, fewer jobs")
    parser.add_argument(
        "--long", action="store_true", help="also a million jobs due within the hour, and a rebuild: minutes more"
    )
    parser.add_argument(
        "--only", default="", help=f"comma list of {', '.join(NAMES)}; on Kafka of {', '.join(cluster.NAMES)}"
    )
    parser.add_argument("--rounds", type=int, help="rounds of everything that has rounds")
    options = parser.parse_args()
    size = sections.QUICK if options.quick else sections.FULL
    if options.rounds:
        size = size._replace(rounds=options.rounds)
    if options.long:
        size = size._replace(pending_soon=size.pending)
    names = cluster.NAMES if options.topology == "kafka" else NAMES
    wanted = options.only.split(",") if options.only else names if options.long else names[: len(NAMES) - 1]
    if unknown := set(wanted) - set(names):
        parser.error(f"no such section: {', '.join(unknown)}")
    show("machine", machine())
    if options.topology == "kafka":
        measure_cluster(size, tuple(wanted))
        return
    if any(name in WITH_RIG for name in wanted):
        say("starting Fliq")
        with Harness() as harness:
            show(
                "Fliq",
                [f"all services in one process, PostgreSQL {harness.postgres_version()}, {harness.rss_mb:.0f} MB"],
            )
            for name, measure in WITH_RIG.items():
                if name in wanted:
                    show(f"{name}: {(measure.__doc__ or '').strip()}", measure(harness, size))
    for name, measure_alone in WITH_THEIR_OWN.items():
        if name in wanted:
            show(f"{name}: {(measure_alone.__doc__ or '').strip()}", measure_alone(size))
    if "memory" in wanted:
        title = (sections.memory.__doc__ or "").strip()
        show(f"memory: {title}", sections.memory(size, far=True))
        show("memory, due soon", sections.memory(size, far=False))
    for name, measure_in_turns in IN_TURNS.items():
        if name in wanted:
            title = (measure_in_turns.__doc__ or "").strip()
            show(f"{name}: {title}", measure_in_turns(size.rounds, size.lives))
    if "rebuild" in wanted:
        records = rebuild.QUICK_RECORDS if options.quick else rebuild.FULL_RECORDS
        show(f"rebuild: {(rebuild.rebuild.__doc__ or '').strip()}", rebuild.rebuild(records))
    say(f"done in {elapsed_s():.0f} s")


if __name__ == "__main__":
    main()
