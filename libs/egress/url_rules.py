"""
URL rules: which URLs Fliq accepts, and which addresses it connects to. Pure: no sockets, no clock, no resolver.

Theory of operation
-------------------
*One parser.* `target` splits a URL into the parts from which the request is written. The API uses `check_url`, which is the same
function. So the parts that were checked are the parts that are used, and no second parser can read the URL differently.

*Two moments.* When a job is created, an IP literal is judged at once. A name is refused only if the allow-list can never open it:
its addresses are not known yet. When the call is made, every address that the name resolves to is judged by `denial`, and the
connected peer once more at the socket. The URL itself is judged again too, since the operator's lists may have changed in between.

*Inside names.* One-label names (`web`) and names under `.svc`, `.cluster.local`, `.internal`, … belong to the operator's
own network. Without an allow-list they are refused at once. They and the names on the allow-list are looked up as written,
so that the search list of the machine (`web` → `web.default.svc.cluster.local`) applies; all other names are looked up as
absolute names.

*Refuse, do not repair.* Whatever a lenient parser would fold into something else (decimal, octal, hexadecimal and short
IPv4, full-width digits, ideographic full stops, percent signs in a host, backslashes, control characters) is refused. Only
letter case, the scheme's default port, non-ASCII names (IDNA) and unsafe characters of path and query are normalised;
`check_url(check_url(u)) == check_url(u)`.

Cost: O(len(url)). For a host seen before: one regular expression and one cache look-up (about 1 µs).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Literal

import msgspec
import yarl

from libs.egress.address_rules import (
    DENIED_PORTS,
    Address,
    AllowList,
    Denial,
    Network,
    denial_of,
    parse_address,
    parse_allow,
    parse_networks,
)

URL_LIMIT = 2048  # characters after encoding; longer ones break proxies on the way
CACHE_SIZE = 4096  # authorities and addresses remembered per policy: about 2 MB

_DEFAULT_PORTS = {"http": 80, "https": 443}
# Endings of names that mean "here" or "inside": RFC 6761, RFC 6762, RFC 8375, RFC 9476's kin, and the clusters' own zones
# (`.cluster.local` is under `.local`).
INSIDE_ENDINGS = (".localhost", ".local", ".localdomain", ".internal", ".intranet", ".lan", ".home.arpa", ".svc")
ONION = ".onion"  # RFC 7686: such a name must never be looked up

# Unreserved, sub-delims and the separators that mean nothing to us; `[` and `]` because query strings are full of them.
_SAFE = r"A-Za-z0-9\-._~!$&'()*+,;=:@/?\[\]"
_CLEAN_URL = re.compile(
    rf"(https?://[A-Za-z0-9.\-:\[\]]+)((?:[/?][{_SAFE}]*(?:%[0-9A-Fa-f]{{2}}[{_SAFE}]*)*)?)",
)
_SPLIT_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://([^/?]*)(.*)", re.DOTALL)
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\]")
_UNSAFE_RUN = re.compile(rf"%(?![0-9A-Fa-f]{{2}})|[^{_SAFE}%]+")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_\-]{0,61}[a-z0-9_])?")  # underscores are common in names of services
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_CANONICAL_IPV4 = re.compile(r"(?:0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2})){3}")
_PORT = re.compile(r"[1-9][0-9]{0,4}")

NOT_ALLOWED = "url must point to a public host and port"
ALLOW = "FLIQ_EGRESS_ALLOW"
SHOWN_LIMIT = 64  # characters of a host that a refusal shows


class UrlRefused(ValueError):
    """Fliq does not call this URL. *code* is `invalid_url` (not a URL) or `url_not_allowed` (the destination is not allowed)."""

    def __init__(self, code: Literal["invalid_url", "url_not_allowed"], message: str) -> None:
        super().__init__(message)
        self.code: Literal["invalid_url", "url_not_allowed"] = code
        self.message = message


class Authority(msgspec.Struct, frozen=True, kw_only=True):
    """
    The destination of a URL, checked and normalised.

    Args:
        prefix: `scheme://host[:port]`.
        host: without brackets and without a final dot.
        host_header: what `Host` says: the host as it was written, a final dot included.
        addresses: the only addresses to use if no resolver must be asked (a literal, or `localhost`), else empty.
        is_named: the allow-list has this name at this port.
        is_as_written: the name is looked up as it stands, not as an absolute name.
    """

    prefix: str
    scheme: str
    host: str
    port: int
    host_header: str
    addresses: tuple[str, ...]
    is_named: bool
    is_as_written: bool

    @property
    def is_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme == "https"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a URL: `path` is the request target (it starts with `/`); `url` is the whole URL, normalised."""

    authority: Authority
    path: str
    url: str


class EgressPolicy:
    """Which destinations may be called. Only the machine's own addresses change; bounded caches keep results until they do."""

    __slots__ = ("_allow", "_authority_cached", "_denial_cached", "_deny", "_own_addresses", "_own_ports")

    def __init__(
        self,
        *,
        allow: AllowList = AllowList(),  # noqa: B008 - frozen
        deny: tuple[Network, ...] = (),
        own_ports: frozenset[int] = frozenset(),
    ) -> None:
        self._allow = allow
        self._deny = deny
        self._own_ports = own_ports
        self._own_addresses: frozenset[Address] = frozenset()
        self._forget()

    def _forget(self) -> None:
        self._authority_cached: Callable[[str], Authority] = lru_cache(CACHE_SIZE)(self._authority)
        self._denial_cached: Callable[[str, int, bool | None, bool], Denial | None] = lru_cache(CACHE_SIZE)(
            self._denial
        )

    def note_own_addresses(self, addresses: frozenset[Address]) -> None:
        """Refuse *addresses*, which are this machine's, from now on, unless the allow-list has them."""
        if addresses != self._own_addresses:
            self._own_addresses = addresses
            self._forget()

    @classmethod
    def parse(
        cls, allow: str | None, *, deny: str | None = None, own_ports: frozenset[int] = frozenset()
    ) -> EgressPolicy:
        """
        Make a policy.

        Args:
            allow: FLIQ_EGRESS_ALLOW, a comma list of `CIDR[:port]`, `name[:port]` and `.ending[:port]`.
            deny: FLIQ_EGRESS_DENY, a comma list of CIDRs.
            own_ports: the ports that this Fliq listens on.

        Raises:
            ValueError: one line that names the wrong item.
        """
        return cls(allow=parse_allow(allow), deny=parse_networks(deny), own_ports=own_ports)

    def check_url(self, url: str) -> str:
        """
        Return *url* in its normalised form, in which it is stored, signed and called.

        Raises:
            UrlRefused: it is no http(s) URL, or its destination is not allowed.
        """
        clean = _CLEAN_URL.fullmatch(url) if len(url) <= URL_LIMIT else None
        if clean is not None:
            given = clean[1]
            prefix = self._authority_cached(given).prefix
            rest = clean[2]
            if prefix == given and not rest.startswith("?"):
                return url
        return self.target(url).url

    def target(self, url: str) -> Target:
        """
        Return the parts of *url* from which a request is written.

        Raises:
            UrlRefused: as `check_url`.
        """
        if len(url) > URL_LIMIT:
            raise _too_long()
        clean = _CLEAN_URL.fullmatch(url)
        given, rest = (clean[1], clean[2]) if clean is not None else _take_apart(url)
        authority = self._authority_cached(given)
        if rest.startswith("?"):
            rest = f"/{rest}"
        whole = authority.prefix + rest
        if len(whole) > URL_LIMIT:
            raise _too_long()
        return Target(authority=authority, path=rest or "/", url=whole)

    def address_allowed(self, ip: str, port: int, *, is_named: bool = False, is_here: bool = False) -> bool:
        """
        Return whether a connection to the address that *ip* spells, at *port*, is allowed. Text that is no address is not.

        Args:
            is_named: the address belongs to a name that is on the allow-list (`Authority.is_named`).
            is_here: the address is known to be this machine's.
        """
        return self._denial_cached(ip, port, is_named, is_here) is None

    def needs_list(self, ip: str, port: int, *, is_here: bool = False) -> bool:
        """Return whether the address may be connected to only because the allow-list says so."""
        return self._denial_cached(ip, port, None, is_here) is not None

    def denial(self, ip: str, port: int, *, is_named: bool = False) -> Denial | None:
        """Return why `address_allowed` says no, None if it says yes."""
        return self._denial_cached(ip, port, is_named, False)

    def _denial(self, ip: str, port: int, is_named: bool | None, is_here: bool) -> Denial | None:
        """Return why not; *is_named* None asks as if there were no allow-list."""
        address = parse_address(ip)
        if address is None:
            return Denial.SPELLING
        if not 1 <= port <= 65535:
            return Denial.PORT
        return denial_of(
            address,
            port,
            allow=AllowList() if is_named is None else self._allow,
            deny=self._deny,
            own_ports=self._own_ports,
            own_addresses=self._own_addresses,
            is_named=bool(is_named),
            is_here=is_here,
        )

    def _authority(self, given: str) -> Authority:
        """Check `scheme://authority`. A refusal is an exception, so it is not cached."""
        scheme, _, text = given.partition("://")
        written, port = _host_and_port(text, _DEFAULT_PORTS[scheme])
        literal = _literal(written)
        host = written.removesuffix(".") if literal is None else str(literal)
        addresses: tuple[str, ...] = ()
        is_named = is_inside = False
        if literal is not None:
            addresses = (host,)
            written = f"[{host}]" if ":" in host else host
            if (denial := self.denial(host, port)) is not None:
                raise _address_refused(host, port, denial)
        else:
            is_named = self._allow.has_name(host, port)
            is_inside = "." not in host or host.endswith(INSIDE_ENDINGS)
            if host == "localhost" or host.endswith(".localhost"):
                addresses = self._loopback(port, is_named)
            else:
                self._check_name(host, port, is_open=is_named or self._allow.may_open(port), is_inside=is_inside)
        host_header = written if port == _DEFAULT_PORTS[scheme] else f"{written}:{port}"
        return Authority(
            prefix=f"{scheme}://{host_header}",
            scheme=scheme,
            host=host,
            port=port,
            host_header=host_header,
            addresses=addresses,
            is_named=is_named,
            is_as_written=(is_inside or is_named) and not written.endswith("."),
        )

    def _loopback(self, port: int, is_named: bool) -> tuple[str, ...]:
        """Return the addresses of localhost. RFC 6761: the name is loopback, and no resolver is asked."""
        both = {ip: self._denial_cached(ip, port, is_named, False) for ip in ("127.0.0.1", "::1")}
        if (denial := both["127.0.0.1"]) is not None and both["::1"] is not None:
            raise _address_refused("127.0.0.1", port, denial)
        return tuple(ip for ip, denial in both.items() if denial is None)

    def _check_name(self, host: str, port: int, *, is_open: bool, is_inside: bool) -> None:
        """Refuse a name that no address can make a target."""
        shown = host if len(host) <= SHOWN_LIMIT else f"…{host[-SHOWN_LIMIT:]}"
        if host.endswith(ONION):
            raise _refused(f"{shown} is a name of Tor, which Fliq does not use")
        if is_open:
            return
        if is_inside:
            raise _refused(
                f"{shown} is a name of an inside network; an operator allows it, or the network of its addresses, with {ALLOW}"
            )
        if port in DENIED_PORTS:
            raise _refused(f"port {port} {Denial.PORT.value}; an operator allows {shown}:{port} with {ALLOW}")


def _refused(cause: str) -> UrlRefused:
    return UrlRefused("url_not_allowed", f"{NOT_ALLOWED}: {cause}")


def _address_refused(ip: str, port: int, denial: Denial) -> UrlRefused:
    if denial is Denial.SPELLING:
        return _refused(f"{ip} {denial.value}")
    subject = f"port {port}" if denial in (Denial.PORT, Denial.OWN_PORT) else ip
    return _refused(f"{subject} {denial.value}; an operator allows it with {ALLOW}")


def _take_apart(url: str) -> tuple[str, str]:
    """Return (`scheme://authority`, encoded path and query) of a URL that is not normalised yet."""
    if _FORBIDDEN.search(url) is not None:
        raise UrlRefused("invalid_url", "url must not contain spaces, control characters or backslashes")
    split = _SPLIT_URL.fullmatch(url)
    if split is None or split[1].lower() not in _DEFAULT_PORTS:
        raise UrlRefused("invalid_url", "url must be absolute and start with http:// or https://")
    if "#" in url:
        raise UrlRefused("invalid_url", "url must not have a fragment")
    authority = split[2]
    if "@" in authority:
        raise UrlRefused("invalid_url", "url must not carry a user name or password")
    try:
        rest = _UNSAFE_RUN.sub(_percent_encode, split[3])
    except UnicodeEncodeError:
        raise UrlRefused("invalid_url", "url must be valid Unicode") from None
    return f"{split[1].lower()}://{authority}", rest


def _percent_encode(run: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in run[0].encode("utf-8"))


def _host_and_port(text: str, default_port: int) -> tuple[str, int]:
    """Split an authority into host and port. The host is in lower case and ASCII, and keeps its brackets if it has any."""
    if text.startswith("["):
        host, bracket, rest = text.partition("]")
        host += bracket
        has_port = bool(rest)
        port_text = rest[1:] if rest.startswith(":") else ""
    else:
        host, colon, port_text = text.partition(":")
        has_port = bool(colon)
    if not host:
        raise UrlRefused("invalid_url", "url must name a host")
    port = default_port
    if has_port:
        if _PORT.fullmatch(port_text) is None or int(port_text) > 65535:
            raise UrlRefused("invalid_url", "url has a port that is not a number from 1 to 65535")
        port = int(port_text)
    return (host if host.isascii() else _to_ascii(host)).lower(), port


def _to_ascii(host: str) -> str:
    """
    IDNA-encode a non-ASCII name.

    A host that compatibility normalisation (NFKC) would change is refused. Otherwise circled digits and ideographic full stops
    could pass the check and then turn into an address.
    """
    is_plain = unicodedata.normalize("NFKC", host) == host and "\u3002" not in host  # IDNA reads U+3002 as a dot
    if not is_plain or any(ord(c) < 128 and not _is_ldh(c) for c in host):
        raise UrlRefused("invalid_url", "url has a host name that is not written in its plain form")
    try:
        encoded = yarl.URL.build(scheme="http", host=host.lower()).raw_host
    except ValueError:
        encoded = None
    if not encoded or not encoded.isascii():
        raise UrlRefused("invalid_url", "url has a host name that cannot be encoded (IDNA)")
    return encoded


def _is_ldh(character: str) -> bool:
    return character.isalnum() or character in "-._"


def _literal(host: str) -> Address | None:
    """Return the address if *host* is one, None if it is a well-formed name; refuse anything else."""
    if host.startswith("["):
        address = parse_address(host[1:-1]) if host.endswith("]") else None
        if not isinstance(address, IPv6Address) or address.scope_id is not None:
            raise UrlRefused("invalid_url", "url has brackets that do not hold an IPv6 address")
        return address
    labels = host.split(".")
    last = labels[-1] or (labels[-2] if len(labels) > 1 else "")
    if _NUMBER.fullmatch(last) is not None:
        # Some parsers read a name whose last label is a number as an IPv4 address (WHATWG URL "ends in a number").
        address = parse_address(host) if _CANONICAL_IPV4.fullmatch(host) is not None else None
        if address is None:
            raise _refused(f"{host[:SHOWN_LIMIT]} is a number, but not an IPv4 address in its usual form (127.0.0.1)")
        return address
    if labels[-1] == "" and len(labels) > 1:
        labels.pop()  # the final dot of an absolute name
    if len(host) > 253 or any(_LABEL.fullmatch(label) is None for label in labels):
        raise UrlRefused("invalid_url", "url has a host that is neither a host name nor an IP address")
    return None


def _too_long() -> UrlRefused:
    return UrlRefused("invalid_url", f"url is longer than {URL_LIMIT} characters")
