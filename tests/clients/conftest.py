"""Fixtures of the client's tests: the two clients, so that each test runs with both."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from fliq_client import AsyncFliq, Fliq


class Waiting:
    """An AsyncFliq whose methods wait for their result, and whose lists are lists, so that a test can use it like a Fliq."""

    def __init__(self, fliq: Any, runner: asyncio.Runner) -> None:
        self._fliq = fliq
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._fliq, name)
        return self._waited(found) if callable(found) else Waiting(found, self._runner)

    def _waited(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def waited(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            return self._runner.run(_awaited(result) if inspect.isawaitable(result) else _collected(result))

        return waited


async def _awaited(result: Awaitable[Any]) -> Any:
    return await result


async def _collected(result: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in result]


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Makes a client: *connect(url, token, ...)*, arguments as of Fliq."""
    with ExitStack() as stack:
        if request.param == "sync":
            yield lambda *args, **kwargs: stack.enter_context(Fliq(*args, **kwargs))
        else:
            runner = stack.enter_context(asyncio.Runner())

            def made(*args: Any, **kwargs: Any) -> Waiting:
                fliq = Waiting(AsyncFliq(*args, **kwargs), runner)
                stack.callback(fliq.close)
                return fliq

            yield made
