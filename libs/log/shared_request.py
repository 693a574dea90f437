"""One request for all callers that ask at about the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from libs.log.port import LogUnavailable

T = TypeVar("T")


class SharedRequest(Generic[T]):
    """
    Sends a request for all callers that asked while the request before it was under way.

    Every request is sent after each of its callers began to ask, so that its answer is as new as each of them may expect (G3). At
    most one is under way and one waits behind it. A caller that is cancelled cancels nothing for the others.
    """

    def __init__(self, send: Callable[[], Awaitable[T]]) -> None:
        """Share the answers of *send*. When it is called, no more callers can join that request."""
        self._send = send
        self._sent: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None

    async def ask(self) -> T:
        """
        Return the answer of a request that is sent after this call began; raises what *send* raises.

        Raises:
            LogUnavailable: `stop` came first.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._send_after(self._sent))
            self._next.add_done_callback(retrieve)
        shared = self._next
        await asyncio.wait([shared])  # not awaited itself: a caller that is cancelled must not cancel it
        if shared.cancelled():
            raise LogUnavailable("the log was stopped")
        return shared.result()

    async def stop(self) -> None:
        """Cancel what is under way, and return when it has ended. What it is sent through must have been stopped."""
        tasks = [task for task in (self._sent, self._next) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _send_after(self, before: "asyncio.Task[T] | None") -> T:
        if before is not None:
            await asyncio.wait([before])
        # From here on a new caller may not share this request any more: it is being sent.
        self._sent, self._next = self._next, None
        return await self._send()


def retrieve(future: "asyncio.Future[T]") -> None:
    """Look at how *future* ended, so that asyncio does not report an error for which nobody waits any more."""
    if not future.cancelled():
        future.exception()
