"""
Life cycle: services start in order, and end in the reverse order, however the process is told to end.

Terms
    service   something with start() and stop(); stop() drains and is bounded by itself where it can be.
    StartStop the contract as a base class: stop without start is fine, start and stop twice are fine, a stop that
              comes while a start is under way waits for it, and a stopped service may be started again.
    crash     a background task of a service that ends with an error, or ends at all, without having been stopped.

The Supervisor runs the services of one process. The first SIGTERM or SIGINT begins the drain, last started first
stopped: the API ends before the services that do the work, and these before what they rest on. A second signal ends the
drain where it is, unless it is the same signal again within a second: a supervisor signals the whole process group, and `make`
forwards what it got. A crash drains too, and the process ends with status 1: a process that lost a service must not look healthy.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from typing import Any, Protocol

import structlog

DRAIN_TIMEOUT_S = 40.0  # the longest call that is waited for takes 30 s, and what it reports must be written
_LAST_CHANCE_S = 0.5  # for a service whose turn to stop comes when the time is over
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
SAME_SIGNAL_S = 0.95  # the same signal again within this time is one: sent to the group, and forwarded by the parent

_log = structlog.get_logger("process")


class Service(Protocol):
    """What the supervisor runs."""

    async def start(self) -> None:
        """Be at work when this returns; raise if that is not possible."""

    async def stop(self) -> None:
        """Be at rest when this returns, also if there was nothing to stop."""


class StartStop:
    """
    The contract of start and stop, and background tasks that are watched.

    A subclass overrides on_start() and on_stop() and calls spawn() for its loops; whatever was spawned and still runs
    is cancelled after on_stop(), or when on_start() fails.
    """

    def __init__(self) -> None:
        self.on_crash: Callable[[str, BaseException], None] | None = None
        self._gate = asyncio.Lock()
        self._is_started = False
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def is_started(self) -> bool:
        return self._is_started

    async def on_start(self) -> None:
        """Begin; called once per start."""

    async def on_stop(self) -> None:
        """End; called once per stop that follows a start."""

    async def start(self) -> None:
        """Start unless started; an error of on_start() passes, and the service is then as if never started."""
        async with self._gate:
            if self._is_started:
                return
            try:
                await self.on_start()
            except BaseException:
                await self._cancel_tasks()
                raise
            self._is_started = True

    async def stop(self) -> None:
        """Stop unless stopped; also when on_stop() fails, nothing runs afterwards."""
        async with self._gate:
            if not self._is_started:
                return
            self._is_started = False
            try:
                await self.on_stop()
            finally:
                await self._cancel_tasks()

    def spawn(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Run a loop of this service; its ending by itself, with an error or without, is a crash."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task not in self._tasks:
            return  # being cancelled by us; _cancel_tasks looks at the outcome
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception() or RuntimeError(f"{task.get_name()} ended by itself")
        if self.on_crash is not None:
            self.on_crash(task.get_name(), error)
        else:
            _log.critical("crashed", task=task.get_name(), exc_info=error)

    async def _cancel_tasks(self) -> None:
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                _log.warning("failed_while_stopping", exc_info=result)


class Loop(StartStop):
    """A single loop as a service: `Loop("name", function)` runs function() until it is stopped."""

    def __init__(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        super().__init__()
        self._name = name
        self._work = work

    async def on_start(self) -> None:
        self.spawn(self._work(), name=self._name)


class _Late(StartStop):
    """A service that is made when it is to start."""

    def __init__(self, make: Callable[[], Awaitable[Service]]) -> None:
        super().__init__()
        self._make = make
        self._service: Service | None = None

    async def on_start(self) -> None:
        self._service = service = await self._make()
        if isinstance(service, StartStop):
            service.on_crash = self.on_crash
        try:
            await service.start()
        except BaseException:
            await service.stop()  # a start that was cut short may have left something to stop
            raise

    async def on_stop(self) -> None:
        if self._service is not None:
            await self._service.stop()


class Supervisor:
    """Runs services until a signal, a crash or request_stop(); see the module's text."""

    def __init__(self, *, drain_timeout_s: float = DRAIN_TIMEOUT_S) -> None:
        self._services: list[tuple[str, Service]] = []  # in the order in which they end, the last one first
        self._late: list[tuple[str, Service]] = []
        self._drain_timeout_s = drain_timeout_s
        self._ending = asyncio.Event()
        self._hurry = asyncio.Event()
        self.failure: str | None = None  # why a service did not start, in words
        self._status = 0
        self._deadline = 0.0
        self._ended_by: tuple[signal.Signals, float] | None = None  # the signal, and when it came

    def add(self, name: str, service: Service) -> None:
        """Have *service* started after those added before it, and stopped before them."""
        if isinstance(service, StartStop):
            service.on_crash = lambda task, error: self.crashed(f"{name}: {task}", error)
        self._services.append((name, service))

    def add_late(self, name: str, make: Callable[[], Awaitable[Service]]) -> None:
        """
        Have the service that *make* returns started when all others are at work; it is stopped in the place in which it was added.

        So whoever calls does not wait for what only people wait for: *make* may import in a thread what the others do not need.
        """
        service = _Late(make)
        self.add(name, service)
        self._late.append((name, service))

    def watch(self, name: str, task: asyncio.Task[Any]) -> None:
        """Treat it as a crash if *task*, which is no StartStop's, ends before the process is told to stop."""

        def ended(done: asyncio.Task[Any]) -> None:
            if not done.cancelled() and not self._ending.is_set():
                self.crashed(name, done.exception() or RuntimeError(f"{name} ended by itself"))

        task.add_done_callback(ended)

    def request_stop(self) -> None:
        """Begin the drain, as a first signal does."""
        self._ending.set()

    def crashed(self, name: str, error: BaseException) -> None:
        """Note that *name* cannot go on: the process drains and ends with status 1."""
        _log.critical("crashed", service=name, error=f"{type(error).__name__}: {error}", exc_info=error)
        self._status = 1
        self._ending.set()

    async def run(self, *, on_started: Callable[[], None] | None = None) -> int:
        """
        Start everything, wait for the end, stop everything; return the status for the shell.

        *on_started* is called once, when all services are started.

        0 asked to end and drained in time · 1 a service did not start, crashed, or did not stop in time ·
        128 + n a second signal n cut the drain short.
        """
        with signals_handled(_SIGNALS, self._signalled):
            return await self._run(on_started)

    def _signalled(self, signum: signal.Signals) -> None:
        if not self._ending.is_set():
            _log.info("stopping", signal=signum.name)
            self._ended_by = signum, time.monotonic()
            self._ending.set()
        elif not self._hurry.is_set() and not is_same_signal(self._ended_by, signum):
            _log.warning("stopping_at_once", signal=signum.name)
            self._status = 128 + signum
            self._hurry.set()

    async def _run(self, on_started: Callable[[], None] | None) -> int:
        begun: set[str] = set()
        late = [name for name, _ in self._late]
        for name, service in [*(each for each in self._services if each[0] not in late), *self._late]:
            if not await self._start(name, service, begun):
                break
        else:
            if on_started is not None:
                on_started()
            await self._ending.wait()
        self._ending.set()  # from here on a signal means hurry
        self._deadline = time.monotonic() + self._drain_timeout_s
        stack = AsyncExitStack()
        for name, service in self._services:
            if name in begun:
                stack.push_async_callback(self._stop, name, service)
        draining = asyncio.create_task(stack.aclose(), name="drain")
        await _first(draining, self._hurry)
        if not draining.done():
            draining.cancel()
            await asyncio.wait([draining], timeout=_LAST_CHANCE_S)
        return self._status

    async def _start(self, name: str, service: Service, begun: set[str]) -> bool:
        """Start one service; False when it failed or the process was told to end meanwhile."""
        if self._ending.is_set():
            return False
        # Noted first: a start that is cut short may have left something to stop, and stop must tolerate both.
        begun.add(name)
        starting = asyncio.ensure_future(service.start())
        await _first(starting, self._ending)
        if not starting.done():
            starting.cancel()
            await asyncio.wait([starting], timeout=self._drain_timeout_s)
        if not starting.done() or starting.cancelled():
            return False
        error = starting.exception()
        if error is not None:
            self.failure = str(error) or type(error).__name__
            _log.critical("did_not_start", service=name, error=self.failure)
            self._status = self._status or 1
            return False
        _log.info("started", service=name)
        return not self._ending.is_set()

    async def _stop(self, name: str, service: Service) -> None:
        if self._hurry.is_set():
            return
        try:
            async with asyncio.timeout(max(_LAST_CHANCE_S, self._deadline - time.monotonic())):
                await service.stop()
        except TimeoutError:
            _log.error("did_not_stop_in_time", service=name, timeout_s=self._drain_timeout_s)
            self._status = self._status or 1
        except Exception as error:  # noqa: BLE001 - one service's failure must not keep the next from being stopped
            _log.error("failed_while_stopping", service=name, exc_info=error)
            self._status = self._status or 1
        else:
            _log.info("stopped", service=name)


@contextmanager
def signals_handled(signals: Sequence[signal.Signals], handler: Callable[[signal.Signals], object]) -> Iterator[None]:
    """Have the event loop call *handler* with each of *signals* that comes."""
    loop = asyncio.get_running_loop()
    for signum in signals:
        loop.add_signal_handler(signum, handler, signum)
    try:
        yield
    finally:
        for signum in signals:
            loop.remove_signal_handler(signum)


async def cancelled(task: asyncio.Task[Any]) -> None:
    """Cancel *task* and wait for its end, whatever it ends with."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def is_same_signal(first: tuple[signal.Signals, float] | None, signum: signal.Signals) -> bool:
    """Whether *signum*, which came now, is the one that *first* tells of, sent twice (`time.monotonic`)."""
    return first is not None and first[0] == signum and time.monotonic() - first[1] < SAME_SIGNAL_S


async def _first(work: Awaitable[Any], event: asyncio.Event) -> None:
    """Wait until *work* is done or *event* is set; neither is ended."""
    signalled = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait([asyncio.ensure_future(work), signalled], return_when=asyncio.FIRST_COMPLETED)
    finally:
        signalled.cancel()
