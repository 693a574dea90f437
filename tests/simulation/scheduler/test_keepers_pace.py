"""The keepers of history and log beside the work of a scheduler: small pieces, long rests, and no call that waits for them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise
from typing import Any, NamedTuple

import pytest

from libs.domain.history.choice import DAY_MS
from libs.events import AttemptDue, read
from libs.store.carried import carried_rows
from services.scheduler.history import history_keeper, log_keeper
from services.scheduler.history.log_keeper import LOOK_EVERY_MS, REST_FACTOR, REST_MIN_MS
from tests.simulation.scheduler.test_log_keeper import ended, keeping
from tests.simulation.scheduler.test_scheduler_service import Harness

SLOW_MS = 40  # for each piece of the keepers' work
JOBS = 60
STEP = 5  # rows and records at once
HOURS = 30
DAYS = 4
EVERY_MS = 1_250
LEAD_MS = 75


class Piece(NamedTuple):
    """One piece of work: what it was, when it began and ended, and how many rows or records it was."""

    what: str
    began_at: int
    ended_at: int
    size: int


def slowly(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> list[Piece]:
    """Let each piece of the keepers' work take `SLOW_MS`; return the list to which it is added."""
    done: list[Piece] = []

    async def timed(what: str, work: Callable[[], Awaitable[int]]) -> int:
        began_at = harness.clock.now()
        await harness.clock.pause(SLOW_MS)
        size = await work()
        done.append(Piece(what, began_at, harness.clock.now(), size))
        return size

    store, log = harness.store, harness.log
    sweep, trim, sealing = store.sweep, log.trim, store.sealing

    async def slow_sweep(partition: int, limit: int) -> int:
        return await timed("sweep", lambda: sweep(partition, limit))

    async def slow_trim(partition: int, before: int) -> None:
        begin = await log.begin(partition)

        async def work() -> int:
            await trim(partition, before)
            return before - begin

        await timed("trim", work)

    async def slow_sealing(*wanted: int) -> AsyncIterator[Any]:
        for hour in range(HOURS):

            async def work() -> int:
                return 1

            await timed("seal", work)
            if hour:
                yield {}
            else:
                async for each in sealing(*wanted):
                    yield each

    monkeypatch.setattr(store, "sweep", slow_sweep)
    monkeypatch.setattr(store, "sealing", slow_sealing)
    monkeypatch.setattr(log, "trim", slow_trim)
    for module, name in ((history_keeper, "SLICE"), (log_keeper, "TRIM_STEP"), (carried_rows, "PIECE_ROWS")):
        monkeypatch.setattr(module, name, STEP)
    return done


async def test_pieces_are_small_rests_are_long_and_no_call_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Jobs are forgotten, hours sealed, rows carried, records deleted: a few at once, and for a tenth of the time at the most.

    Meanwhile every job is due at its very instant, however slow tables and log are for the keepers.
    """
    harness = Harness()
    done = slowly(harness, monkeypatch)
    async with keeping(harness, days=2, history_days=1):
        for _ in range(JOBS):
            await ended(harness)
            await harness.job(60 * DAY_MS)
        for _ in range(DAYS):
            harness.clock.set(harness.clock.now() + DAY_MS)
            await harness.settle()
            for _ in range(2):
                harness.store.database.fan_out[0] = harness.store.positions[0]
                soon = {await harness.job(in_ms) for in_ms in range(500, LOOK_EVERY_MS, EVERY_MS)}
                await harness.clock.advance(LOOK_EVERY_MS + 1_000)
                begin = await harness.log.begin(0)
                records = await harness.log.read(0, begin, max_records=100_000)
                made = [read(0, record.envelope) for record in records if record.envelope.type == "attempt.due"]
                dues = [each for each in made if isinstance(each, AttemptDue) and each.job_id in soon]
                assert {each.job_id for each in dues} == soon
                assert [each for each in dues if each.at != each.not_before - LEAD_MS] == []
                for job_id in soon:
                    await harness.finish(job_id, 1, ok=True)
        carried_at = [record.at for record in records if record.envelope.type == "rows.carried"]

    for what in ("seal", "sweep", "trim"):
        pieces = [each for each in done if each.what == what]
        assert max(each.size for each in pieces) <= STEP
        assert sum(each.size for each in pieces) > 4 * STEP
        rests = [after.began_at - before.ended_at for before, after in pairwise(pieces) if before.size]
        assert min(rests) >= REST_FACTOR * SLOW_MS, what
    assert len(carried_at) > JOBS // STEP
    assert min(after - before for before, after in pairwise(carried_at)) >= REST_MIN_MS
