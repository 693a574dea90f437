"""A clock for lease keepers that stands still until it is moved."""

import asyncio


class ManualMonotonic:
    """Monotonic time under the test's hand; sleeping ends when the test ends it."""

    def __init__(self) -> None:
        self.at_s = 1000.0
        self._rounds = asyncio.Event()

    def monotonic_s(self) -> float:
        return self.at_s

    async def sleep(self, seconds: float) -> None:
        """Wait for the next `wake`, however long that is."""
        await self._rounds.wait()
        self._rounds.clear()

    def wake(self) -> None:
        """Let one sleeper go on."""
        self._rounds.set()
