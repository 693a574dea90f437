"""A request is sent a second time only if the connection had served before and ended before a byte of the answer came."""

from __future__ import annotations

import pytest

from tests.e2e.egress_client.hostile import LONG_S, OK, Connection, client, target
from tests.e2e.egress_client.reusing import call, of


async def test_sent_again_if_it_ended_before_a_byte_came() -> None:
    """A used connection that ends without a byte is the one case in which a request is sent again, once, on a new one."""
    turns = 0

    async def script(connection: Connection) -> None:
        nonlocal turns
        turns += 1
        await connection.send(OK)
        connection.request = b""
        await connection.read_request()
        requests.append(connection.request)

    requests: list[bytes] = []
    async with target(script) as there, client(there) as fliq:
        first, second = await call(fliq, of(there.url()), of(there.url()))
        # The target reads the third request on the connection of the second, and closes.
        assert (first.connection, second.connection, second.ok) == ("new", "resent", True)
        assert second.sent_at == first.sent_at
        assert there.connection_count == 2
        assert requests[0] == there.requests[0] == there.requests[1]


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        pytest.param(b"H", "connection_error", id="one byte"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", "incomplete_answer", id="cut off"),
        pytest.param(b"SSH-2.0\r\n", "protocol_error", id="garbage"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
async def test_never_sent_again_after_a_byte(raw: bytes, error: str, method: str) -> None:
    """Whatever the method: after the first byte of an answer the attempt has failed, and the target saw one request."""

    async def script(connection: Connection) -> None:
        await connection.send(OK)
        connection.request = b""
        await connection.read_request()
        await connection.send(raw)

    async with target(script) as there, client(there) as fliq:
        first, second = await call(fliq, of(there.url(), method=method), of(there.url(), method=method))

        assert first.ok
        assert (second.error, second.connection) == (error, "reused")
        assert there.connection_count == 1


async def test_sent_again_only_once() -> None:
    """If the new connection ends in the same way, the attempt has failed: two requests, no third."""
    count = 0

    async def script(connection: Connection) -> None:
        nonlocal count
        count += 1
        if count == 1:
            await connection.send(OK)
            connection.request = b""
            await connection.read_request()

    async with target(script) as there, client(there) as fliq:
        first, second = await call(fliq, of(there.url()), of(there.url()))

        assert first.ok
        assert (second.ok, second.error, second.connection) == (False, "connection_error", "resent")
        assert there.connection_count == 2


async def test_silence_is_not_sent_again() -> None:
    """A used connection that stays silent is a timeout."""

    async def script(connection: Connection) -> None:
        await connection.send(OK)
        await connection.until_closed()

    async with target(script) as there, client(there) as fliq:
        assert (await fliq.call(of(there.url()), timeout_s=LONG_S)).ok
        outcome = await fliq.call(of(there.url()), timeout_s=0.2)

        assert (outcome.error, outcome.connection) == ("timeout", "reused")
        assert there.connection_count == 1
