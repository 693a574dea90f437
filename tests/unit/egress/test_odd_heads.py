"""Heads that llhttp refuses and curl reads: the strict form that is made of them, and what has no safe reading."""

from __future__ import annotations

import pytest

from libs.egress.http1.odd_heads import HeadRefused, strict

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        pytest.param(
            OK + b"X-A: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
            b"HTTP/1.1 200\r\nX-A: a b\r\nContent-Length: 2\r\n\r\nok",
            id="case 5: a folded line",
        ),
        pytest.param(
            OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
            b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
            id="case 6: the same length twice",
        ),
        pytest.param(
            OK + b"Content-Length: 2, 2\r\n\r\nok",
            b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
            id="case 6: in a list",
        ),
        pytest.param(
            OK + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="case 6: length and chunks",
        ),
        pytest.param(
            b"HTTP/1.1 404 Not Found\nContent-Length: 2\n\nok",
            b"HTTP/1.1 404\r\nContent-Length: 2\r\n\r\nok",
            id="case 6: lines end in LF",
        ),
        pytest.param(b"HTTP/1.2 200 OK\r\n\r\n", b"HTTP/1.1 200\r\n\r\n", id="case 6: HTTP/1.2"),
        pytest.param(
            b"HTTP/1.1 103 Early\nRetry-After: 7\n\n" + OK + b"X A: 1\r\nY : 2\r\nZ: \x01z\r\n\r\n",
            b"HTTP/1.1 200\r\nY: 2\r\nZ: z\r\n\r\n",
            id="informational head, impossible name, space before the colon, control character",
        ),
    ],
)
def test_read_as_curl_reads_it(raw: bytes, answer: bytes) -> None:
    """The head comes back in its strict form, what follows it unchanged."""
    assert strict(raw) == (answer, b"")


@pytest.mark.parametrize("size", range(len(b"HTTP/1.1 200\nA: b\n\n")))
def test_a_head_that_is_not_complete(size: int) -> None:
    """Nothing is made of it; what was read already, informational heads, is not asked for again."""
    early = b"HTTP/1.1 103 Early\n\n"
    part = b"HTTP/1.1 200\nA: b\n\n"[:size]

    assert strict(early + part) == (None, part)


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"HTTP/2.0 200 OK", "status line"),
        (b"HTTP/1.1 99999 X", "status line"),
        (b"HTTP/1.1", "status line"),
        (b"HTTP/1.1 200 OK\n folded", "first header line is folded"),
        (b"HTTP/1.1 200 OK\nnothing", "no colon"),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\nContent-Length: 3", "different values"),
        (b"HTTP/1.1 200 OK\nContent-Length: 2, 3", "different values"),
        (b"HTTP/1.1 200 OK\nContent-Length: -1", "not a number of bytes"),
        (b"HTTP/1.1 200 OK\nContent-Length: 99999999999999999999", "not a number of bytes"),
        (b"HTTP/1.1 200 OK\nContent-Length:", "not a number of bytes"),
        (b"HTTP/1.1 200 OK\nX: a\0b", "zero byte"),
    ],
)
def test_what_has_no_safe_reading(head: bytes, reason: str) -> None:
    """It is refused in words that hold nothing of the answer."""
    with pytest.raises(HeadRefused, match=reason):
        strict(head + b"\n\n")
