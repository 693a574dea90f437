"""
Resolver: turns a name into its addresses, once per attempt, without a cache.

Accounts would share a cache: one could fill it for another, or learn from its timing which hosts others call. So there is none
here. If a cache is needed, it belongs in the system's resolver or in a node-local DNS server.

A look-up holds its thread until the system gives up, long after its caller gave up. So a fair queue (`fair_queue.py`)
gives the threads to the accounts in turn: an account whose name servers never answer leaves threads for the others.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import NamedTuple, Protocol

from libs.egress.fair_queue import FairQueue

THREADS = 64  # getaddrinfo blocks; a silent DNS server holds one thread for as long as resolv.conf says
WAITING_LIMIT = 2048  # look-ups that callers wait for; beyond that a look-up fails at once


class ResolveError(Exception):
    """The name has no address, or no DNS server answered."""


class Resolver(Protocol):
    """Turns a name into addresses."""

    async def resolve(self, host: str, *, account: str = "", is_as_written: bool = False) -> list[str]:
        """
        Return every address of *host*, in the order in which to try them, none twice.

        Args:
            account: who wants to know.
            is_as_written: the machine's search list and its table of hosts apply, else the name is an absolute one.

        Raises:
            ResolveError: there is none, or the resolver failed. The caller bounds the wait and checks the addresses.
        """


class SystemResolver:
    """
    The machine's resolver (`getaddrinfo`) on a few daemon threads.

    Daemon threads, not an executor: the interpreter waits for the threads of an executor when it exits, so a silent DNS server
    would delay the end of the process until its look-ups end.
    """

    def __init__(
        self,
        *,
        threads: int = THREADS,
        waiting_limit: int = WAITING_LIMIT,
        look_up: Callable[[str], list[str]] | None = None,
    ) -> None:
        self._look_up = look_up or look_up_name
        self._queue: SimpleQueue[_Asked | None] = SimpleQueue()  # bounded by _fair_queue
        self._fair_queue: FairQueue[_Asked] = FairQueue(total=threads, per_host=threads)
        self._waiting_limit = waiting_limit
        self._waiting_count = 0
        self._idle_threads = threads
        self._threads: list[threading.Thread] = []
        self._is_closed = False

    async def resolve(self, host: str, *, account: str = "", is_as_written: bool = False) -> list[str]:
        """Return the addresses of *host*; as an absolute name no search domain applies."""
        if self._is_closed:
            raise ResolveError("the resolver is closed")
        if self._waiting_count >= self._waiting_limit:
            raise ResolveError("too many look-ups are waiting")
        loop = asyncio.get_running_loop()
        asked = _Asked(host if is_as_written else f"{host}.", account, loop, loop.create_future())
        self._waiting_count += 1
        try:
            self._fair_queue.submit(asked, account=account, host=asked.name)
            self._start()
            return await asked.answer
        finally:
            self._waiting_count -= 1

    def close(self) -> None:
        """Accept no more look-ups; those under way end in their threads. May be called twice."""
        if not self._is_closed:
            self._is_closed = True
            for _ in self._threads:
                self._queue.put(None)

    def _start(self) -> None:
        """Hand the next look-ups to the threads; skip those whose caller gave up."""
        while (asked := self._fair_queue.take()) is not None:
            if asked.answer.done():
                self._fair_queue.release(account=asked.account, host=asked.name)
                continue
            if self._idle_threads > 0:
                # Threads are started with the first look-ups: a process that calls only IP literals has none.
                self._idle_threads -= 1
                thread = threading.Thread(target=self._work, name="fliq-dns", daemon=True)
                self._threads.append(thread)
                thread.start()
            self._queue.put(asked)

    def _end(self, asked: _Asked, found: list[str] | Exception) -> None:
        """Tell who asked, from the loop. Released only now: after a timeout a thread is busy for longer than anybody waits."""
        self._fair_queue.release(account=asked.account, host=asked.name)
        if not asked.answer.done():
            if isinstance(found, Exception):
                asked.answer.set_exception(found)
            else:
                asked.answer.set_result(found)
        if not self._is_closed:
            self._start()

    def _work(self) -> None:
        while (asked := self._queue.get()) is not None:
            found: list[str] | Exception
            try:
                found = self._look_up(asked.name)
            except Exception as error:  # noqa: BLE001 - not swallowed: it is raised where the look-up is awaited
                found = error
            try:
                asked.loop.call_soon_threadsafe(self._end, asked, found)
            except RuntimeError:
                return  # the event loop is closed, so no caller waits


class _Asked(NamedTuple):
    """One look-up."""

    name: str
    account: str
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[list[str]]


def look_up_name(name: str) -> list[str]:
    """Ask the system for *name*, blocking; raises `ResolveError`."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except (OSError, UnicodeError) as error:
        raise ResolveError(str(error)) from None
    # A scoped address (fe80::1%eth0) keeps its scope in the text, and is therefore denied.
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
