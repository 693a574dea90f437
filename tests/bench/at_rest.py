"""At rest, and after a crash: what Fliq uses while nothing is due, and how soon it calls again."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator

from tests.bench.figures import median, range_of
from tests.bench.harness import Harness, now_ms, say
from tests.bench.sections import Size, complete
from tests.bench.usage import postgres_of, pss_mb

IDLE_S = 20
SETTLE_S = 10  # after bulk creation: PostgreSQL's own work
DUE_MS = 1_500  # from the creation of the job that is to be called after a crash to its instant


def idle(size: Size) -> Iterator[str]:
    """CPU of a core while jobs wait that are weeks ahead, and the memory that Fliq and PostgreSQL have to themselves (PSS)."""
    with Harness() as harness:
        for pending in (0, size.pending[0]):
            if pending:
                far = now_ms() + 20 * 86_400_000
                harness.fill(connections=8, batch=500, count=pending, from_ms=far, over_ms=86_400_000)
                harness.wait_folded()
            say(f"idle with {pending:,} jobs waiting")
            time.sleep(SETTLE_S)
            meter = harness.meter()
            time.sleep(IDLE_S)
            used = meter.used_s()
            memory = pss_mb(harness.pid)
            yield (
                f"{pending:9,} waiting   fliq {used['fliq'] / IDLE_S:.1%}   postgres {used['postgres'] / IDLE_S:.1%}"
                f"   PSS fliq {memory['fliq']:.0f} MB   postgres {memory['postgres']:.0f} MB"
            )


def restart(size: Size) -> Iterator[str]:
    """From the command that starts it, after kill -9 of Fliq and its PostgreSQL, to the first call of a job that is overdue."""
    took_s = []
    with Harness(LD_PRELOAD="") as harness:  # so that it begins with the interpreter, imports included (fork_server.py)
        for each in range(size.rounds):
            say(f"kill -9 and restart, round {each + 1} of {size.rounds}")
            harness.sink.ask("clear")
            at_ms = now_ms() + DUE_MS
            harness.fill(connections=1, batch=1, count=1, from_ms=at_ms, over_ms=0)
            of_postgres = postgres_of(harness.pid)
            harness.fliq.processes[0].kill()
            for pid in of_postgres:
                with contextlib.suppress(ProcessLookupError):  # it ends with the others
                    os.kill(pid, signal.SIGKILL)
            time.sleep(max(0.0, (at_ms - now_ms()) / 1000))
            began_s = time.perf_counter()
            harness.fliq.processes[0] = harness.fliq.processes[0].again()
            harness.wait_arrivals(1, timeout_s=30)
            took_s.append(time.perf_counter() - began_s)
            complete(harness, 1)
            harness.fliq.processes[0].wait_ready()
            harness.wait_finished(timeout_s=30)
    yield f"fliq           {median(took_s):.2f} s ({range_of(took_s, digits=2)})"
