"""An operator at the shell: `fliq` commands against a running Fliq."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from libs.store.leases.lease_report import LeaseReport
from libs.store.pool import open_pool
from tests.fakes.running.fork_server import start
from tests.fakes.running.processes import ROOT, RunningFliq
from tests.fakes.until import until

FLIQ = (sys.executable, "-m", "services")


class Answer(NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The answer of `--json`."""
        return json.loads(self.out)


async def begin(
    fliq: RunningFliq, *words: str, program: Sequence[str] = FLIQ, **settings: str
) -> asyncio.subprocess.Process:
    """Start `fliq` *words*, or another *program*, with the settings of *fliq*, and more of them."""
    return await asyncio.create_subprocess_exec(
        *program,
        *words,
        cwd=ROOT,
        env=fliq.environment(**settings),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def command(fliq: RunningFliq, *words: str, timeout_s: float = 60.0, **settings: str) -> Answer:
    """Run `fliq` *words* with the settings of *fliq*, and more of them."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = start(words, env=fliq.environment(**settings), stdout=out, stderr=err)
        try:
            code = await asyncio.to_thread(process.wait, timeout_s)
        finally:
            process.kill()
        out.seek(0)
        err.seek(0)
        return Answer(code, out.read().decode(), err.read().decode())


Held = dict[str, list[str | None]]


async def until_held(
    fliq: RunningFliq, is_right: Callable[[list[str | None]], bool], *, timeout_s: float = 60.0
) -> Held:
    """Return who holds each partition, by role (None where nobody does), once *is_right* says so of every role."""
    pool = await open_pool(fliq.settings["FLIQ_DATABASE_URL"], name="test", size=1)
    held: Held = {}

    async def all_right() -> bool:
        held.clear()
        for lease in await LeaseReport(pool).leases():  # in the order of partitions
            held.setdefault(lease.role, []).append(lease.node if lease.is_held else None)
        return all(is_right(nodes) for nodes in held.values())

    try:
        await until(all_right, within_s=timeout_s, every_s=0.1, saying=lambda: held)
        return held
    finally:
        await pool.close()
