"""
Address pace: how many calls a second one account makes to one IP address. Pure.

It is the address that counts, not the name: many names may lead to one machine. A call that comes too early is put off: it reserves
its instant, gives its slot back, and comes again then. It never fails for that.

Calls of one account leave through several dispatchers, each of which makes the calls of its partitions. So each enforces a part of
the rate: that which its partitions are of all. Together they keep the rate, and no process asks another one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from libs.domain.token_bucket import TokenBuckets

FORGOTTEN_S: Final = 60.0  # after its instant, a reservation of a call that never came again
_SWEEP_AT: Final = 10_000  # reservations


class CallLater(Exception):
    """The call may be made in *wait_s* seconds, not before; nothing was sent."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"in {wait_s:.3f} s")
        self.wait_s = wait_s


class AddressPace:
    """The calls of all accounts with a limit to all addresses, in this process."""

    def __init__(self, rate_of: Callable[[str], float], *, put_off: Callable[[], None] = lambda: None) -> None:
        """Allow *rate_of*(account) calls a second, 0 for any number; *put_off* is called for each call that has to wait."""
        self._rate_of = rate_of
        self._put_off = put_off
        self._buckets: TokenBuckets[tuple[str, str]] = TokenBuckets()
        self._reserved: dict[str, tuple[str, float]] = {}

    def admit(self, account: str, key: str, addresses: Sequence[str], now_s: float) -> Sequence[str]:
        """
        Return *addresses*, the one first for which the call *key* has reserved this instant.

        Args:
            addresses: those that the call may go to, in the order of preference.
            now_s: of a monotonic clock.

        Raises:
            CallLater: the call has to wait; it keeps what it has reserved.
        """
        rate = self._rate_of(account)
        if not rate or not addresses:
            return addresses
        reserved = self._reserved.get(key)
        if reserved is not None and reserved[0] in addresses:
            address, at = reserved
        else:
            address = addresses[0]
            at = self._buckets.reserve((account, address), rate, now_s)
        if at > now_s:
            if reserved is None or reserved[0] != address:
                self._put_off()
            self._keep(key, address, at, now_s)
            raise CallLater(at - now_s)
        self._reserved.pop(key, None)
        return [address, *[each for each in addresses if each != address]]

    def also(self, account: str, address: str, now_s: float) -> None:
        """Count a connection that is tried at *address* because the first one did not answer; later calls wait for it."""
        rate = self._rate_of(account)
        if rate:
            self._buckets.reserve((account, address), rate, now_s)

    def _keep(self, key: str, address: str, at: float, now_s: float) -> None:
        self._reserved[key] = address, at
        if len(self._reserved) > _SWEEP_AT:
            self._reserved = {
                each: (to, then) for each, (to, then) in self._reserved.items() if then > now_s - FORGOTTEN_S
            }
