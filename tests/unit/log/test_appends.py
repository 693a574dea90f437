"""The queue of appends: order, groups, bounds, deadlines, and that every append ends."""

import asyncio
import gc

import pytest

from libs.events import Envelope
from libs.log.appends import AppendQueue
from libs.log.port import AppendFailed, LogUnavailable

ONE = Envelope("t", 1, True, None, "k", b"x")


def put(queue: AppendQueue, count: int = 1, *, size: int = 10, timeout_s: float = 60.0) -> "asyncio.Future[int]":
    return queue.put(0, (ONE,) * count, size, timeout_s)


@pytest.fixture
async def queue() -> AppendQueue:
    return AppendQueue(max_records=100, max_bytes=1_000)


def take(queue: AppendQueue, max_records: int = 1000, max_bytes: int = 10_000) -> list[int]:
    return [len(append.envelopes) for append in queue.take(max_records=max_records, max_bytes=max_bytes)]


async def test_groups_keep_the_order_and_their_bounds(queue: AppendQueue) -> None:
    """Groups are taken in order of arrival; a bound ends a group, but never keeps the first append out."""
    for count in (1, 2, 3, 4, 50):
        put(queue, count)
    assert take(queue, max_records=6) == [1, 2, 3]
    assert take(queue, max_records=6) == [4]
    assert take(queue, max_records=6) == [50]
    assert take(queue) == []
    for _ in range(3):
        put(queue, size=100)
    assert take(queue, max_bytes=250) == [1, 1]
    queue.abandon()


async def test_full_queue_refuses_at_once(queue: AppendQueue) -> None:
    """Beyond its bounds the queue refuses; once a group was taken there is room again."""
    put(queue, 60)
    with pytest.raises(LogUnavailable):
        put(queue, 41)
    put(queue, 40)
    take(queue)
    put(queue, size=600)
    with pytest.raises(LogUnavailable):
        put(queue, size=401)
    put(queue, size=400)
    queue.abandon()


async def test_one_large_append_is_taken_when_nothing_waits(queue: AppendQueue) -> None:
    """An append beyond the bounds is not refused for ever."""
    put(queue, 500, size=5_000)
    assert take(queue) == [500]
    queue.abandon()


async def test_cancelled_appends_are_not_taken(queue: AppendQueue) -> None:
    """A caller that went away while its append waited is not written for, and gives its room back."""
    gone, kept = put(queue, 60), put(queue, 40)
    gone.cancel()
    assert take(queue) == [40]
    put(queue, 100)
    queue.abandon()
    assert isinstance(kept.exception(), AppendFailed)


async def test_deadline_of_what_waits_and_of_what_was_taken(queue: AppendQueue) -> None:
    """Time over: what was taken ends as AppendFailed, what waits as LogUnavailable, what has time left goes on."""
    taken, taken_long = put(queue, timeout_s=0.01), put(queue)
    take(queue)
    waiting, waiting_long = put(queue, 90, timeout_s=0.005), put(queue)
    with pytest.raises(LogUnavailable):
        await waiting
    with pytest.raises(AppendFailed):
        await taken
    assert not taken_long.done()
    assert not waiting_long.done()
    put(queue, 90)  # the room of the append that ended is free
    assert take(queue) == [1, 90]
    queue.abandon()


async def test_an_earlier_deadline_moves_the_timer(queue: AppendQueue) -> None:
    """An append that comes later but has less time ends first."""
    long = put(queue, timeout_s=60)
    with pytest.raises(LogUnavailable):
        await put(queue, timeout_s=0.005)
    assert not long.done()
    queue.abandon()


async def test_abandon_ends_everything(queue: AppendQueue) -> None:
    """When the log stops, nobody hangs, and nothing more is taken."""
    taken = put(queue)
    take(queue)
    waiting = put(queue)
    queue.abandon()
    queue.abandon()
    assert isinstance(taken.exception(), AppendFailed)
    assert isinstance(waiting.exception(), LogUnavailable)
    with pytest.raises(LogUnavailable):
        put(queue)
    assert not await queue.arrival()


async def test_a_caller_that_has_ended_is_not_reported(queue: AppendQueue) -> None:
    """What it will never ask for is no error of ours: asyncio logs failures that nobody looked at."""
    reported = list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["message"]))
    put(queue)
    take(queue)
    put(queue)
    queue.abandon()
    gc.collect()
    assert reported == []


async def test_arrival_waits_for_work_and_ends_with_the_queue(queue: AppendQueue) -> None:
    """The writer sleeps until something arrives; a closed queue is emptied before it ends."""
    arrival = asyncio.create_task(queue.arrival())
    await asyncio.sleep(0)
    assert not arrival.done()
    put(queue)
    assert await arrival
    queue.close()
    assert await queue.arrival()
    take(queue)
    queue.taken_ended()
    assert not await queue.arrival()


async def test_every_failure_is_an_error_of_its_own(queue: AppendQueue) -> None:
    """Callers of one group do not share one exception object: its traceback would grow with each of them."""
    first, second = put(queue), put(queue)
    take(queue)
    queue.fail_taken(AppendFailed("lost"))
    assert first.exception() is not second.exception()
    assert str(first.exception()) == str(second.exception()) == "lost"
