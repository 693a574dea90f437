"""
Odd heads: the head of an answer that llhttp refuses but curl reads, written again in its strict form. Pure.

Real servers fold header lines, end lines with LF alone, repeat Content-Length, send it beside Transfer-Encoding, or claim
HTTP/1.2. llhttp refuses all of that, and rightly for a proxy. Fliq only wants the status and where the body ends, so it
reads such heads as curl does. Only an answer that llhttp refused comes here; the usual one costs nothing.

What stays refused has no safe reading: two different lengths, a length that is no number, a line that is no header, a
status line of another protocol. The reason is a short text for the execution's `error_detail`; it holds nothing that the
target sent.

Source: RFC 9112 §2.2 (LF), §4 (status line), §5.2 (folded lines), §6.3 (length of a body).
"""

from __future__ import annotations

import re
from typing import Final

END: Final = re.compile(rb"\r?\n\r?\n")
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[0-9] ([0-9]{3})(?: [^\r\n]*)?")
_NAME: Final = re.compile(rb"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")
_NOT_IN_VALUES: Final = re.compile(rb"[^\t\x20-\x7e\x80-\xff]")
_CONTENT_LENGTH: Final = b"content-length"
_TRANSFER_ENCODING: Final = b"transfer-encoding"


class HeadRefused(Exception):
    """The head cannot be read safely; the message says why, in words of ours."""


def strict(raw: bytes) -> tuple[bytes | None, bytes]:
    """
    Return the answer with its head in the strict form, or None if its head is not complete; and what is not read yet.

    Args:
        raw: what arrived from the beginning of a head on. Informational heads (1xx) are read and left out.

    Raises:
        HeadRefused: a head has no safe reading.
    """
    begin = 0
    while (end := END.search(raw, begin)) is not None:
        status, head = _head(raw[begin : end.start()])
        begin = end.end()
        if not 100 <= status <= 199 or status == 101:
            return head + raw[begin:], b""
    return None, raw[begin:]


def _head(raw: bytes) -> tuple[int, bytes]:
    """Return the status of one head, and the head in its strict form."""
    first, *lines = [line.removesuffix(b"\r") for line in raw.split(b"\n")]
    status_line = _STATUS_LINE.fullmatch(first)
    if status_line is None:
        raise HeadRefused("the status line is not one of HTTP/1.x")
    status = status_line[1]
    kept: list[bytes] = []
    lengths: set[bytes] = set()
    has_coding = False
    if b"\0" in raw:
        raise HeadRefused("the head holds a zero byte")
    for name, value in _fields(lines):
        lowered = name.lower()
        if lowered == _CONTENT_LENGTH:
            lengths |= {each.strip() for each in value.split(b",")}
            continue
        has_coding |= lowered == _TRANSFER_ENCODING
        kept.append(name + b": " + value)
    if lengths and not has_coding:  # RFC 9112 §6.3: beside a transfer coding the length counts for nothing
        kept.append(b"Content-Length: " + _length(lengths))
    return int(status), b"\r\n".join([b"HTTP/1.1 " + status, *kept, b"", b""])


def _fields(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Return names and values, folded lines joined; headers with an impossible name are left out, as nobody reads them."""
    joined: list[bytes] = []
    for line in lines:
        if line[:1] in (b" ", b"\t"):
            if not joined:
                raise HeadRefused("the first header line is folded")
            joined[-1] += b" " + line.strip()
        elif b":" not in line:
            raise HeadRefused("a header line has no colon")
        else:
            joined.append(line)
    fields = []
    for line in joined:
        name, _, value = line.partition(b":")
        name = name.rstrip(b" \t")
        if _NAME.fullmatch(name) is not None:
            fields.append((name, _NOT_IN_VALUES.sub(b" ", value).strip()))
    return fields


def _length(lengths: set[bytes]) -> bytes:
    if len(lengths) > 1:
        raise HeadRefused("Content-Length is given twice, with different values")
    (length,) = lengths
    if not length.isdigit() or int(length[:20]) >= 1 << 63 or len(length) > 19:
        raise HeadRefused("Content-Length is not a number of bytes")
    return length
