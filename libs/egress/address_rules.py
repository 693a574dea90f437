"""
Address rules: which IP addresses and ports Fliq may call. Pure.

The standard library's `is_global` is wrong for this purpose: to it, the metadata addresses of two clouds, and the NAT64 and
6to4 forms of that of a third one, are global. So the full tables are here.

Source: IANA IPv4 and IPv6 special-purpose address registries; RFC 6890, RFC 6052 (NAT64), RFC 3056 (6to4).
"""

from __future__ import annotations

import re
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

import msgspec

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

IPV4_DENIED: Final[dict[IPv4Network, str]] = {
    IPv4Network("0.0.0.0/8"): "this network",
    IPv4Network("10.0.0.0/8"): "private",
    IPv4Network("100.64.0.0/10"): "carrier-grade NAT; holds 100.100.100.200, a cloud's metadata service",
    IPv4Network("127.0.0.0/8"): "loopback",
    IPv4Network("168.63.129.16/32"): "a cloud's host agent, on an address that looks public",
    IPv4Network("169.254.0.0/16"): "link-local; holds 169.254.169.254, most clouds' metadata service",
    IPv4Network("172.16.0.0/12"): "private",
    IPv4Network("192.0.0.0/24"): "protocol assignments; holds 192.0.0.192, a cloud's metadata service",
    IPv4Network("192.0.2.0/24"): "documentation",
    IPv4Network("192.88.99.0/24"): "6to4 relays, deprecated",
    IPv4Network("192.168.0.0/16"): "private",
    IPv4Network("198.18.0.0/15"): "benchmarks",
    IPv4Network("198.51.100.0/24"): "documentation",
    IPv4Network("203.0.113.0/24"): "documentation",
    IPv4Network("224.0.0.0/4"): "multicast",
    IPv4Network("240.0.0.0/4"): "reserved, and the limited broadcast",
}
IPV6_ALLOWED = IPv6Network("2000::/3")  # the only part of IPv6 that is global unicast
IPV6_DENIED: Final[dict[IPv6Network, str]] = {
    IPv6Network("2001::/23"): "protocol assignments, Teredo among them",
    IPv6Network("2001:db8::/32"): "documentation",
    IPv6Network("2002::/16"): "6to4: any IPv4 address may hide in it",
    IPv6Network("3fff::/20"): "documentation",
}
IPV4_MAPPED = IPv6Network("::ffff:0:0/96")
NAT64 = IPv6Network("64:ff9b::/96")

# The Fetch standard's bad ports: protocols that could read an HTTP request as a command (mail, chat, files, shells).
_FETCH_BAD_PORTS = """
    1 7 9 11 13 15 17 19 20 21 22 23 25 37 42 43 53 69 77 79 87 95 101 102 103 104 109 110 111 113 115 117 119 123 135 137
    139 143 161 179 389 427 465 512 513 514 515 526 530 531 532 540 548 554 556 563 587 601 636 989 990 993 995 1719 1720
    1723 2049 3659 4045 4190 5060 5061 6000 6566 6665 6666 6667 6668 6669 6679 6697 10080
"""
_CONTROL_PORTS = "445 2375 2376 2379 2380 3389 5900 10250"  # Windows shares, remote desktops, containers and clusters
_DATA_PORTS = "1433 1521 2181 3306 5432 5672 6379 6380 6432 9042 9092 11211 27017 27018 27019"  # databases, brokers
DENIED_PORTS = frozenset(int(port) for port in f"{_FETCH_BAD_PORTS} {_CONTROL_PORTS} {_DATA_PORTS}".split())


# Addresses that hand out a machine's own secrets, or mean another machine on every network. A wide entry of the allow-list does not
# open them, nor does a name: only an entry that lies within one of them.
GUARDED: Final[dict[Network, str]] = {
    IPv4Network("169.254.0.0/16"): "link-local; holds 169.254.169.254, most clouds' metadata service",
    IPv4Network("100.100.100.200/32"): "a cloud's metadata service",
    IPv4Network("168.63.129.16/32"): "a cloud's host agent",
    IPv4Network("192.0.0.192/32"): "a cloud's metadata service",
    IPv6Network("fe80::/10"): "link-local",
    IPv6Network("fd00:ec2::254/128"): "a cloud's metadata service",
    IPv6Network("fd20:ce::254/128"): "a cloud's metadata service",
}
_HERE: Final[tuple[Network, ...]] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
# The unspecified addresses mean this machine, too, on Linux.
_UNSPECIFIED: Final[tuple[Network, ...]] = (IPv4Network("0.0.0.0/32"), IPv6Network("::/128"))

_LISTED_NAME = re.compile(r"\.?[a-z0-9_](?:[a-z0-9_\-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_\-]*[a-z0-9_])?)*")


class Denial(Enum):
    """Why a connection to an address is not allowed. The value is a sentence's end, after the address or the port."""

    SPELLING = "is a second spelling of another address"
    GUARDED = "is a link-local or metadata address"
    OWN_PORT = "is a port of this Fliq itself"
    PORT = "is a port of another protocol than HTTP"
    PRIVATE = "is not a public address"
    OWN_ADDRESS = "is an address of this machine"
    DENIED = "is on the list FLIQ_EGRESS_DENY"


class AllowedNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """An item `CIDR[:port]` of FLIQ_EGRESS_ALLOW: a network, and the only port in it (None: every port)."""

    network: Network
    port: int | None

    def covers(self, address: Address, port: int) -> bool:
        """Return whether this entry names *address* and *port*."""
        return (self.port is None or self.port == port) and address in self.network

    def lies_within(self, networks: tuple[Network, ...]) -> bool:
        """Return whether this entry names nothing outside of one of *networks*."""
        ours = self.network
        return any(
            ours.version == other.version and ours.network_address in other and ours.prefixlen >= other.prefixlen
            for other in networks
        )


class AllowedName(msgspec.Struct, frozen=True, kw_only=True):
    """An item `name[:port]` or `.ending[:port]` of FLIQ_EGRESS_ALLOW, in lower case."""

    name: str
    port: int | None

    def covers(self, host: str, port: int) -> bool:
        """Return whether this entry names *host* (lower case, without a final dot) and *port*."""
        is_named = host.endswith(self.name) if self.name.startswith(".") else host == self.name
        return is_named and (self.port is None or self.port == port)


class AllowList(msgspec.Struct, frozen=True, kw_only=True):
    """FLIQ_EGRESS_ALLOW, taken apart."""

    networks: tuple[AllowedNetwork, ...] = ()
    names: tuple[AllowedName, ...] = ()

    def has_name(self, host: str, port: int) -> bool:
        """Return whether *host* (lower case, without a final dot) may be called at *port* whatever its addresses are."""
        return any(entry.covers(host, port) for entry in self.names)

    def may_open(self, port: int) -> bool:
        """Return whether some network is open at *port*: then a name may turn out to lie in it."""
        return any(entry.port is None or entry.port == port for entry in self.networks)


def parse_allow(text: str | None) -> AllowList:
    """
    Parse a comma list of `CIDR[:port]`, `name[:port]` and `.ending[:port]`; IPv6 stands in brackets when a port follows
    (`[fd00::/8]:8080`).

    Raises:
        ValueError: one line that names the item which is wrong.
    """
    entries = [_allowed(item.strip()) for item in (text or "").split(",") if item.strip()]
    return AllowList(
        networks=tuple(entry for entry in entries if isinstance(entry, AllowedNetwork)),
        names=tuple(entry for entry in entries if isinstance(entry, AllowedName)),
    )


def parse_networks(text: str | None) -> tuple[Network, ...]:
    """
    Parse a comma list of CIDRs (FLIQ_EGRESS_DENY).

    Raises:
        ValueError: one line that names the item which is wrong.
    """
    return tuple(_network(item.strip(), item.strip()) for item in (text or "").split(",") if item.strip())


def is_public(address: Address) -> bool:
    """Return whether *address* is a public address of the internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in IPV4_DENIED)
    return address in IPV6_ALLOWED and not any(address in network for network in IPV6_DENIED)


def denial_of(
    address: Address,
    port: int,
    *,
    allow: AllowList,
    deny: tuple[Network, ...] = (),
    own_ports: frozenset[int] = frozenset(),
    own_addresses: frozenset[Address] = frozenset(),
    is_named: bool = False,
    is_here: bool = False,
) -> Denial | None:
    """
    Return why a connection to *address* and *port* is not allowed, None if it is.

    The allow-list wins over every table and over *deny*: it is how an operator says "this one, yes". What it opens only by an
    entry that means exactly that: guarded addresses, and Fliq's own ports on this machine. What it cannot open: IPv4-mapped IPv6
    addresses (a second spelling of an IPv4 address), and, behind NAT64, an embedded IPv4 address that is not allowed by itself.

    Args:
        own_ports: the ports that this Fliq listens on.
        own_addresses: the addresses of this machine, as far as they are known.
        is_named: the allow-list has the name that *address* was found under.
        is_here: the address is known to be this machine's in another way.
    """
    if isinstance(address, IPv6Address) and (address in IPV4_MAPPED or address.scope_id is not None):
        return Denial.SPELLING
    is_here = is_here or address in own_addresses
    guard = tuple(network for network in GUARDED if address in network)
    is_own = port in own_ports and (is_here or any(address in network for network in (*_HERE, *_UNSPECIFIED)))
    entries = [entry for entry in allow.networks if entry.covers(address, port)]
    if guard:
        entries = [entry for entry in entries if entry.lies_within(guard)]
    if is_own:
        exactly = (*_HERE, ip_network(address))
        entries = [entry for entry in entries if entry.lies_within(exactly)]
    is_listed = bool(entries) or (is_named and not guard and not is_own)
    if is_listed and isinstance(address, IPv6Address) and address in NAT64:
        inner = IPv4Address(int(address) & 0xFFFFFFFF)
        return denial_of(
            inner,
            port,
            allow=allow,
            deny=deny,
            own_ports=own_ports,
            own_addresses=own_addresses,
            is_named=is_named,
            is_here=is_here,
        )
    if is_listed:
        return None
    if guard:
        return Denial.GUARDED
    if is_own:
        return Denial.OWN_PORT
    if not is_public(address):
        return Denial.PRIVATE
    if is_here:
        return Denial.OWN_ADDRESS
    if any(address in network for network in deny):
        return Denial.DENIED
    return Denial.PORT if port in DENIED_PORTS else None


def parse_address(text: str) -> Address | None:
    """Return the address in *text*; None if it is not one. Names, zones and short forms are not addresses."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def address_of_bytes(packed: bytes) -> Address:
    """Return the address that is *packed* in 4 or 16 bytes; raises ValueError."""
    return ip_address(packed)


def _allowed(item: str) -> AllowedNetwork | AllowedName:
    target, port = item, ""
    if item.startswith("["):
        target, bracket, rest = item[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"{item!r} is not CIDR[:port] (IPv6 with a port: [fd00::/8]:8080)")
        port = rest[1:] if rest else ""
        has_port = bool(rest)
    else:
        has_port = item.count(":") == 1
        if has_port:
            target, _, port = item.partition(":")
    if has_port and not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise ValueError(f"{item!r}: {port!r} is not a port (1–65535)")
    only = int(port) if has_port else None
    name = target.lower()
    is_name = not item.startswith("[") and _LISTED_NAME.fullmatch(name) is not None
    if is_name and not name.rpartition(".")[2].isdigit():
        return AllowedName(name=name, port=only)
    return AllowedNetwork(network=_network(target, item), port=only)


def _network(text: str, item: str) -> Network:
    if "%" in text:
        raise ValueError(f"{item!r} is not a network: it has a zone")
    try:
        return ip_network(text)
    except ValueError as error:
        if "host bits" in str(error):
            raise ValueError(f"{item!r} is not a network: {error}") from None
        raise ValueError(
            f"{item!r} is not a network, a name or a name ending (10.0.0.0/8, web, .example.com)"
        ) from None
