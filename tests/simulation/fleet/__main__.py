"""
Simulate many seeds on every core, or replay one:

    python -m tests.simulation.fleet --seeds 10000 --from 0      exits with 1 at the first seed that breaks a promise, and says how
    python -m tests.simulation.fleet --seed 36                   the same run again, with its trace
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time

from tests.simulation.fleet.campaign import Campaign, find_crashes, find_planted, shrink, story, work


def main() -> int:
    """Do what the arguments say; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="simulate", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=10_000, help="how many seeds to play")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first of them")
    parser.add_argument("--seed", type=int, help="replay this one")
    parser.add_argument("--mutation", help="plant this defect (tests/simulation/fleet/mutations.py)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time")
    parser.add_argument("--keeping", action="store_true", help="only seeds whose fleets forget, carry over and trim")
    parser.add_argument("--go-on", action="store_true", help="play all seeds, whatever breaks")
    parser.add_argument(
        "--worker", type=int, nargs=4, metavar=("FIRST", "COUNT", "STEP", "INDEX"), help=argparse.SUPPRESS
    )
    parser.add_argument(
        "--planted", nargs="+", metavar="NAME", help="say how many seeds it takes to find each of these"
    )
    parser.add_argument("--crashes", nargs="+", metavar="POINT:PASS", help="let a process die at each of these points")
    chosen = parser.parse_args()
    if chosen.seeds < 1 or chosen.jobs < 1:
        parser.error("--seeds and --jobs begin at 1: what is not played shows nothing")
    if chosen.crashes is not None:
        points = {point: int(passes) for point, _, passes in (each.partition(":") for each in chosen.crashes)}
        for point, seed, violations in find_crashes(
            points, within=chosen.seeds, first=chosen.first, mutation=chosen.mutation
        ):
            print(json.dumps({"point": point, "seed": seed, "violations": violations[:3]}), flush=True)
        return 0
    if chosen.planted is not None:
        for name, seed, violations in find_planted(chosen.planted, within=chosen.seeds, first=chosen.first):
            print(json.dumps({"mutation": name, "seed": seed, "violations": violations[:3]}), flush=True)
        return 0
    if chosen.worker is not None:
        work(*chosen.worker, mutation=chosen.mutation, keeping=chosen.keeping)
        return 0
    if chosen.seed is not None:
        outcome = shrink(chosen.seed, mutation=chosen.mutation)
        print(story(outcome, mutation=chosen.mutation))
        return 1 if outcome.violations else 0
    began_at = time.monotonic()
    campaign = Campaign(
        chosen.first,
        chosen.seeds,
        jobs=chosen.jobs,
        mutation=chosen.mutation,
        go_on=chosen.go_on,
        keeping=chosen.keeping,
    )
    campaign.run(on_progress=lambda text: print(text, file=sys.stderr, flush=True))
    seconds = time.monotonic() - began_at
    pace = campaign.done / seconds
    print(f"{campaign.done} seeds from {chosen.first} in {seconds:.0f} s, {pace:.1f} a second: {campaign.summary()}")
    for seed, violations in sorted(campaign.broken.items())[:20]:
        print(f"seed {seed}:\n  " + "\n  ".join(violations[:5]))
    if not campaign.broken:
        return 0
    first = min(campaign.broken)
    print(story(shrink(first, mutation=chosen.mutation), mutation=chosen.mutation))
    return 1


if __name__ == "__main__":
    sys.exit(main())
