"""
EgressPolicy: which URLs Fliq accepts, and which addresses it connects to. Pure: no sockets, no clock, no resolver.

Theory of operation
-------------------
*One parser.* `target` splits a URL into the parts from which the request is written. The API uses `check_url`, which is the same
function. So the parts that were checked are the parts that are used, and no second parser can read the URL differently.

*Two checks.* When a job is created, an IP literal is checked at once, and a name by its spelling. When the job fires, every address
of the name is checked by `address_allowed`, and the peer's address once more at the socket. The URL is also checked again, because
the operator's lists may have changed in between.

*Refuse, do not repair.* If a lenient parser would turn the text into something else, the URL is refused: decimal, octal,
hexadecimal and short IPv4, full-width digits, ideographic full stops, percent signs in a host, backslashes, control characters, a
trailing dot. Only letter case, the scheme's default port, non-ASCII names (IDNA) and unsafe characters of path and query are
normalised; `check_url(check_url(u)) == check_url(u)`.

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

from libs.egress.addresses import (
    DENIED_PORTS,
    Address,
    AllowEntry,
    Network,
    judge,
    parse_address,
    parse_allow,
    parse_networks,
)

URL_LIMIT = 2048  # characters after encoding; longer ones break proxies on the way
CACHE_SIZE = 4096  # authorities and addresses remembered per policy: about 2 MB

_DEFAULT_PORTS = {"http": 80, "https": 443}
_DENIED_SUFFIXES = (
    # Names of this machine or of an internal network: RFC 6761, RFC 6762, RFC 8375, the like of RFC 9476, zones of clusters.
    *("localhost", "local", "localdomain", "internal", "intranet", "lan", "home.arpa", "svc", "onion"),
)
_DOTTED_SUFFIXES = tuple(f".{suffix}" for suffix in _DENIED_SUFFIXES)

# Unreserved, sub-delims and the separators that mean nothing to us; `[` and `]` because query strings are full of them.
_SAFE = r"A-Za-z0-9\-._~!$&'()*+,;=:@/?\[\]"
_CLEAN_URL = re.compile(
    rf"(https?://[A-Za-z0-9.\-:\[\]]+)((?:[/?][{_SAFE}]*(?:%[0-9A-Fa-f]{{2}}[{_SAFE}]*)*)?)",
)
_SPLIT_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://([^/?]*)(.*)", re.DOTALL)
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\]")
_UNSAFE_RUN = re.compile(rf"%(?![0-9A-Fa-f]{{2}})|[^{_SAFE}%]+")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9\-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_CANONICAL_IPV4 = re.compile(r"(?:0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2})){3}")
_PORT = re.compile(r"[1-9][0-9]{0,4}")

_NOT_ALLOWED = "url must point to a public host and port"


class UrlRefused(ValueError):
    """Fliq does not call this URL. *code* is `invalid_url` (not a URL) or `url_not_allowed` (the destination is not allowed)."""

    def __init__(self, code: Literal["invalid_url", "url_not_allowed"], message: str) -> None:
        super().__init__(message)
        self.code: Literal["invalid_url", "url_not_allowed"] = code
        self.message = message


class Authority(msgspec.Struct, frozen=True, kw_only=True):
    """
    The destination of a URL, checked and normalised.

    `prefix` is `scheme://host[:port]`; `host` has no brackets; `host_header` is the value of `Host`. If the host is a literal or
    `localhost`, no resolver is asked and `addresses` are the only addresses to use; else `addresses` is empty.
    """

    prefix: str
    scheme: str
    host: str
    port: int
    host_header: str
    addresses: tuple[str, ...]

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
    """Which destinations may be called. Immutable, apart from bounded caches of results that cannot change."""

    __slots__ = ("_address_cached", "_allow", "_authority_cached", "_deny")

    def __init__(self, *, allow: tuple[AllowEntry, ...] = (), deny: tuple[Network, ...] = ()) -> None:
        self._allow = allow
        self._deny = deny
        self._authority_cached: Callable[[str], Authority] = lru_cache(CACHE_SIZE)(self._authority)
        self._address_cached: Callable[[str, int], bool] = lru_cache(CACHE_SIZE)(self._judge_text)

    @classmethod
    def parse(cls, allow: str | None, *, deny: str | None = None) -> EgressPolicy:
        """
        Make a policy from FLIQ_EGRESS_ALLOW (comma list of `CIDR[:port]`) and FLIQ_EGRESS_DENY (comma list of CIDRs).

        Raises:
            ValueError: one line that names the wrong item.
        """
        return cls(allow=parse_allow(allow), deny=parse_networks(deny))

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

    def address_allowed(self, ip: str, port: int) -> bool:
        """Return whether a connection to *ip* and *port* is allowed; False if *ip* is not an address."""
        return self._address_cached(ip, port)

    def _judge_text(self, ip: str, port: int) -> bool:
        address = parse_address(ip)
        return address is not None and 1 <= port <= 65535 and self._judge(address, port)

    def _judge(self, address: Address, port: int) -> bool:
        return judge(address, port, allow=self._allow, deny=self._deny)

    def _authority(self, given: str) -> Authority:
        """Check `scheme://authority`. A refusal is an exception, so it is not cached."""
        scheme, _, text = given.partition("://")
        host, port = _host_and_port(text, _DEFAULT_PORTS[scheme])
        literal = _literal(host)
        if literal is not None:
            addresses: tuple[str, ...] = (str(literal),)
            host = addresses[0]
            is_allowed = self._judge(literal, port)
        elif host == "localhost":
            # RFC 6761: this name is loopback, no resolver is asked. It is allowed only if the allow-list contains loopback.
            addresses = tuple(ip for ip in ("127.0.0.1", "::1") if self.address_allowed(ip, port))
            is_allowed = bool(addresses)
        else:
            addresses = ()
            is_allowed = "." in host and not host.endswith(_DOTTED_SUFFIXES) and port not in DENIED_PORTS
        if not is_allowed:
            raise UrlRefused("url_not_allowed", _NOT_ALLOWED)
        shown = f"[{host}]" if ":" in host else host
        host_header = shown if port == _DEFAULT_PORTS[scheme] else f"{shown}:{port}"
        return Authority(
            prefix=f"{scheme}://{host_header}",
            scheme=scheme,
            host=host,
            port=port,
            host_header=host_header,
            addresses=addresses,
        )


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
    return character.isalnum() or character in "-."


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
            raise UrlRefused("url_not_allowed", _NOT_ALLOWED)
        return address
    if len(host) > 253 or any(_LABEL.fullmatch(label) is None for label in labels):
        raise UrlRefused("invalid_url", "url has a host that is neither a host name nor an IP address")
    return None


def _too_long() -> UrlRefused:
    return UrlRefused("invalid_url", f"url is longer than {URL_LIMIT} characters")
