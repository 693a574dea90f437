"""
Wait until a condition holds, no longer than a bound.

These ask again and again: they are for what cannot signal, as another process or a file cannot. Where there is a signal (an
event, a task, `Sink.wait_for`), wait for that.

*every_s* is the pause between two questions. With 0 the other tasks of the loop run in between, and no time passes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, TypeVar, cast

T = TypeVar("T")


async def until(
    ask: Callable[[], T | Awaitable[T]],
    *,
    within_s: float = 60.0,
    every_s: float = 0.02,
    saying: Callable[[], Any] = lambda: "it does not happen",
) -> T:
    """Return what *ask* answers once that is true; raise AssertionError, *saying* why, after *within_s*."""
    found = await until_or_late(ask, within_s=within_s, every_s=every_s)
    assert found, saying()
    return found


async def until_or_late(ask: Callable[[], T | Awaitable[T]], *, within_s: float, every_s: float = 0.02) -> T:
    """Return what *ask* answers once that is true, or its last answer after *within_s*."""
    deadline = time.monotonic() + within_s
    while True:
        answer = ask()
        found = cast("T", await answer if isawaitable(answer) else answer)
        if found or time.monotonic() > deadline:
            return found
        await asyncio.sleep(every_s)


def until_blocking(
    ask: Callable[[], T],
    *,
    within_s: float = 60.0,
    every_s: float = 0.02,
    saying: Callable[[], Any] = lambda: "it does not happen",
) -> T:
    """`until` where there is no event loop."""
    deadline = time.monotonic() + within_s
    while not (found := ask()):
        assert time.monotonic() < deadline, saying()
        time.sleep(every_s)
    return found
