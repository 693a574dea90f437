"""Capacity: readers wait while the service holds as much as it may."""

import asyncio
from collections.abc import Callable


class Capacity:
    """Holds readers back while *has_room* says no."""

    def __init__(self, has_room: Callable[[], bool]) -> None:
        self._has_room = has_room
        self._freed = asyncio.Event()
        self._freed.set()

    async def wait(self) -> None:
        """Return when more may be held: at once if there is room."""
        while not self._has_room():
            self._freed.clear()
            await self._freed.wait()

    def freed(self) -> None:
        """Note that less is held than before, and let the readers go on if there is room."""
        if not self._freed.is_set() and self._has_room():
            self._freed.set()
