"""The bytes of a request: exact for a good one, none at all for one that could be read as two."""

from __future__ import annotations

import pytest

from libs.egress.request import OutgoingRequest, RequestRefused, serialise
from libs.egress.url_rules import EgressPolicy

POLICY = EgressPolicy()


def wire(
    method: str = "POST",
    url: str = "https://h.example:8443/a?b=c",
    headers: list[tuple[str, str]] | None = None,
    body: bytes | None = None,
) -> bytes:
    """Serialise one request."""
    request = OutgoingRequest(method=method, url=url, headers=headers or [], body=body)
    return serialise(request, POLICY.target(url))


def test_post() -> None:
    """A POST goes out with our framing, the caller's headers in their order and the exact body."""
    assert wire(headers=[("X-A", "1"), ("x-b", "é\t2")], body=b'{"a":1}\r\n') == (
        b"POST /a?b=c HTTP/1.1\r\nHost: h.example:8443\r\nX-A: 1\r\nx-b: \xe9\t2\r\nAccept: */*\r\n"
        b'Accept-Encoding: identity\r\nContent-Length: 9\r\n\r\n{"a":1}\r\n'
    )


def test_host_without_default_port() -> None:
    """The scheme's own port is not repeated in Host."""
    assert b"\r\nHost: h.example\r\n" in wire(url="http://h.example/")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_length_zero(method: str) -> None:
    """Methods that expect a body say that there is none."""
    assert b"\r\nContent-Length: 0\r\n" in wire(method)


def test_only_head_closes() -> None:
    """The connection of a HEAD is not used again; all others stay open for the next call."""
    assert wire("HEAD").endswith(b"\r\nConnection: close\r\n\r\n")
    assert b"Connection" not in wire("GET")


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS"])
def test_no_length(method: str) -> None:
    """Methods that expect no body carry a length only with a body (H17: it is sent)."""
    assert b"Content-Length" not in wire(method)
    assert wire(method, body=b"abc").endswith(b"Content-Length: 3\r\n\r\nabc")


def test_callers_accept_headers_replace_ours() -> None:
    """Accept and Accept-Encoding go out once, the caller's if there are any: nothing is ever decompressed."""
    sent = wire(headers=[("ACCEPT", "text/plain"), ("accept-encoding", "gzip")])

    assert sent.lower().count(b"\r\naccept: ") == 1
    assert sent.lower().count(b"accept-encoding") == 1


def test_percent_signs_are_sent_as_they_are() -> None:
    """A name and a value may hold them, also with other values under the same names."""
    for value in ("100%", "%s", "%(x)d"):
        assert f"\r\nX-%s: {value}\r\nx: %\r\n".encode() in wire(headers=[("X-%s", value), ("x", "%")])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("X", "a\r\nY: b", id="H1 CRLF"),
        pytest.param("X", "a\nY: b", id="H2 LF"),
        pytest.param("X", "a\rY: b", id="H2 CR"),
        pytest.param("X", "a\x00b", id="H3 NUL"),
        pytest.param("X", "a\x7fb", id="H3 DEL"),
        pytest.param("X", "日本", id="H14 not Latin"),
        pytest.param("X: A", "b", id="H4 colon in the name"),
        pytest.param("X A", "b", id="H5 space in the name"),
        pytest.param("", "b", id="H6 empty name"),
        pytest.param("X\r\n", "b", id="CRLF in the name"),
        pytest.param("Ä", "b", id="name not ASCII"),
        pytest.param("Transfer-Encoding", "chunked", id="H7"),
        pytest.param("Content-Length", "300", id="H8"),
        pytest.param("hOST", "internal", id="H9"),
        pytest.param("Connection", "Upgrade", id="H10"),
        pytest.param("Upgrade", "h2c", id="H10 upgrade"),
        pytest.param("Expect", "100-continue", id="H11"),
        pytest.param("TE", "trailers", id="H12 TE"),
        pytest.param("Trailer", "X", id="H12 trailer"),
        pytest.param("Keep-Alive", "timeout=5", id="H12 keep-alive"),
        pytest.param("Proxy-Authorization", "Basic x", id="H12 proxy"),
        pytest.param("Proxy-Connection", "keep-alive", id="H12 proxy connection"),
    ],
)
def test_dangerous_header(name: str, value: str) -> None:
    """The request is not written at all, and the refusal repeats nothing of it."""
    with pytest.raises(RequestRefused) as refusal:
        wire(headers=[("X-Before", "fine"), (name, value)])

    assert not value or value not in str(refusal.value)


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "GE T", "FOO", "get", "", "GET\r\nX: y", "A" * 10_000])
def test_method(method: str) -> None:
    """H16: a method that is not one of ours is not written."""
    with pytest.raises(RequestRefused):
        wire(method)
