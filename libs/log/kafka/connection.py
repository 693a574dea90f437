"""Connection: one aiokafka client for requests that may be repeated, and the leaders of the topic's partitions."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Final, TypeVar

import structlog
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import KafkaError, NoError, for_code
from aiokafka.structs import TopicPartition

from libs.log.error_line import line
from libs.log.growing_pauses import growing_pauses
from libs.log.kafka.access import KafkaAccess
from libs.log.port import LogUnavailable

CLOSE_S: Final = 2.0
CLOSE_TRIES: Final = 3

# What aiokafka raises if a broker is away or the connection is lost. KeyError: the connection was lost between two of its steps.
BROKER_ERRORS: Final = (KafkaError, OSError, TimeoutError, KeyError)

T = TypeVar("T")

_log = structlog.get_logger("log")


class NotNow(Exception):
    """A broker refused, but may accept soon; for example, it does not lead the partition. Ask again."""


def check(code: int, what: str) -> None:
    """Raise `NotNow` if *code* is one of Kafka's errors; *what* begins its text."""
    error = for_code(code)
    if error is not NoError:
        raise NotNow(f"{what}: {error.__name__}")


class Reachability:
    """Logs one line when the cluster stops answering, and one when it answers again."""

    def __init__(self) -> None:
        self._waiting: set[str] = set()

    def failed(self, who: str, error: BaseException) -> None:
        """Note that the connection *who* got no answer."""
        if not self._waiting:
            _log.error("log_away", connection=who, error=line(error))
        self._waiting.add(who)

    def answered(self, who: str) -> None:
        """Note that the connection *who* got an answer, or asks no more."""
        if who in self._waiting:
            self._waiting.remove(who)
            if not self._waiting:
                _log.info("log_back")


def hush() -> None:
    """Silence what aiokafka logs several times a second while a broker is away: `Reachability` logs it once."""
    for name, level in (("client", logging.CRITICAL), ("conn", logging.CRITICAL), ("producer.sender", logging.ERROR)):
        logging.getLogger(f"aiokafka.{name}").setLevel(level)


class Causes:
    """Collects the reasons why no broker could be reached: aiokafka only logs them, and its error does not tell them."""

    _listening: ClassVar[list["Causes"]] = []  # several connections may be starting at once
    _level_before: ClassVar[int] = logging.NOTSET  # of the driver's logger; restored when the last one is done

    def __init__(self) -> None:
        self._said: dict[str, None] = {}  # ordered, without repetition

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Collect what aiokafka logs inside this block, at any level, instead of writing it."""
        logger = logging.getLogger("aiokafka")
        if not Causes._listening:
            Causes._level_before = logger.level
            logger.setLevel(logging.WARNING)
            logger.addFilter(_hear)
        Causes._listening.append(self)
        try:
            yield
        finally:
            Causes._listening.remove(self)
            if not Causes._listening:
                logger.removeFilter(_hear)
                logger.setLevel(Causes._level_before)

    def text(self, error: BaseException) -> str:
        """Return the collected reasons, or the text of *error* if there are none, in one line."""
        return "; ".join(self._said)[:300] or line(error)


def _hear(record: logging.LogRecord) -> bool:
    """Collect a record that tells a broker's host, port and reason. All other records are written as usual."""
    if not (str(record.msg).startswith("Unable") and isinstance(record.args, tuple) and len(record.args) == 3):
        return record.levelno >= (Causes._level_before or logging.getLogger().level)
    host, port, reason = record.args
    for each in Causes._listening:
        each._said[f"{host}:{port}: {line(reason) if isinstance(reason, BaseException) else reason}"] = None
    return False


class Connection:
    """
    A client on one topic, with connections of its own to every broker.

    Args:
        access: the cluster.
        topic: whose leaders it knows.
        client_id: its name in the brokers' logs and quotas.
        timeout_s: bound on connecting and on each request.
    """

    def __init__(self, access: KafkaAccess, topic: str, *, client_id: str, timeout_s: float) -> None:
        self.topic = topic
        self.timeout_s = timeout_s
        self._client = AIOKafkaClient(**access.options(client_id=client_id, timeout_s=timeout_s))
        self._refreshing: asyncio.Task[None] | None = None
        self._is_stopped = False
        self._sending: set[asyncio.Future[None]] = set()  # ends with each request under way

    async def start(self) -> None:
        """
        Connect to any broker, and learn the others. The addresses are tried in turn; each step takes *timeout_s* at most.

        Raises:
            LogUnavailable: none answered in time.
        """
        causes = Causes()
        try:
            with causes.heard():
                await self._client.bootstrap()  # no bound of ours: if cancelled, it would leak its connection
        except BROKER_ERRORS as error:
            raise LogUnavailable(f"Kafka cannot be reached: {causes.text(error)}") from error

    async def stop(self) -> None:
        """Disconnect. Callers that wait for an answer get one of `BROKER_ERRORS`, later callers get `NotNow`."""
        self._is_stopped = True
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait([self._refreshing])
        for _ in range(CLOSE_TRIES):
            await self._client.close()
            if not self._sending:
                return
            # A request that was just connecting has a connection by now; the next round closes it.
            await asyncio.wait(self._sending, timeout=CLOSE_S)

    async def follow_topic(self) -> None:
        """Learn the topic's leaders from now on. The topic must exist: a broker may create a topic that it is asked about."""
        await self._client.set_topics([self.topic])

    @property
    def broker_count(self) -> int:
        """How many brokers are known."""
        return len(self._client.cluster.brokers())

    def leader(self, partition: int) -> int | None:
        """Return the broker that leads *partition*, or None if there is none."""
        leader = self._client.cluster.leader_for_partition(TopicPartition(self.topic, partition))
        return None if leader is None or leader == -1 else leader

    def leader_now(self, partition: int) -> int:
        """Return the broker that leads *partition*; raises `NotNow` if there is none."""
        leader = self.leader(partition)
        if leader is None:
            raise NotNow(f"partition {partition} has no leader")
        return leader

    async def refresh(self) -> None:
        """Learn the leaders again: callers at the same time share one request. Returns when it is done or has failed."""
        if self._is_stopped:
            return
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh())
        await asyncio.wait([self._refreshing])

    async def coordinator(self, group: str) -> int:
        """Return the broker that keeps the offsets of *group*; raises as `send` does."""
        return int(await self._asking(lambda: self._client.coordinator_lookup(CoordinationType.GROUP, group)))

    async def send(self, node: int, request: Any, *, sockets: ConnectionGroup = ConnectionGroup.DEFAULT) -> Any:
        """
        Send *request* to the broker *node* and return its answer.

        Args:
            sockets: a broker answers the requests of one connection in turn; each value has a connection of its own.

        Raises:
            BROKER_ERRORS: no answer came.
            NotNow: the connection was stopped.
        """
        return await self._asking(lambda: self._client.send(node, request, group=sockets))

    async def _asking(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        """Wait for an answer; `stop` waits until the request has ended."""
        if self._is_stopped:
            raise NotNow("the log was stopped")
        ended = asyncio.get_running_loop().create_future()
        self._sending.add(ended)
        try:
            return await ask()
        finally:
            self._sending.discard(ended)
            ended.set_result(None)

    async def send_to_any(self, request: Any) -> Any:
        """Send *request* to any broker; raises as `send` does, and `NotNow` if no broker is known."""
        node = self._client.get_random_node()
        if node is None:
            raise NotNow("no broker is known")
        return await self.send(node, request)

    async def send_to_controller(self, request: Any) -> Any:
        """Send *request* to the cluster's controller; raises as `send` does, and `NotNow` if none is known."""
        controller = self._client.cluster.controller
        if controller is None:
            await self.refresh()
            raise NotNow("no controller is known")
        return await self.send(controller.nodeId, request)

    async def _refresh(self) -> None:
        try:
            await self._client.force_metadata_update()
        except BROKER_ERRORS:
            pass  # the caller that needs a leader asks again

    async def retry(self, call: Callable[[], Awaitable[T]], *, timeout_s: float | None = None) -> T:
        """
        Call *call* until it does not fail with `NotNow` or `BROKER_ERRORS`, and return what it returns.

        Raises:
            LogUnavailable: it did not succeed in time, or the connection was stopped.
        """
        bound_s = self.timeout_s if timeout_s is None else timeout_s
        trouble: Exception = TimeoutError()
        pauses = growing_pauses()
        try:
            async with asyncio.timeout(bound_s):
                while True:
                    try:
                        return await call()
                    except (NotNow, *BROKER_ERRORS) as error:
                        trouble = error
                    if self._is_stopped:
                        raise LogUnavailable("the log was stopped")
                    await self.refresh()
                    await asyncio.sleep(next(pauses))
        except TimeoutError as error:
            raise LogUnavailable(f"Kafka does not answer within {bound_s:g} s: {line(trouble)}") from error
