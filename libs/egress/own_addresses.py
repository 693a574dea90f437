"""
Own addresses: the IP addresses of this machine, on all of its interfaces, public ones too.

A service that listens on every interface is often meant for this machine alone, and a firewall outside protects it. A call that
starts here would reach it all the same. So the egress policy refuses these addresses as it refuses private ones
(address_rules.py).

They are read from the kernel (rtnetlink) at the start and every `LOOK_S`. An address that came since is noticed when a connection
is made: one of this machine to itself leaves from the address that it goes to (exchange.py). Where there is no rtnetlink,
that check is the only one.

Source: rtnetlink(7), linux/if_addr.h.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Final

import structlog

from libs.egress.address_rules import Address, address_of_bytes

LOOK_S: Final = 10.0
ANSWER_S: Final = 1.0  # the kernel answers at once
_RECEIVE: Final = 1 << 16  # bytes; the kernel's messages are at most 32 KiB
_MESSAGES_MAX: Final = 1_000  # far more than a machine with ten thousand addresses needs

_HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ADDRESS: Final = struct.Struct("=BBBBi")  # family, prefix length, flags, scope, interface
_ATTRIBUTE: Final = struct.Struct("=HH")  # length, type
_DONE, _ERROR, _NEW_ADDRESS, _GET_ADDRESS = 3, 2, 20, 22
_REQUEST_DUMP: Final = 0x301
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_ASK: Final = _HEADER.pack(_HEADER.size + _ADDRESS.size, _GET_ADDRESS, _REQUEST_DUMP, 1, 0) + _ADDRESS.pack(
    socket.AF_UNSPEC, 0, 0, 0, 0
)

_log = structlog.get_logger("egress")


def read_own_addresses() -> frozenset[Address] | None:
    """Ask the kernel for this machine's addresses; None if it does not say, which is no reason not to start."""
    if not hasattr(socket, "AF_NETLINK"):
        return None
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
            kernel.settimeout(ANSWER_S)
            kernel.send(_ASK)
            found: set[Address] = set()
            for _ in range(_MESSAGES_MAX):
                addresses, is_done = addresses_in(kernel.recv(_RECEIVE))
                found |= addresses
                if is_done:
                    return frozenset(found)
    except (OSError, ValueError) as error:
        _log.debug("own_addresses_unknown", reason=str(error))
    return None


def addresses_in(answer: bytes) -> tuple[set[Address], bool]:
    """
    Return the addresses in one datagram of the kernel's answer, and whether it is the last one.

    Raises:
        ValueError: the kernel refused, or what came is no such answer.
    """
    found: set[Address] = set()
    for kind, body in _messages(answer):
        if kind == _ERROR:
            raise ValueError("the kernel refused to list this machine's addresses")
        if kind == _DONE:
            return found, True
        if kind == _NEW_ADDRESS and len(body) >= _ADDRESS.size:
            parts = dict(_attributes(body[_ADDRESS.size :]))
            # On a point-to-point link IFA_ADDRESS is the other end, and IFA_LOCAL is ours; elsewhere IPv6 has no IFA_LOCAL.
            packed = parts.get(_IFA_LOCAL, parts.get(_IFA_ADDRESS))
            if packed is not None:
                found.add(address_of_bytes(packed))
    return found, False


async def watch_own_addresses(note: Callable[[frozenset[Address]], None], *, look_s: float = LOOK_S) -> None:
    """Read the addresses again and again until cancelled; *note* takes them."""
    while True:
        await asyncio.sleep(look_s)
        if (found := read_own_addresses()) is not None:
            note(found)


def _messages(answer: bytes) -> Iterator[tuple[int, bytes]]:
    while len(answer) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(answer)
        if not _HEADER.size <= length <= len(answer):
            raise ValueError("a message of the kernel is cut off")
        yield kind, answer[_HEADER.size : length]
        answer = answer[length + -length % 4 :]


def _attributes(rest: bytes) -> Iterator[tuple[int, bytes]]:
    while len(rest) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(rest)
        if not _ATTRIBUTE.size <= length <= len(rest):
            raise ValueError("an attribute of the kernel is cut off")
        yield kind, rest[_ATTRIBUTE.size : length]
        rest = rest[length + -length % 4 :]
