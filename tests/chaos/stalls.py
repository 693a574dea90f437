"""Stalls: when this machine itself stood still. Nobody on it could have been on time, and a long one is a freeze of everybody."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from tests.chaos.judging.history import Fault
from tests.chaos.load import now_ms

LOOK_S: Final = 0.1
STALL_S: Final = 0.4
AFTER_MS: Final = 500.0
# Half of what a lease is certain for: whoever stood still for longer may be taken for dead, and what he was doing be done again.
FREEZE_S: Final = 1.2


async def watch_stalls(found: list[Fault]) -> None:
    """Note in *found* when the machine stood still; for ever."""
    while True:
        at, began = now_ms(), time.monotonic()
        await asyncio.sleep(LOOK_S)
        stood_s = time.monotonic() - began - LOOK_S
        if stood_s > STALL_S:
            is_short = stood_s < FREEZE_S
            found.append(Fault(kind="stall of the machine", at=at, until=now_ms() + AFTER_MS, is_graceful=is_short))
