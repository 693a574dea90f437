"""
Targets: the sink of tests/fakes/running/sink.py as a process of its own, which tells of every arrival in a line of JSON.

Its clock is the machine's, and nothing else runs in it: an arrival is stamped when it arrives. It ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Final

from tests.fakes.running.sink import Arrival, Sink

KEPT: Final = (
    *("X-Fliq-Job-Id", "X-Fliq-Execution-Id", "X-Fliq-Attempt", "X-Fliq-Scheduled-At", "X-Fliq-Schedule-Id"),
    *("X-Fliq-Trigger", "webhook-id"),
)


class Told(list[Arrival]):
    """Tells instead of keeping."""

    def append(self, arrival: Arrival) -> None:
        kept = {name: arrival.headers[name] for name in KEPT if name in arrival.headers}
        print(json.dumps([arrival.at, arrival.path, kept, arrival.body.decode()]), flush=True)


async def serve() -> None:
    """Listen on a free port, say which, and serve until standard input ends."""
    async with Sink(arrivals=Told()) as sink:
        print(json.dumps({"port": sink.port}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
