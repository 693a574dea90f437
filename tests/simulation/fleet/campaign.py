"""
Campaign: many seeds, played by workers in processes of their own; and what is done with one that breaks a promise.

A failing seed is played again with one fault left out after the other, as long as it still fails in the same way: what is left is
what it takes. The trace that is shown is that of the smaller run; the seed alone gives it again.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, Any, Final

from tests.simulation.fleet.mutations import KEEPING, MUTATIONS, nothing
from tests.simulation.fleet.run import Outcome, run
from tests.simulation.fleet.stories.keeping import is_keeping
from tests.simulation.known_seeds import seeds_for

ROOT: Final = Path(__file__).resolve().parents[3]
PROGRESS_S: Final = 10.0
SHOWN_LINES: Final = 60  # of a trace; all of it goes to a file
COLLECT_EVERY: Final = 10  # seeds


def play(seed: int, mutation: str | None = None) -> Outcome:
    """Play one seed, perhaps with a planted defect."""
    return run(seed, mutate=_planting(mutation))


def _planting(mutation: str | None) -> Callable[[], Any]:
    return MUTATIONS[mutation] if mutation else nothing


def shrink(seed: int, *, mutation: str | None = None) -> Outcome:
    """Play *seed*; when it fails, return its failure with as few faults as will do."""
    mutate = _planting(mutation)
    smallest = run(seed, mutate=mutate)
    names = _names(smallest.violations)
    index = 0
    while smallest.violations and index < len(smallest.blows):
        fewer = run(seed, smallest.blows[:index] + smallest.blows[index + 1 :], mutate=mutate)
        if names & _names(fewer.violations):
            smallest = fewer
        else:
            index += 1
    return smallest


def _names(violations: list[str]) -> set[str]:
    return {each.split(":")[0].split(" (")[0] for each in violations}


def story(outcome: Outcome, *, mutation: str | None = None) -> str:
    """Return what a person needs to look at a run: what broke, the faults, the command, the end of the trace."""
    path = Path(tempfile.gettempdir()) / f"fliq-simulate-{outcome.seed}.trace"
    path.write_text("\n".join(outcome.lines) + "\n", encoding="utf-8")
    command = f"make simulate SEED={outcome.seed}" + (f" ARGS='--mutation {mutation}'" if mutation else "")
    return "\n".join(
        [
            f"seed {outcome.seed}, {outcome.seconds:.1f} virtual seconds, digest {outcome.digest}",
            *(f"  broken   {each}" for each in outcome.violations[:20]),
            *(f"  fault    {blow}" for blow in outcome.blows),
            f"  again    {command}",
            f"  trace    {path}, {len(outcome.lines)} lines; the last {SHOWN_LINES}:",
            *outcome.lines[-SHOWN_LINES:],
        ]
    )


def work(first: int, count: int, step: int, index: int, *, mutation: str | None = None, keeping: bool = False) -> None:
    """Play every *step*-th of *count* seeds from *first* on, from that at *index*; say a line of JSON for each."""
    _detach()
    seeds: Iterator[int] = itertools.count(first)
    if keeping:
        seeds = (seed for seed in seeds if is_keeping(str(seed)))
    for number, seed in enumerate(itertools.islice(seeds, index, count, step)):
        outcome = play(seed, mutation)
        said = {"seed": seed, "violations": outcome.violations[:20], "digest": outcome.digest, "counts": outcome.counts}
        print(json.dumps(said), flush=True)
        del outcome
        if number % COLLECT_EVERY == 0:
            gc.collect()


def find_planted(names: Sequence[str], *, within: int, first: int = 0) -> Iterator[tuple[str, int | None, list[str]]]:
    """Plant each of *names* in turn; yield a seed that finds it, None when neither the known one nor one of *within* does."""
    _detach()
    is_kept = cache(lambda seed: not play(seed).violations)
    for name in names:
        for number, seed in enumerate(seeds_for("fleet", name, range(first, first + within))):
            if name in KEEPING and not is_keeping(str(seed)):
                continue
            violations = play(seed, name).violations
            if violations and is_kept(seed):
                yield name, seed, violations
                break
            if number % COLLECT_EVERY == 0:
                gc.collect()
        else:
            yield name, None, []


def find_crashes(
    points: Mapping[str, int], *, within: int, first: int = 0, mutation: str | None = None
) -> Iterator[tuple[str, int | None, list[str]]]:
    """
    Let a process die at each of *points*, at so many passes of it; yield a seed on which one did, and what was broken there.

    With a planted defect the crash is the only fault, so that nothing else finds it.

    The seed is None when no process passed the point so often, on the known one or on *within* seeds.
    """
    _detach()
    for point, passes in points.items():
        for number, seed in enumerate(seeds_for("crashes", point, range(first, first + within))):
            outcome = run(seed, [] if mutation else None, mutate=_planting(mutation), crash_at=(point, passes))
            if outcome.violations or outcome.counts["crashes"]:
                yield point, seed, outcome.violations
                break
            if number % COLLECT_EVERY == 0:
                gc.collect()
        else:
            yield point, None, []


def _detach() -> None:
    """Make this process one in which worlds are thrown away where they stand."""
    sys.unraisablehook = lambda _: None  # dead processes' coroutines are closed in the middle of a `finally`
    gc.collect()
    gc.freeze()


@dataclass
class Campaign:
    """
    *count* seeds from *first* on, over *jobs* processes; ends at the first failure unless it is to *go_on*.

    With *keeping* only those whose fleets forget, carry over and trim.
    """

    first: int
    count: int
    jobs: int = 2
    mutation: str | None = None
    go_on: bool = False
    keeping: bool = False
    hash_seed: str | None = None
    done: int = 0
    broken: dict[int, list[str]] = field(default_factory=dict)
    digests: dict[int, str] = field(default_factory=dict)
    totals: Counter[str] = field(default_factory=Counter)
    errors: str = ""

    def run(self, *, on_progress: Callable[[str], None] = lambda _: None) -> None:
        """Play them; raises RuntimeError when a worker dies."""
        workers = [self._spawn(index) for index in range(min(self.jobs, self.count))]
        shown_at = began_at = time.monotonic()
        try:
            with selectors.DefaultSelector() as selector:
                for worker in workers:
                    selector.register(worker.stdout, selectors.EVENT_READ)  # type: ignore[arg-type]
                while selector.get_map():
                    for key, _ in selector.select(timeout=60.0):
                        stream: IO[str] = key.fileobj  # type: ignore[assignment]
                        line = stream.readline()
                        if line:
                            said = json.loads(line)
                            self._take(said)
                            if said["violations"]:
                                on_progress(f"seed {said['seed']}: {said['violations'][0]}")
                        else:
                            selector.unregister(stream)
                    if self.broken and not self.go_on:
                        return
                    if time.monotonic() > shown_at + PROGRESS_S:
                        shown_at = time.monotonic()
                        pace = self.done / (shown_at - began_at)
                        on_progress(
                            f"{self.done} of {self.count} seeds, {pace:.1f} a second, {len(self.broken)} broken"
                        )
            if self.done < self.count:
                raise RuntimeError(f"{self.count - self.done} seeds were not played: {_said(workers)}")
        finally:
            for worker in workers:
                worker.kill()
                worker.communicate()

    def summary(self) -> str:
        """Return what was seen in all."""
        return ", ".join(f"{count} {name}" for name, count in sorted(self.totals.items()))

    def _spawn(self, index: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.simulation.fleet", "--worker", str(self.first), str(self.count)]
        command += [str(min(self.jobs, self.count)), str(index), *(["--keeping"] if self.keeping else [])]
        if self.mutation:
            command += ["--mutation", self.mutation]
        environment = dict(os.environ)
        if self.hash_seed is not None:
            environment["PYTHONHASHSEED"] = self.hash_seed
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
        )

    def _take(self, said: dict[str, Any]) -> None:
        self.done += 1
        self.digests[said["seed"]] = said["digest"]
        self.totals.update(said["counts"])
        if said["violations"]:
            self.broken[said["seed"]] = said["violations"]


def _said(workers: list[subprocess.Popen[str]]) -> str:
    texts = []
    for worker in workers:
        worker.kill()
        texts.append((worker.communicate()[1] or "")[-800:])
    return " | ".join(texts)
