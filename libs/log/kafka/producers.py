"""
Producers: the idempotent producer in use, and its replacement.

An aiokafka producer retries for ever. After it gave up on a batch it refuses every later batch (aiokafka #1017), and its sequence
numbers overflow after 2,147,483,647 records in a partition. So a producer is retired after any error, and after one day. A retired
producer finishes the batches that other partitions sent with it, and is closed. The next batch goes out through a new producer.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerClosed

from libs.log.growing_pauses import growing_pauses
from libs.log.kafka.access import KafkaAccess
from libs.log.kafka.connection import BROKER_ERRORS, CLOSE_S, CLOSE_TRIES, Reachability
from libs.log.port import LogUnavailable

RECYCLE_S: Final = 86_400.0
PRODUCE_S: Final = 10.0  # how long a batch may take, with all its retries


class _Life:
    """One producer, and how many batches are under way with it."""

    def __init__(self, producer: AIOKafkaProducer, recycle_at: float) -> None:
        self.producer = producer
        self.recycle_at = recycle_at
        self.users = 0
        self.idle = asyncio.Event()
        self.idle.set()
        self.is_retired = False


class Producers:
    """
    Provides the producer in use: one at a time.

    Args:
        access: the cluster.
        name: its client id for the brokers.
        timeout_s: bound on connecting and on each request.
        batch_bytes: the largest batch that it may send.
        reachability: is told whether the cluster answers.
    """

    def __init__(
        self, access: KafkaAccess, *, name: str, timeout_s: float, batch_bytes: int, reachability: Reachability
    ) -> None:
        self._reachability = reachability
        self._access = access
        self._name = name
        self._timeout_s = timeout_s
        self._batch_bytes = batch_bytes
        self._life: _Life | None = None
        self._starting: asyncio.Task[_Life] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._is_stopped = False
        self.started_count = 0  # producers so far

    @asynccontextmanager
    async def use(self) -> AsyncIterator["_Life"]:
        """Enter with the producer; wait if there is none. It is not closed before the block is left."""
        life = await self._get()
        life.users += 1
        life.idle.clear()
        try:
            yield life
        finally:
            life.users -= 1
            if not life.users:
                life.idle.set()

    def warm(self) -> None:
        """Start the first producer in the background."""
        if self._life is None and self._starting is None:
            self._starting = asyncio.create_task(self._start())

    def retire(self, life: "_Life") -> None:
        """Send no more batches through it, and close it when its users have left."""
        if life.is_retired:
            return
        life.is_retired = True
        if self._life is life:
            self._life = None
        closing = asyncio.create_task(self._close(life))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def stop(self) -> None:
        """Close everything. Batches that are not acknowledged by now may or may not be written."""
        self._is_stopped = True
        starting = self._starting
        if starting is not None:
            # If cancelled at once, it would leak the connection that it is just making.
            await asyncio.wait([starting], timeout=CLOSE_S)
            starting.cancel()
            await asyncio.wait([starting])
            if not starting.cancelled():
                starting.exception()
        life, self._life = self._life, None
        if life is not None:
            self.retire(life)
        if self._closing:
            await asyncio.wait(self._closing)

    async def _get(self) -> _Life:
        life = self._life
        if life is not None:
            if asyncio.get_running_loop().time() < life.recycle_at:
                return life
            self.retire(life)
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
        return await asyncio.shield(self._starting)

    async def _start(self) -> _Life:
        """Start a producer, however long it takes: waiting appends end at their own deadlines."""
        pauses = growing_pauses()
        loop = asyncio.get_running_loop()
        try:
            while not self._is_stopped:
                producer = AIOKafkaProducer(
                    **self._access.options(client_id=self._name, timeout_s=self._timeout_s),
                    acks="all",
                    enable_idempotence=True,
                    linger_ms=0,
                    max_batch_size=self._batch_bytes,
                    max_request_size=self._batch_bytes,
                )
                try:
                    # The two steps of `start`: the first has a bound of its own, the second would retry for ever.
                    await producer.client.bootstrap()
                    async with asyncio.timeout(2 * self._timeout_s):
                        await producer._sender.start()
                except BROKER_ERRORS as error:
                    self._reachability.failed(self._name, error)
                    await _end(producer)
                except BaseException:
                    await _end(producer)
                    raise
                else:
                    self._reachability.answered(self._name)
                    self._life = _Life(producer, loop.time() + RECYCLE_S)
                    self.started_count += 1
                    return self._life
                await asyncio.sleep(next(pauses))
            raise LogUnavailable("the log was stopped")
        finally:
            self._starting = None

    async def _close(self, life: _Life) -> None:
        try:
            async with asyncio.timeout(PRODUCE_S):
                await life.idle.wait()
        except TimeoutError:
            pass  # its users have waited for as long as they may
        await _end(life.producer)


async def _end(producer: AIOKafkaProducer) -> None:
    """Close a producer within a bound. Its own `stop` could wait for the last batch for ever."""
    sender, accumulator = producer._sender, producer._message_accumulator
    producer._closed = True
    task = sender.sender_task
    if task is not None and not task.done():
        task.cancel()
    # Closing the connections ends the requests under way, and then the sender. A request that was just connecting has a
    # connection by then; the next round closes it.
    for _ in range(CLOSE_TRIES):
        await asyncio.wait([asyncio.ensure_future(producer.client.close())], timeout=CLOSE_S)
        if task is None or task.done():
            break
        await asyncio.wait([task], timeout=CLOSE_S / 4)
    if task is not None and task.done() and not task.cancelled():
        task.exception()
    accumulator._closed = True
    for batch in (
        *accumulator._pending_batches,
        *(each for batches in accumulator._batches.values() for each in batches),
    ):
        if not batch.future.done():
            batch.future.set_exception(ProducerClosed())
            batch.future.exception()  # retrieved, in case nobody waits for it any more
