"""Calls to the store: every one ends in time, and in words that need no driver."""

from __future__ import annotations

import asyncio

import pytest

from libs.store import errors
from libs.store.errors import StoreUnavailable, answer_call


async def test_an_answer_comes_in_time_although_the_call_cannot_be_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen server does not even take a cancellation: whoever waits for an answer gets one, and the call ends behind."""
    monkeypatch.setattr(errors, "ANSWER_TIMEOUT_S", 0.01)
    thawed, ended = asyncio.Event(), asyncio.Event()

    @answer_call
    async def frozen() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await thawed.wait()
            ended.set()

    with pytest.raises(StoreUnavailable, match="in time"):
        await asyncio.wait_for(frozen(), 5)
    assert not ended.is_set()
    thawed.set()
    await asyncio.wait_for(ended.wait(), 5)


async def test_answers_and_troubles_pass_through() -> None:
    """What is answered is returned, passing trouble is translated, and a defect stays what it is."""

    @answer_call
    async def answer(value: object) -> object:
        if isinstance(value, Exception):
            raise value
        return value

    assert await answer(7) == 7
    with pytest.raises(StoreUnavailable, match="reset"):
        await answer(ConnectionResetError("reset"))
    with pytest.raises(KeyError):
        await answer(KeyError("planted"))


async def test_a_caller_that_goes_away_takes_the_call_along() -> None:
    """A request that is cancelled leaves nothing running."""
    ended = asyncio.Event()

    @answer_call
    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    calling = asyncio.ensure_future(slow())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    await asyncio.wait_for(ended.wait(), 5)
