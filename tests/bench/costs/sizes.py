"""
Measure what a job takes on disk: bytes of the log and of the tables, with their indexes, for a job of each kind.

    python -m tests.bench.costs.sizes [jobs]

The product's own owner and keepers on a fresh server (tests/conformance/store/carried/days.py). Jobs are as large as those of
`make bench`, 430 bytes of JSON. Sizes do not depend on the machine or on its load, so this may run anywhere.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any, Final

from libs.domain.history.choice import DAY_MS, HistoryTerms
from libs.events import Response, read
from libs.sealing.data_key import DataKey
from libs.sealing.sealed_spec import seal_spec
from libs.store.schema.migrate import migrate
from tests.conformance.store.carried.days import SPEC, Days, days_of
from tests.fakes.running.postgres import Databases, fresh_server

JOBS: Final = 6_000
PIECES: Final = 6  # vacuumed after each, as autovacuum would
LABELS: Final = {"tenant": "acme", "kind": "invoice", "order": "o-4711"}
FOR_EVER: Final = HistoryTerms(days=0, failed_days=0)
SAID: Final = 2_000  # bytes of an answer that is kept
KEY: Final = DataKey("dk_0123456789abcdef", bytes(32))


def sealed() -> Any:
    """Return the specification as it is stored sealed."""
    return seal_spec(SPEC, KEY, account="acme", spec_id="job_01mcc5rm3v001h4d2pf28aqkff", entropy=os.urandom)


async def sizes(days: Days) -> tuple[int, int]:
    """Return the bytes of the log and of the tables."""
    held = (await days.held()).bytes
    log = sum(size for name, size in held.items() if name.startswith("fliq_log."))
    return log, sum(held.values()) - log


async def grown(days: Days, count: int, *, is_far: bool = False, **fields: Any) -> tuple[float, float]:
    """Live *count* jobs, or leave them waiting; return the bytes of the log and of the tables for each."""
    before = await sizes(days)
    for _ in range(PIECES):
        await days.ask(count // PIECES, 40 * DAY_MS if is_far else 300, **fields)
        if is_far:
            await days.until_saved()
        else:
            await days.until_done(count // PIECES)
        await days.pool.execute("VACUUM")
    after = await sizes(days)
    return (after[0] - before[0]) / count, (after[1] - before[1]) / count


async def of_kinds(databases: Databases, count: int) -> None:
    kinds: dict[str, dict[str, Any]] = {
        "waits": {"is_far": True},
        "ended": {},
        "ended, three labels": {"labels": LABELS},
        "ended, sealed": {"spec": sealed()},
        "failed": {},
        "failed, answer kept": {},
    }
    for name, fields in kinds.items():
        dsn = databases.create()
        await migrate(dsn, 1)
        async with days_of(dsn, FOR_EVER, 0) as days:
            if name.startswith("failed"):
                days.failed_every = 1
            if name.endswith("kept"):
                days.response = Response(data=os.urandom(SAID), key=None)
            log, tables = await grown(days, count, **fields)
        print(f"{name:22} log {log:6,.0f} bytes   tables {tables:6,.0f} bytes", flush=True)
        databases.drop(dsn)


async def of_carrying(dsn: str, count: int) -> None:
    await migrate(dsn, 1)
    async with days_of(dsn, FOR_EVER, 2) as days:
        await days.ask(count, 40 * DAY_MS)
        await days.ask(count, 300)
        await days.until_done(count)
        end = await days.log.end(0)
        await days.jump(days.clock.now() + DAY_MS)  # so that it is time to carry, and the hour can be sealed
        found: dict[str, list[int]] = {}
        is_carried = False
        while not is_carried:
            await days.looked(1)
            for record in await days.log.read(0, end, max_records=500):
                end, is_carried = record.position + 1, record.envelope.type == "log.carried"
                if record.envelope.type == "rows.carried":
                    event: Any = read(0, record.envelope)
                    seen = found.setdefault(event.table, [0, 0])
                    seen[0] += len(event.rows)
                    seen[1] += len(record.envelope.value)
    for table, (rows, size) in found.items():
        print(f"carried, {table:13} {rows:6,} rows, {size / rows:6,.0f} bytes each", flush=True)


async def measure(dsn: str, count: int) -> None:
    databases = Databases(dsn)
    await of_kinds(databases, count)
    await of_carrying(databases.create(), count)


def main() -> None:
    with fresh_server({"fsync": "off", "autovacuum": "off"}) as dsn:
        asyncio.run(measure(dsn, int(sys.argv[1]) if len(sys.argv) > 1 else JOBS))


if __name__ == "__main__":
    main()
