"""
Loop: an asyncio event loop in which a seed decides everything.

Theory of operation

    time       is virtual: when nothing is ready it jumps to the next timer; a busy loop that never waits is an error
    process    an imagined process: whatever is started inside of it (tasks, callbacks, timers) carries it in its context
    order      what is ready of one process runs first come, first served, as in asyncio; between processes the seed mixes
    kill       from that moment nothing of the process runs any more: no handler, no `finally`, wherever it stood
    freeze     what becomes ready of the process is held back, timers too, until it is thawed
    refused    sockets, files, threads, signals: there is nothing real in here

Tasks and futures are numbered and hash by their number, so that a set of them has the same order in every run.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import random
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NoReturn

TURNS_MAX: Final = 20_000  # turns of the loop at one instant; beyond, somebody spins

PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


class RealIo(RuntimeError):
    """Somebody wanted a socket, a thread or a file descriptor inside of the simulation."""


class Stalled(RuntimeError):
    """Nothing is left that could ever happen, or something happens without end at one instant."""


class Process:
    """One life of an imagined process."""

    def __init__(self, name: str) -> None:
        """Begin a life called *name*."""
        self.name = name
        self.is_dead = False
        self.is_frozen = False
        self.is_first_build = False
        self.skew_ms = 0
        self.fuse: int | None = None  # steps that are left until it dies
        self.on_death: Callable[[], None] | None = None
        self.held: list[asyncio.Handle] = []
        self.context = contextvars.copy_context()
        self.context.run(PROCESS.set, self)

    def __repr__(self) -> str:
        return self.name


class SimTask(asyncio.Task[Any]):
    """A task that hashes by its number and knows its process."""

    def __init__(self, *args: Any, number: int, **options: Any) -> None:
        """Number the task before anybody puts it into a set."""
        self.number = number
        context = options.get("context")
        self.process = PROCESS.get() if context is None else context.get(PROCESS)
        super().__init__(*args, **options)

    def __hash__(self) -> int:
        return self.number


class SimFuture(asyncio.Future[Any]):
    """A future that hashes by its number."""

    def __init__(self, *, number: int, loop: SimLoop) -> None:
        """Number the future."""
        self.number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self.number


class SimLoop(asyncio.BaseEventLoop):
    """See the module."""

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, seed: int) -> None:
        """Make a loop whose order between processes is drawn from *seed*."""
        self._now = 0.0
        self._turns = 0
        self._numbers = 0
        self._draw = random.Random(f"{seed} order")
        self.step_count = 0
        self.order = 0  # a running sum over which process ran at which step
        self.errors: list[str] = []
        self.abandoned: list[SimTask] = []
        super().__init__()
        self.set_debug(False)
        self.set_task_factory(self._make_task)
        self.set_exception_handler(self._on_error)

    # --- time and order ---------------------------------------------------------------------------------------------------

    def time(self) -> float:
        """Return virtual seconds since the beginning."""
        return self._now

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled
        while scheduled and scheduled[0]._cancelled:  # type: ignore[attr-defined]
            heapq.heappop(scheduled)._scheduled = False  # type: ignore[attr-defined]
        if not ready:
            if not scheduled:
                raise Stalled("nothing is left that could happen")
            when = scheduled[0].when()
            if when > self._now:
                self._now = when
                self._turns = 0
        self._turns += 1
        if self._turns > TURNS_MAX:
            raise Stalled(f"{TURNS_MAX} turns at one instant, the last one of {ready[0] if ready else None}")
        while scheduled and scheduled[0].when() <= self._now:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False  # type: ignore[attr-defined]
            ready.append(handle)
        count = len(ready)
        if count > 1:
            self._mix(ready)
        for _ in range(count):
            handle = ready.popleft()
            if not handle._cancelled:  # type: ignore[attr-defined]
                self._step(handle)

    def _step(self, handle: asyncio.Handle) -> None:
        process = handle._context.get(PROCESS)  # type: ignore[attr-defined]
        self.step_count += 1
        if process is not None:
            if process.is_dead:
                return
            if process.is_frozen:
                process.held.append(handle)
                return
            if process.fuse is not None:
                process.fuse -= 1
                if process.fuse <= 0:
                    process.fuse = None
                    self.kill(process)
                    return
            self.order = (self.order * 31 + len(process.name) + ord(process.name[-1])) & 0xFFFFFFFF
        handle._run()  # type: ignore[attr-defined]

    def _mix(self, ready: deque[asyncio.Handle]) -> None:
        """Mix the order between processes; within one it stays."""
        owners = [handle._context.get(PROCESS) for handle in ready]  # type: ignore[attr-defined]
        first = owners[0]
        if all(owner is first for owner in owners):
            return
        lanes: dict[int, deque[asyncio.Handle]] = {}
        keys = []
        for owner, handle in zip(owners, ready, strict=True):
            key = id(owner)
            lanes.setdefault(key, deque()).append(handle)
            keys.append(key)
        self._draw.shuffle(keys)
        ready.clear()
        ready.extend([lanes[key].popleft() for key in keys])

    # --- processes --------------------------------------------------------------------------------------------------------

    def kill(self, process: Process) -> None:
        """End *process* where it stands."""
        if process.is_dead:
            return
        process.is_dead = True
        # Kept until the end: a task that is collected would run its `finally` blocks.
        self.abandoned += [task for task in asyncio.all_tasks(self) if getattr(task, "process", None) is process]  # type: ignore[misc]
        process.held.clear()
        if process.on_death is not None:
            process.on_death()

    def freeze(self, process: Process) -> None:
        """Let *process* stand still."""
        process.is_frozen = True

    def thaw(self, process: Process) -> None:
        """Let *process* go on."""
        if process.is_frozen:
            process.is_frozen = False
            self._ready.extend(process.held)
            process.held = []

    def outside(self, at: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        """Call *callback* at *at*, whatever becomes of the caller's process: what is on its way arrives."""
        return self.call_at(at, callback, *args, context=_WORLD)

    # --- what asyncio asks of a loop --------------------------------------------------------------------------------------

    def _make_task(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> SimTask:
        self._numbers += 1
        return SimTask(coro, loop=loop, number=self._numbers, **options)

    def create_future(self) -> SimFuture:
        self._numbers += 1
        return SimFuture(number=self._numbers, loop=self)

    def _on_error(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.errors.append(f"{context['message']}: {type(error).__name__}: {error} {context.get('task') or ''}")

    def _process_events(self, event_list: Any) -> None:
        raise RealIo("events of a selector")

    def _write_to_self(self) -> None:
        raise RealIo("a wake-up from another thread")

    def call_soon_threadsafe(self, *args: Any, **options: Any) -> NoReturn:
        raise RealIo("a call from another thread")

    def run_in_executor(self, *args: Any) -> NoReturn:
        raise RealIo("a thread")

    def add_reader(self, *args: Any) -> NoReturn:
        raise RealIo("a file descriptor")

    add_writer = remove_reader = remove_writer = add_signal_handler = add_reader

    async def create_connection(self, *args: Any, **options: Any) -> NoReturn:
        raise RealIo("a connection")

    create_server = create_datagram_endpoint = getaddrinfo = getnameinfo = create_connection  # type: ignore[assignment]
    subprocess_exec = subprocess_shell = connect_read_pipe = connect_write_pipe = create_connection  # type: ignore[assignment]
    sock_recv = sock_sendall = sock_connect = sock_accept = create_connection  # type: ignore[assignment]

    def abandon(self) -> None:
        """End the simulation: close what still stands somewhere, silently. Call it when nothing of the run is needed any more."""
        self.set_exception_handler(lambda *_: None)
        for task in [*self.abandoned, *asyncio.all_tasks(self)]:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            for _ in range(3):
                try:
                    task.get_coro().close()  # type: ignore[union-attr]
                    break
                except BaseException:  # noqa: S112 - nobody is left who could want to know
                    continue  # a `finally` that waits: it is told again, and then left
        self.abandoned.clear()
        self._ready.clear()
        self._scheduled.clear()
        self.close()


async def never_if_dead(loop: SimLoop, process: Process) -> None:
    """Do not return in a process that died at this very step: nothing leaves it any more."""
    if process.is_dead:
        await loop.create_future()


_WORLD: Final = contextvars.Context()
