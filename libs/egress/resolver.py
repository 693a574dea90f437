"""
Resolver: a name to its addresses, once per attempt, remembered by nobody.

A cache would be shared by tenants: one could warm it for another, or learn from its timing what others call. So there is
none; the system's own resolver (or a node-local DNS cache behind it) is the place for one.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

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
    """The machine's resolver (`getaddrinfo`) on a small pool of threads."""

    def __init__(
        self,
        *,
        threads: int = THREADS,
        waiting_limit: int = WAITING_LIMIT,
        look_up: Callable[[str], list[str]] | None = None,
    ) -> None:
        self._look_up = look_up or look_up_name
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="fliq-dns")
        self._room = threading.BoundedSemaphore(waiting_limit)

    async def resolve(self, host: str) -> list[str]:
        """Return the addresses of *host*, asked for as an absolute name so that no search domain applies."""
        if not self._room.acquire(blocking=False):
            raise ResolveError("too many look-ups are waiting")
        try:
            asked = self._pool.submit(self._look_up, f"{host}.")
        except RuntimeError:  # the pool is shut down
            self._room.release()
            raise ResolveError("the resolver is closed") from None
        # Released when the thread is done with it, which after a timeout is later than when we stop waiting.
        asked.add_done_callback(lambda _: self._room.release())
        return await asyncio.wrap_future(asked)

    def close(self) -> None:
        """Take no more look-ups; those under way end by themselves, in their threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def look_up_name(name: str) -> list[str]:
    """Ask the system for *name*, blocking; raises `ResolveError`."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except (OSError, UnicodeError) as error:
        raise ResolveError(str(error)) from None
    # A scoped address (fe80::1%eth0) keeps its scope in the text, and is therefore denied.
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
