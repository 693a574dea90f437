"""
PromptFuture: a future whose waiting task goes on in the callback that brings the result, and not in the next round of the loop.

A busy loop has rounds of several milliseconds: first it reads what came on all connections, then it runs the tasks for which a
result is there. A call that waits for a slot would so wait for a round although the slot is free. Here the task that waits for an
answer runs as soon as the answer is read, and sends the next request before the answers of other connections are read.

    set_result   as of every future: the task goes on in the next round at the latest
    wake         the task goes on now, if the caller is a callback of the loop and no task

Only the first callback is prompt: one task waits for an answer. If the future is cancelled, its task goes on in the next round,
because cancelling is what other tasks do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")


class PromptFuture(asyncio.Future[T]):
    """See above; *T* is the type of the result."""

    _waiter: tuple[Callable[[Any], object], Context | None] | None = None

    def add_done_callback(self, fn: Callable[[Any], object], /, *, context: Context | None = None) -> None:
        """Have *fn* called with this future when there is a result."""
        if self._waiter is None and not self.done():
            self._waiter = fn, context
        else:
            super().add_done_callback(fn, context=context)

    def remove_done_callback(self, fn: Callable[[Any], object], /) -> int:
        """Call *fn* no more; return how often it would have been called."""
        count = super().remove_done_callback(fn)
        if self._waiter is not None and self._waiter[0] == fn:
            self._waiter = None
            count += 1
        return count

    def set_result(self, result: T, /) -> None:
        """Set the result; the waiting task goes on in the next round of the loop, or at `wake`."""
        super().set_result(result)
        self._wake_soon()

    def set_exception(self, exception: type | BaseException, /) -> None:
        """Set an exception as the result, likewise."""
        super().set_exception(exception)
        self._wake_soon()

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel, and return whether there was no result yet."""
        is_cancelled = super().cancel(msg)
        if is_cancelled:
            self._wake_soon()
        return is_cancelled

    def wake(self) -> None:
        """Let the waiting task go on now, if there is a result; inside of a task it goes on in the next round."""
        if self._waiter is None or not self.done() or asyncio.current_task(self.get_loop()) is not None:
            return
        (fn, context), self._waiter = self._waiter, None
        if context is None:
            fn(self)
        else:
            context.run(fn, self)

    def _wake_soon(self) -> None:
        if self._waiter is not None:
            self.get_loop().call_soon(self.wake)
