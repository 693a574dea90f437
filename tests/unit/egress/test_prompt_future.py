"""PromptFuture: the task that waits goes on in the callback that brings the result."""

from __future__ import annotations

import asyncio

import pytest

from libs.egress.http1.prompt_future import PromptFuture


async def waiting(future: PromptFuture[int], said: list[object]) -> asyncio.Task[None]:
    """Return a task that waits for *future*, and has begun to wait."""

    async def wait() -> None:
        try:
            said.append(await future)
        except asyncio.CancelledError:
            said.append("cancelled")
            raise

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    return task


async def test_a_callback_lets_the_task_go_on_at_once() -> None:
    """What the callback does after `wake` comes behind what the task does with the result."""
    future, said = PromptFuture[int](), list[object]()
    task = await waiting(future, said)

    def receive() -> None:
        future.set_result(7)
        future.wake()
        said.append("received")

    asyncio.get_running_loop().call_soon(receive)
    await task

    assert said == [7, "received"]


async def test_without_a_wake_the_task_goes_on_in_the_next_round() -> None:
    """A result is enough, as of every future; what comes first is the rest of the callback."""
    future, said = PromptFuture[int](), list[object]()
    task = await waiting(future, said)

    def receive() -> None:
        future.set_result(7)
        said.append("received")

    asyncio.get_running_loop().call_soon(receive)
    await task

    assert said == ["received", 7]


async def test_a_task_that_wakes_is_not_interrupted() -> None:
    """Two tasks cannot run at once: in a task `wake` leaves it to the next round."""
    future, said = PromptFuture[int](), list[object]()
    task = await waiting(future, said)
    future.set_result(7)
    future.wake()
    said.append("woken")
    await task

    assert said == ["woken", 7]


async def test_the_task_goes_on_once() -> None:
    """A second `wake`, and the round that follows, change nothing."""
    future, said = PromptFuture[int](), list[object]()
    task = await waiting(future, said)

    def receive() -> None:
        future.wake()
        future.set_result(7)
        future.wake()
        future.wake()

    asyncio.get_running_loop().call_soon(receive)
    await task
    await asyncio.sleep(0)

    assert said == [7]


async def test_a_task_that_is_cancelled_cancels_the_future() -> None:
    """As with every future; a timeout is no other case."""
    future, said = PromptFuture[int](), list[object]()
    task = await waiting(future, said)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await PromptFuture[int]()

    assert said == ["cancelled"]
    assert future.cancelled()


async def test_an_exception_reaches_the_task() -> None:
    """What is set as an exception is raised where the task waits."""
    future = PromptFuture[int]()
    asyncio.get_running_loop().call_soon(future.set_exception, ValueError("no"))

    with pytest.raises(ValueError, match="no"):
        await future


async def test_other_callbacks_are_called_too() -> None:
    """Only the first one is prompt; one that was removed is not called."""
    future, said = PromptFuture[int](), list[object]()
    removed = said.append
    future.add_done_callback(removed)
    assert future.remove_done_callback(removed) == 1
    task = await waiting(future, said)
    future.add_done_callback(lambda _: said.append("second"))
    future.set_result(7)
    await task
    await asyncio.sleep(0)

    assert set(said) == {7, "second"}
