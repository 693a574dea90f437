"""Listening: sockets that take connections, and the one line that says why a port cannot be listened on."""

from __future__ import annotations

import errno
import socket

EVERYWHERE = "::"


def dual_stack_socket(host: str, port: int, *, backlog: int) -> socket.socket | None:
    """
    Return a listening socket for IPv6 and IPv4 if *host* is `::`, else None: asyncio opens all others as they should be.

    asyncio would make it a socket of IPv6 alone, and a client that knows only IPv4 would find nobody.

    Raises:
        OSError: the port cannot be listened on.
    """
    if host != EVERYWHERE or not socket.has_dualstack_ipv6():
        return None
    return socket.create_server((host, port), family=socket.AF_INET6, backlog=backlog, dualstack_ipv6=True)


def bind_failure(variable: str, host: str, port: int, error: OSError) -> str:
    """Return the one line that says why a port cannot be listened on, and which variable chose it."""
    why = {
        errno.EADDRINUSE: "is taken by another process",
        errno.EACCES: "may not be used by this user",
        errno.EADDRNOTAVAIL: "is not an address of this machine",
    }.get(error.errno or 0, f"cannot be listened on ({error.strerror or error})")
    return f"{variable}: {host}:{port} {why}; set it to another one"
