"""
What one attempt costs the dispatcher in CPU, outside the HTTP client, the log and the tables.

    python -m tests.bench.costs.dispatch_cost [attempts] [rounds]

From the due event's record to the outcome's envelope: read, admit, load, wait, take turns, build, sign, record. Log, tables and
client are the cheapest stand-ins that can be had; the figure is the process's CPU time per attempt, the median of the rounds.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Iterable, Sequence

import structlog
import uvloop

from libs.egress.outcome import Outcome
from libs.egress.request import OutgoingRequest
from libs.events import Claim, Envelope, OwnerClaimed, Spec, encode
from libs.events.ids import new_job_id
from libs.following.ports import FollowingPorts
from libs.log.port import Record
from libs.runtime.clock import SystemClock
from libs.runtime.telemetry.metrics import Metrics
from libs.store.reads.partition_tables import Snapshot
from services.dispatcher.metrics import DispatcherMetrics
from services.dispatcher.service import DispatcherService
from tests.fakes import events
from tests.fakes.partition import SECRET
from tests.fakes.targets import HandKeeper

CLAIM = Claim(1, "nonce0001")
SPEC = Spec(
    url="https://target.example/hook",
    headers={"Content-Type": "application/json", "Authorization": "Bearer abcdef", "X-Tenant": "17"},
    body='{"order": "1234567890", "items": [1, 2, 3]}' * 4,
)


class Harness:
    """Log, tables, secrets, progress and client in one, with nothing behind them."""

    def __init__(self, count: int, fire_at: int) -> None:
        self.records = [Record(0, 0, encode(OwnerClaimed(epoch=1, nonce="nonce0001", node="n", at=0)))]
        for number in range(count):
            job_id = new_job_id(fire_at, 0, number.to_bytes(8, "big"))
            due = events.due(job_id, fire_at, account="default", at=fire_at - 75, not_before=fire_at + number % 200)
            self.records.append(Record(number + 1, 0, encode(due, CLAIM)))
        self.finished_count = 0
        self.all_finished = asyncio.Event()
        self._count = count

    async def end(self, partition: int) -> int:
        return 0

    async def read(self, partition: int, position: int, *, max_records: int = 500, wait_s: float = 0.0) -> list[Record]:
        await asyncio.sleep(0)
        found = self.records[position : position + max_records]
        if not found:
            await asyncio.sleep(wait_s)
        return found

    async def append(self, partition: int, envelopes: Sequence[Envelope], *, timeout_s: float = 10.0) -> int:
        await asyncio.sleep(0.001)
        self.finished_count += len(envelopes)
        if self.finished_count == self._count:
            self.all_finished.set()
        return len(self.records) + self.finished_count

    async def wait(self, partition: int, position: int, timeout_s: float) -> bool:
        return True

    async def running(self, partition: int) -> Snapshot:
        return Snapshot(-1, None, [])

    async def specs(self, ids: Iterable[str]) -> dict[str, Spec]:
        return dict.fromkeys(ids, SPEC)

    async def signing_secrets(self, accounts: Sequence[str]) -> dict[str, Sequence[str]]:
        return dict.fromkeys(accounts, (SECRET,))

    async def call(self, request: OutgoingRequest, *, timeout_s: float) -> Outcome:
        await asyncio.sleep(0)
        return Outcome(ok=True, status_code=200, error=None, duration_ms=0, retry_after_ms=None, sent_at=CLOCK.now())


CLOCK = SystemClock()


async def measure(count: int) -> float:
    """Return the CPU microseconds per attempt of one round."""
    harness = Harness(count, CLOCK.now() + 100)
    service = DispatcherService(
        FollowingPorts(
            event_log=harness,  # type: ignore[arg-type]
            progress=harness,
            secrets=harness,
            egress=harness,
            clock=CLOCK,
            version="bench",
        ),
        tables=harness,
        meter=DispatcherMetrics(Metrics(version="bench")),
        make_keeper=lambda service: HandKeeper(service.on_gained, service.on_lost),
        per_host=1_000,
    )
    keeper = service.keeper
    assert isinstance(keeper, HandKeeper)
    began_s = time.process_time()
    await service.start()
    await keeper.give()
    async with asyncio.timeout(60):
        await harness.all_finished.wait()
    used_s = time.process_time() - began_s
    await service.stop()
    return used_s / count * 1e6


def main() -> None:
    """Measure and print."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    figures = [uvloop.run(measure(count)) for _ in range(rounds)]
    print(
        f"{statistics.median(figures):.1f} us CPU per attempt (median of {rounds}; {min(figures):.1f} to {max(figures):.1f})"
    )


if __name__ == "__main__":
    main()
