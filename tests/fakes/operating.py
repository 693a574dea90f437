"""An operator at the shell: `fliq` commands against a running Fliq."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any, NamedTuple

from tests.fakes.processes import ROOT, RunningFliq


class Answer(NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The answer of `--json`."""
        return json.loads(self.out)


async def command(fliq: RunningFliq, *words: str, timeout_s: float = 60.0, **settings: str) -> Answer:
    """Run `fliq` *words* with the settings of *fliq*, and more of them."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("FLIQ_", "PG"))}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services",
        *words,
        cwd=ROOT,
        env=clean | fliq.settings | settings,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(timeout_s):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return Answer(process.returncode, out.decode(), err.decode())
