"""
Addresses: which IP addresses and ports Fliq may call. Pure.

The standard library's `is_global` is wrong for this purpose: to it, the metadata addresses of two clouds, and the NAT64 and
6to4 forms of that of a third one, are global. So the full tables are here.

Source: IANA IPv4 and IPv6 special-purpose address registries; RFC 6890, RFC 6052 (NAT64), RFC 3056 (6to4).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

import msgspec

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

IPV4_DENIED: tuple[IPv4Network, ...] = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; holds 100.100.100.200, a cloud's metadata service
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # a cloud's host agent, on an address that looks public
        "169.254.0.0/16",  # link-local; holds 169.254.169.254, most clouds' metadata service
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; holds 192.0.0.192, a cloud's metadata service
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays, deprecated
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and the limited broadcast
    )
)
IPV6_ALLOWED = IPv6Network("2000::/3")  # the only part of IPv6 that is global unicast
IPV6_DENIED: tuple[IPv6Network, ...] = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: any IPv4 address may hide in it
        "3fff::/20",  # documentation
    )
)
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


class AllowEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One item of FLIQ_EGRESS_ALLOW: a network, and the only port in it (None: every port)."""

    network: Network
    port: int | None

    def covers(self, address: Address, port: int) -> bool:
        """Return whether this entry names *address* and *port*."""
        return (self.port is None or self.port == port) and address in self.network


def parse_allow(text: str | None) -> tuple[AllowEntry, ...]:
    """
    Parse a comma list of `CIDR[:port]`; IPv6 stands in brackets when a port follows (`[fd00::/8]:8080`).

    Raises:
        ValueError: one line that names the item which is wrong.
    """
    return tuple(_allow_entry(item.strip()) for item in (text or "").split(",") if item.strip())


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


def judge(address: Address, port: int, *, allow: tuple[AllowEntry, ...], deny: tuple[Network, ...]) -> bool:
    """
    Return whether a connection to *address* and *port* is allowed.

    The allow-list has precedence over every table and over *deny*: with it an operator allows single destinations. Two things it
    cannot allow: IPv4-mapped IPv6 addresses (a second spelling of an IPv4 address), and a NAT64 address whose embedded IPv4 address
    is not allowed by itself.
    """
    if isinstance(address, IPv6Address) and (address in IPV4_MAPPED or address.scope_id is not None):
        return False
    listed = any(entry.covers(address, port) for entry in allow)
    if listed and isinstance(address, IPv6Address) and address in NAT64:
        return judge(IPv4Address(int(address) & 0xFFFFFFFF), port, allow=allow, deny=deny)
    if listed:
        return True
    return port not in DENIED_PORTS and is_public(address) and not any(address in network for network in deny)


def parse_address(text: str) -> Address | None:
    """Return the address in *text*; None if it is not one. Names, zones and short forms are not addresses."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def _allow_entry(item: str) -> AllowEntry:
    network, port = item, ""
    if item.startswith("["):
        network, bracket, rest = item[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"{item!r} is not CIDR[:port] (IPv6 with a port: [fd00::/8]:8080)")
        port = rest[1:] if rest else ""
        has_port = bool(rest)
    else:
        has_port = item.count(":") == 1
        if has_port:
            network, _, port = item.partition(":")
    if has_port and not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise ValueError(f"{item!r}: {port!r} is not a port (1–65535)")
    return AllowEntry(network=_network(network, item), port=int(port) if has_port else None)


def _network(text: str, item: str) -> Network:
    if "%" in text:
        raise ValueError(f"{item!r} is not a network: it has a zone")
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"{item!r} is not a network: {error}") from None
