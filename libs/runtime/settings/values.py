"""
Values: the parsers of the settings' text, which say in words why they refuse a value.

A parser takes the text of a variable and returns its value. If the text is wrong, it raises ValueError. The message continues the
sentence that the value begins: `'abc'` + `is not a port (1–65535)`. It never quotes the value, which may be a secret.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_OWN_ACCOUNT = "_fliq"  # of heartbeats (libs/domain/heartbeat.py)
_PORT_OF = re.compile(r"(\[[^]]*\]|[^:]*)(:[0-9]{0,5})?", re.ASCII)
_NO_DATABASE = "is not an address of the form postgresql://user:password@host:port/database"
_HOST = re.compile(r"[A-Za-z0-9_.:%-]{1,253}", re.ASCII)


def integer(low: int, high: int, noun: str = "a whole number") -> Callable[[str], int]:
    """Return a parser of digits only: int() would also take `1_000`, blanks and the digits of other scripts."""

    def parse(text: str) -> int:
        if re.fullmatch(r"[0-9]{1,12}", text, re.ASCII) is None or not low <= int(text) <= high:
            raise ValueError(f"is not {noun} ({low}–{high})")
        return int(text)

    return parse


def zero_or(low: int, high: int, noun: str) -> Callable[[str], int]:
    """Return a parser of 0, which turns something off, and of numbers from *low* on."""
    parse_number = integer(0, high, noun)

    def parse(text: str) -> int:
        number = parse_number(text)
        if 0 < number < low:
            raise ValueError(f"is neither 0 nor {noun} from {low} to {high}")
        return number

    return parse


port = integer(1, 65535, "a port")


def _is_port(text: str) -> bool:
    try:
        port(text)
    except ValueError:
        return False
    return True


def seconds(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text) if re.fullmatch(r"[0-9.]{1,20}", text, re.ASCII) else math.nan
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise ValueError(f"is not a number of seconds ({low:g}–{high:g})")
        return value

    return parse


def one_of(*words: str) -> Callable[[str], str]:
    """Return a parser of one of *words*, in lower or upper case."""

    def parse(text: str) -> str:
        found = next((word for word in words if word.lower() == text.lower()), None)
        if found is None:
            raise ValueError(f"is not one of {', '.join(words)}")
        return found

    return parse


kafka_mechanism = one_of("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")


def text_like(pattern: str, reason: str) -> Callable[[str], str]:
    """Return a parser of text that *pattern* matches, which refuses all other text with *reason*."""

    def parse(text: str) -> str:
        if re.fullmatch(pattern, text, re.ASCII) is None:
            raise ValueError(reason)
        return text

    return parse


topic = text_like(
    r"(?!\.{1,2}\Z)[A-Za-z0-9_.-]{1,200}", "is not the name of a topic (letters, digits, dot, dash, underscore)"
)
name = text_like(_NAME.pattern, "is not a name (1–64 of letters, digits, _ . -)")


def _is_host(text: str) -> bool:
    """Whether *text* can be looked up, or is an address: an empty or too long label would raise an error later."""
    try:
        text.encode("idna")
    except UnicodeError:
        return False
    return True


def host(text: str) -> str:
    if _HOST.fullmatch(text) is None or not _is_host(text):
        raise ValueError("is not a host name or an address to listen on")
    return text


def directory(text: str) -> Path:
    if "\0" in text:
        raise ValueError("is not a path")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("is not a path: there is no such user, or none with a home") from None


def database_url(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError(_NO_DATABASE) from None
    # The value of a parameter may hold an @. Text before an @ that is no parameter is the rest of a password.
    before, at_sign, _ = parts.query.partition("@")
    if "@" in parts.path + parts.fragment or (at_sign and "=" not in before):
        raise ValueError(
            "has an @ after its host: percent-encode user and password (/ is %2F, # is %23, ? is %3F, @ is %40)"
        )
    places = parts.netloc.rpartition("@")[2].split(",")  # the driver tries them one after the other
    found = [_PORT_OF.fullmatch(place) for place in places]
    if parts.scheme not in ("postgresql", "postgres") or not all(
        each and _is_host(each[1]) and (each[2] in (None, ":") or _is_port(each[2][1:])) for each in found
    ):
        raise ValueError(_NO_DATABASE)
    return text


def brokers(text: str) -> str:
    """Read a comma list of host:port; returned as text without blanks."""
    items = [item.strip() for item in text.split(",")]
    for item in items:
        name, colon, number = item.rpartition(":")
        if not colon or _HOST.fullmatch(name.strip("[]")) is None or not _is_host(name) or not _is_port(number):
            raise ValueError("is not a comma list of host:port")
    return ",".join(items)


def switch(text: str) -> bool:
    """Read `on` or `off`, or one of the words that charts and compose files use for them."""
    word = text.lower()
    if word not in ("on", "off", "true", "false", "yes", "no", "1", "0"):
        raise ValueError("is not `on` or `off`")
    return word in ("on", "true", "yes", "1")


web_address = text_like(r"https?://[^\s/?#@]+(/[^\s?#]*[^\s?#/])?", "is not an address such as http://127.0.0.1:8080")
path_prefix = text_like(
    r"(?!/v1(/|$))(/[A-Za-z0-9._~-]+)+", "is not a path such as /console, without a slash at its end"
)


def readable_file(text: str) -> Path:
    path = directory(text)
    if not os.access(path, os.R_OK) or not path.is_file():
        raise ValueError("is not a file that can be read")
    return path


def networks(text: str) -> str:
    """Read a comma list of CIDRs; returned as text, which libs/egress parses."""
    for item in text.split(","):
        try:
            ipaddress.ip_network(item.strip())
        except ValueError:
            raise ValueError("is not a comma list of networks such as 10.0.0.0/8") from None
    return text


def plain(text: str) -> str:
    """Return the text as it is; it is parsed where it is used (FLIQ_EGRESS_ALLOW: libs/egress)."""
    return text


def secret(text: str) -> str:
    if not 32 <= len(text) <= 1024 or not text.isprintable():
        raise ValueError("is not a secret of 32 to 1024 printable characters")
    return text


def header_names(text: str) -> tuple[str, ...]:
    """Return the names of a comma list, in lower case."""
    names = tuple(item.strip().lower() for item in text.split(",") if item.strip())
    if not all(re.fullmatch(r"[a-z0-9!#$%&'*+.^_`|~-]{1,100}", name, re.ASCII) for name in names):
        raise ValueError("is not a comma list of names of headers")
    return names


def beginnings(text: str) -> tuple[str, ...]:
    """Return the items of a comma list of texts with which secrets begin."""
    items = tuple(item.strip() for item in text.split(",") if item.strip())
    if not all(re.fullmatch(r"[A-Za-z0-9._~+/=-]{3,64}", item, re.ASCII) for item in items):
        raise ValueError("is not a comma list of 3 to 64 of the characters A-Z a-z 0-9 . _ ~ + / = -")
    return items


def account_name(text: str) -> str:
    """Read the name of an account."""
    if _NAME.fullmatch(text) is None:
        raise ValueError("has no account name of 1–64 letters, digits, _ . -")
    if text == _OWN_ACCOUNT:
        raise ValueError(f"names Fliq's own account {text}")
    return text


def account_tokens(text: str) -> tuple[tuple[str, str], ...]:
    """Read a comma list of account=token. An account may have several tokens, and a token belongs to one account."""
    pairs: list[tuple[str, str]] = []
    for number, item in enumerate(text.split(","), start=1):
        account, equals, token = item.strip().partition("=")
        if not equals:
            raise ValueError(f"is not a comma list of account=token (item {number} has no =)")
        try:
            account_name(account)
        except ValueError as error:
            raise ValueError(f"{error} in item {number}") from None
        if not token or not token.isprintable() or " " in token:
            raise ValueError(f"has no token in item {number}")
        if any(token == known for _, known in pairs):
            raise ValueError(f"names the token of item {number} twice")
        pairs.append((account, token))
    return tuple(pairs)


def crash_point(text: str) -> tuple[str, int]:
    point, colon, number = text.partition(":")
    if not colon or _NAME.fullmatch(point) is None or re.fullmatch(r"[1-9][0-9]{0,8}", number, re.ASCII) is None:
        raise ValueError("is not a crash point (name:n, n from 1)")
    return point, int(number)
