"""Listening: sockets that take connections, and the one line that says why a port cannot be listened on."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence
from typing import Final

import structlog

EVERYWHERE: Final = "::"
TAKEN_AT_ONCE: Final = 64  # connections in one round of the loop: about 5 ms
REST_S: Final = 0.1  # before the next try when the process can open no more files

_log = structlog.get_logger("process")


class Listener:
    """
    Takes the connections of listening sockets, many in one round of the loop.

    uvloop's own server takes one in a round. If rounds take some milliseconds, and a thousand connections wait, the last one would
    wait for seconds.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        make_protocol: Callable[[], asyncio.BaseProtocol],
        *,
        at_once: int = TAKEN_AT_ONCE,
        pause_s: float = 0.0,
    ) -> None:
        """
        Listen on *sockets* from now on, until `close`.

        Args:
            at_once: connections that are taken in one round of the loop.
            pause_s: after so many others wait so long: callers who connect again and again take no more time than that.
        """
        self._loop = asyncio.get_running_loop()
        self._sockets = list(sockets)
        self._make_protocol = make_protocol
        self._at_once = at_once
        self._pause_s = pause_s
        self._taking: set[asyncio.Task[object]] = set()
        self._resting: asyncio.TimerHandle | None = None
        self._listen()

    @property
    def port(self) -> int:
        """The port of the first socket."""
        return int(self._sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Take no more connections, and close the sockets; may be called twice."""
        if self._resting is not None:
            self._resting.cancel()
        else:
            self._rest()
        for each in self._sockets:
            each.close()
        self._sockets.clear()
        if self._taking:
            await asyncio.wait(self._taking)

    def _listen(self) -> None:
        self._resting = None
        for each in self._sockets:
            self._loop.add_reader(each, self._take, each)

    def _rest(self) -> None:
        for each in self._sockets:
            self._loop.remove_reader(each)

    def _rest_for(self, seconds: float) -> None:
        self._rest()
        self._resting = self._loop.call_later(seconds, self._listen)

    def _take(self, listening: socket.socket) -> None:
        # Those that are taken and not connected yet count: what makes room for them has not seen them.
        for _ in range(self._at_once - len(self._taking)):
            try:
                connection, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no more files, or no memory
                _log.warning("connections_wait", reason=error.strerror)
                self._rest_for(REST_S)
                return
            connection.setblocking(False)
            task = asyncio.ensure_future(self._loop.connect_accepted_socket(self._make_protocol, connection))
            self._taking.add(task)
            task.add_done_callback(self._taken)
        if self._pause_s:
            self._rest_for(self._pause_s)

    def _taken(self, task: asyncio.Task[object]) -> None:
        self._taking.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("connection_not_taken", reason=f"{type(error).__name__}: {error}"[:200])


async def listening_sockets(host: str, port: int, *, backlog: int) -> list[socket.socket]:
    """
    Return a listening socket for each address of *host*; for `::` one that takes IPv6 and IPv4.

    Raises:
        OSError: the port cannot be listened on.
    """
    if host == EVERYWHERE and socket.has_dualstack_ipv6():
        both = socket.create_server((host, port), family=socket.AF_INET6, backlog=backlog, dualstack_ipv6=True)
        both.setblocking(False)
        return [both]
    infos = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(infos):
            sockets.append(socket.create_server(address, family=family, backlog=backlog))
            sockets[-1].setblocking(False)
    except OSError:
        for each in sockets:
            each.close()
        raise
    return sockets


async def port_trouble(variable: str, host: str, port: int) -> str | None:
    """Return why *port* cannot be listened on, as one line that begins with *variable*; None if it can."""
    try:
        sockets = await listening_sockets(host, port, backlog=1)
    except OSError as error:
        return bind_failure(variable, host, port, error)
    for each in sockets:
        each.close()
    return None


def bind_failure(variable: str, host: str, port: int, error: OSError) -> str:
    """Return the one line that says why a port, which *variable* chose, cannot be listened on, and which variable to change."""
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        mend = "set it to 127.0.0.1, to :: (all), or to one of its addresses"
        return f"{variable.replace('PORT', 'HOST')}: {host} is no address of this machine; {mend}"
    why = {
        errno.EADDRINUSE: "is taken by another process",
        errno.EACCES: "may not be used by this user",
    }.get(error.errno or 0, f"cannot be listened on ({error.strerror or error})")
    return f"{variable}: {host}:{port} {why}; set it to another one"
