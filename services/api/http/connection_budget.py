"""
Connection budget: which connection is cut off when there is no room for all.

Three things are limited over all connections together, because a limit for each of them does not add up to one for the process:

    connections  how many are open. A new one takes the place of one that is idle: of the address that has the most, the one
                 that has been idle for the longest
    received     bytes of requests that are not answered yet. A request that is not complete gives way, the oldest first
    unread       bytes of answers that their callers have not read yet. The oldest gives way

An address is an IPv4 address, or a /64 of IPv6: that is what one machine is given. Cost: O(1) for a request, O(addresses) for a
connection that needs the place of another.
"""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv6Address
from typing import Any, Final, Protocol


class Budgeted(Protocol):
    """A connection, as the budget knows it."""

    address: str | None  # None until it was taken
    counted_as: str | None  # the account of its latest request, if the number of its connections is limited

    def cut_off(self) -> None:
        """Close it now, whatever is under way."""


class ByteBudget:
    """Bytes that connections hold, at most *limit* together; those that are not settled give way, the oldest first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: OrderedDict[Budgeted, int] = OrderedDict()
        self._settled: dict[Budgeted, int] = {}
        self.held = 0

    def add(self, connection: Budgeted, count: int) -> None:
        """Count *count* bytes more for *connection*; cut off others, or it, if that is too much."""
        held = self._settled if connection in self._settled else self._open
        held[connection] = held.get(connection, 0) + count
        self.held += count
        while self.held > self._limit and self._open:
            oldest, freed = self._open.popitem(last=False)
            self.held -= freed
            oldest.cut_off()

    def settle(self, connection: Budgeted) -> None:
        """Let what *connection* holds count on, but not be cut off."""
        count = self._open.pop(connection, None)
        if count is not None:
            self._settled[connection] = count

    def free(self, connection: Budgeted) -> None:
        """Forget what *connection* holds."""
        self.held -= self._open.pop(connection, 0) + self._settled.pop(connection, 0)


class ConnectionBudget:
    """The limits of one server."""

    def __init__(self, *, connections_max: int, received_max: int, unread_max: int) -> None:
        self._connections_max = connections_max
        self.received: Final = ByteBudget(received_max)
        self.unread: Final = ByteBudget(unread_max)
        self._open: dict[str, int] = {}  # by address
        self._of_account: dict[str, int] = {}
        self._idle: dict[str, OrderedDict[Budgeted, None]] = {}  # by address, the longest idle first
        self.open_count = 0

    def take(self, connection: Budgeted, peer: Any) -> bool:
        """Count a new connection from the socket address *peer*, in the place of an idle one if it must be; False if it cannot."""
        if self.open_count >= self._connections_max and not self._make_room():
            return False
        connection.address = address = address_of(peer)
        self._open[address] = self._open.get(address, 0) + 1
        self.open_count += 1
        self.idle(connection)
        return True

    def assign(self, connection: Budgeted, account: str, most: int) -> bool:
        """Count *connection* as one of *account*, which may have *most*; False if it has them."""
        if connection.counted_as != account:
            if self._of_account.get(account, 0) >= most:
                return False
            self._unassign(connection)
            connection.counted_as = account
            self._of_account[account] = self._of_account.get(account, 0) + 1
        return True

    def idle(self, connection: Budgeted) -> None:
        """Note that no request of *connection* is under way from now on."""
        if connection.address is not None:
            self._idle.setdefault(connection.address, OrderedDict())[connection] = None

    def busy(self, connection: Budgeted) -> None:
        """Note that a request of *connection* is under way."""
        address = connection.address
        if address is not None and (idle := self._idle.get(address)) is not None:
            idle.pop(connection, None)
            if not idle:
                del self._idle[address]

    def lost(self, connection: Budgeted) -> None:
        """Forget a connection; a second time changes nothing."""
        self.received.free(connection)
        self.unread.free(connection)
        self.busy(connection)
        self._unassign(connection)
        address, connection.address = connection.address, None
        if address is not None:
            self.open_count -= 1
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]

    def _unassign(self, connection: Budgeted) -> None:
        account, connection.counted_as = connection.counted_as, None
        if account is not None:
            self._of_account[account] -= 1
            if not self._of_account[account]:
                del self._of_account[account]

    def _make_room(self) -> bool:
        if not self._idle:
            return False
        fullest = max(self._idle, key=self._open.__getitem__)
        connection = next(iter(self._idle[fullest]))
        self.lost(connection)
        connection.cut_off()
        return True


def address_of(peer: Any) -> str:
    """Return what counts as one address of the socket address *peer*; empty for a socket without one."""
    text = str(peer[0]) if peer else ""
    if ":" not in text:
        return text
    address = IPv6Address(text)
    return str(address.ipv4_mapped or IPv6Address(int(address) >> 64 << 64))
