"""
Resolver: a name to its addresses, once per attempt, remembered by nobody.

A cache would be shared by accounts: one could warm it for another, or learn from its timing what others call. So there is
none; the system's own resolver (or a node-local DNS cache behind it) is the place for one.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Protocol, TypeAlias

THREADS = 32  # getaddrinfo blocks; a silent DNS server holds one thread for as long as resolv.conf says
WAITING_LIMIT = 2048  # look-ups asked for and not answered; beyond it a look-up fails at once


class ResolveError(Exception):
    """The name has no address, or nobody would say."""


class Resolver(Protocol):
    """Turns a name into addresses."""

    async def resolve(self, host: str) -> list[str]:
        """
        Return every address of *host*, in the order in which to try them, none twice.

        Raises:
            ResolveError: there is none, or the resolver failed. The caller bounds the wait and judges the answers.
        """


class SystemResolver:
    """
    The machine's resolver (`getaddrinfo`) on a few daemon threads.

    Daemons, and not an executor: the interpreter joins an executor's threads when it exits, and a silent DNS server would
    hold up the end of the process for as long as its look-ups last.
    """

    def __init__(
        self,
        *,
        threads: int = THREADS,
        waiting_limit: int = WAITING_LIMIT,
        look_up: Callable[[str], list[str]] | None = None,
    ) -> None:
        self._look_up = look_up or look_up_name
        self._queue: SimpleQueue[_Asked | None] = SimpleQueue()  # bounded by _room
        self._room = threading.BoundedSemaphore(waiting_limit)
        self._idle_threads = threads
        self._threads: list[threading.Thread] = []
        self._is_closed = False

    async def resolve(self, host: str) -> list[str]:
        """
        Return the addresses of *host*, asked for as an absolute name so that no search domain applies.

        Raises:
            ResolveError: it has none, too many look-ups wait, or the resolver is closed.
        """
        if self._is_closed:
            raise ResolveError("the resolver is closed")
        if not self._room.acquire(blocking=False):
            raise ResolveError("too many look-ups are waiting")
        if self._idle_threads > 0:
            # One more thread for each of the first look-ups: a process that calls literals only has none.
            self._idle_threads -= 1
            thread = threading.Thread(target=self._work, name="fliq-dns", daemon=True)
            self._threads.append(thread)
            thread.start()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[str]] = loop.create_future()
        self._queue.put((f"{host}.", loop, answer))
        return await answer

    def close(self) -> None:
        """Take no more look-ups; those under way end by themselves, in their threads. Closing twice is fine."""
        if not self._is_closed:
            self._is_closed = True
            for _ in self._threads:
                self._queue.put(None)

    def _work(self) -> None:
        while (asked := self._queue.get()) is not None:
            name, loop, answer = asked
            try:
                # Whoever gave up meanwhile is not looked up for.
                found = [] if answer.done() else self._look_up(name)
                deliver = partial(_set_result, answer, found)
            except Exception as error:  # noqa: BLE001 - not swallowed: it is raised where the look-up is awaited
                deliver = partial(_set_exception, answer, error)
            # Released only now: after a timeout a thread is busy for longer than anybody waits.
            self._room.release()
            try:
                loop.call_soon_threadsafe(deliver)
            except RuntimeError:
                return  # the loop is closed; nobody waits any more


_Asked: TypeAlias = tuple[str, asyncio.AbstractEventLoop, "asyncio.Future[list[str]]"]


def _set_result(answer: asyncio.Future[list[str]], found: list[str]) -> None:
    if not answer.done():
        answer.set_result(found)


def _set_exception(answer: asyncio.Future[list[str]], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)


def look_up_name(name: str) -> list[str]:
    """Ask the system for *name*, blocking; raises `ResolveError`."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except (OSError, UnicodeError) as error:
        raise ResolveError(str(error)) from None
    # A scoped address (fe80::1%eth0) keeps its scope in the text, and is therefore denied.
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
