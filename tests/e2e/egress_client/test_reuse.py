"""A connection is used again by the next call of its account to its origin, and by nobody else; no answer goes to another call."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from libs.egress.address_pace import AddressPace, CallLater
from libs.egress.http1 import connections
from libs.egress.tls import default_ssl_context
from libs.egress.url_rules import EgressPolicy
from tests.e2e.egress_client.hostile import (
    CERTIFICATES,
    LONG_S,
    OK,
    Connection,
    FakeResolver,
    client,
    target,
)
from tests.e2e.egress_client.reusing import CLOSE, answers, call, later, of
from tests.fakes.until import until


async def test_the_next_call_of_the_account_uses_the_connection() -> None:
    """T4: one account's calls to one origin share a connection; another account, or another origin, gets its own."""
    script = answers(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nContent-Length: 2\r\n\r\nok")
    async with target(script) as there, target(answers(OK)) as elsewhere, client(there, elsewhere) as fliq:
        url = there.url()
        outcomes = await call(fliq, of(url), of(url, "b"), of(url), of(elsewhere.url()), of(url, "b"))

        assert [outcome.connection for outcome in outcomes] == ["new", "new", "reused", "new", "reused"]
        assert all(outcome.ok for outcome in outcomes)
        assert there.connection_count == 2
        assert len(later(script)) == 2
        assert all(b"ookie" not in arrived for arrived in later(script))


async def test_calls_at_once_have_a_connection_each() -> None:
    """A connection carries one call at a time: nothing is pipelined, and no more stay open than there were calls at once."""
    async with target(answers(OK)) as there, client(there) as fliq:
        url = there.url()
        for _ in range(3):
            await asyncio.gather(*(fliq.call(of(url), timeout_s=LONG_S) for _ in range(5)))

        assert there.connection_count == 5


@asynccontextmanager
async def tls_target() -> AsyncIterator[tuple[str, list[bytes], list[bool]]]:
    """A TLS server that keeps connections open: its URL, the first request of each, and whether it resumed a session."""
    first: list[bytes] = []
    resumed: list[bool] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        resumed.append(writer.get_extra_info("ssl_object").session_reused)
        try:
            first.append(await reader.readuntil(b"{}"))
            while True:
                writer.write(OK)
                await reader.readuntil(b"{}")
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "good.pem")
    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://target.example:{server.sockets[0].getsockname()[1]}/", first, resumed


async def test_tls_is_used_again() -> None:
    """Over https the second call makes no handshake."""
    resolver = FakeResolver(target_example=[["127.0.0.1"]])
    async with tls_target() as (url, first, _), client(allow="127.0.0.0/8", resolver=resolver) as fliq:
        outcomes = await call(fliq, of(url), of(url), of(url))

        assert [outcome.connection for outcome in outcomes] == ["new", "reused", "reused"]
        assert len(first) == 1
        assert resolver.asked == ["target.example"]


async def test_a_new_connection_resumes_the_session_of_its_account() -> None:
    """Calls at once over https need new connections: they resume the account's session, and never another account's."""
    context = default_ssl_context(CERTIFICATES / "authority.pem")
    resolver = FakeResolver(target_example=[["127.0.0.1"]])
    async with (
        tls_target() as (url, first, resumed),
        client(allow="127.0.0.0/8", resolver=resolver, context=context) as fliq,
    ):
        assert (await fliq.call(of(url), timeout_s=LONG_S)).ok
        await asyncio.gather(*(fliq.call(of(url), timeout_s=LONG_S) for _ in range(3)))
        assert (await fliq.call(of(url, "b"), timeout_s=LONG_S)).ok

        assert resumed == [False, True, True, False]
        assert len(first) == 4


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nok", id="close"),
        pytest.param(HEAD + b"Connection: Keep-Alive, CLOSE\r\nContent-Length: 2\r\n\r\nok", id="close in a list"),
        pytest.param(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", id="HTTP/1.0"),
        pytest.param(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", id="odd"),
        pytest.param(OK + OK, id="a second answer behind it"),
        pytest.param(OK + b"H", id="a byte behind it"),
        pytest.param(HEAD + b"Content-Length: 65537\r\n\r\n" + b"a" * 65537, id="truncated"),
        pytest.param(b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", id="101"),
    ],
)
async def test_answers_after_which_it_is_not_used_again(raw: bytes) -> None:
    """An answer that closes, is odd, is not whole, or has bytes behind it lets no other call onto its connection."""
    async with target(answers(raw)) as there, client(there) as fliq:
        outcomes = await call(fliq, of(there.url()), of(there.url()))

        assert [outcome.connection for outcome in outcomes] == ["new", "new"]
        assert outcomes[0].status_code == outcomes[1].status_code
        assert there.connection_count == 2


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", id="204"),
        pytest.param(b"HTTP/1.1 304 Not Modified\r\n\r\n", id="304"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", id="chunked"),
        pytest.param(b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n" + OK, id="informational"),
        pytest.param(b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n", id="500"),
    ],
)
async def test_answers_after_which_it_is_used_again(raw: bytes) -> None:
    """Each way to end an answer without ending the connection is understood, whatever the status."""
    async with target(answers(raw)) as there, client(there) as fliq:
        outcomes = await call(fliq, of(there.url()), of(there.url()))

        assert [outcome.connection for outcome in outcomes] == ["new", "reused"]
        assert outcomes[0].status_code == outcomes[1].status_code


async def test_head_closes() -> None:
    """Some servers send the answer to HEAD with a body: it is asked to close, and its connection is not used again."""
    script = answers(HEAD + b"Content-Length: 2\r\n\r\n")
    async with target(script) as there, client(there) as fliq:
        head = of(there.url(), method="HEAD", body=None)
        outcomes = await call(fliq, head, head)

        assert [outcome.connection for outcome in outcomes] == ["new", "new"]
        assert all(b"\r\nConnection: close\r\n" in arrived for arrived in there.requests)


async def test_an_answer_to_half_a_request_ends_the_connection() -> None:
    """A target that answers before it has read the request gets no other call on that connection: the rest is still to be sent."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        cast("asyncio.Transport", writer.transport).pause_reading()
        writer.write(OK)

    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(talk, "127.0.0.1", 0, limit=1024)
    async with server, client(allow=f"127.0.0.1/32:{server.sockets[0].getsockname()[1]}") as fliq:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        large = of(url, body=b"x" * 32_000_000)
        outcomes = await call(fliq, large, of(url))

        assert [(outcome.ok, outcome.connection) for outcome in outcomes] == [(True, "new"), (True, "new")]
        for writer in writers:
            writer.transport.abort()


async def test_a_connection_that_was_closed_is_not_used() -> None:
    """A target that closes after its answer, without saying so, costs the next call nothing but a new connection."""
    async with target(answers(OK, CLOSE)) as there, client(there) as fliq:
        first = await fliq.call(of(there.url()), timeout_s=LONG_S)
        second = await fliq.call(of(there.url()), timeout_s=LONG_S)

        assert first.ok
        assert second.ok
        assert second.connection in ("new", "resent")


@pytest.mark.parametrize("early", [OK, b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", b"\r\n", b"x"])
async def test_bytes_that_came_before_the_request_are_not_its_answer(early: bytes) -> None:
    """What a target sends while nothing was asked ends its connection; the next call gets an answer of its own."""
    now = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.send(OK)
        connection.request = b""
        await now.wait()
        await connection.send(early)
        sent.set()
        await connection.until_closed()

    sent = asyncio.Event()
    async with target(script) as there, client(there) as fliq:
        first = await fliq.call(of(there.url()), timeout_s=LONG_S)
        now.set()
        await asyncio.wait_for(sent.wait(), LONG_S)
        second = await fliq.call(of(there.url()), timeout_s=LONG_S)

        assert (first.ok, second.ok, second.connection) == (True, True, "new")
        assert there.connection_count == 2


@pytest.mark.parametrize("says", ["bytes", "FIN", "RST"])
async def test_the_kernel_is_asked(says: str) -> None:
    """What the event loop has not read yet counts: a peer that has just written or closed gets no request on that connection."""
    loop = asyncio.get_running_loop()
    held = connections.Connections(loop)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        transport, _ = await loop.create_connection(asyncio.Protocol, *listener.getsockname()[:2])
        origin = ("a", "http://127.0.0.1")
        connection = held.opened(transport, origin)
        with listener.accept()[0] as peer:
            held.wait(connection, is_reusable=True)
            assert held.take(origin) is connection
            held.wait(connection, is_reusable=True)
            if says == "bytes":
                peer.sendall(b"H")
            elif says == "RST":
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                peer.close()
            else:
                peer.shutdown(socket.SHUT_WR)

            assert held.take(origin) is None


async def test_the_address_is_judged_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that is refused since the connection was made is not called on it, though its name was not looked up again."""
    resolver = FakeResolver(target_example=[["127.0.0.1"]])
    async with target(answers(OK)) as there, client(allow="127.0.0.0/8", resolver=resolver) as fliq:
        url = there.url(host="target.example")
        assert (await fliq.call(of(url), timeout_s=LONG_S)).ok
        monkeypatch.setattr(fliq, "_policy", EgressPolicy.parse(None))
        outcome = await fliq.call(of(url), timeout_s=LONG_S)

        assert (outcome.error, outcome.connection) == ("destination_not_allowed", "reused")
        assert (there.connection_count, len(there.requests), resolver.asked) == (1, 1, ["target.example"])


async def test_the_pace_counts_calls_and_not_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that comes too early for its address is put off, on an idle connection too, which stays idle."""
    monkeypatch.setattr(connections, "WAIT_S", LONG_S)
    async with target(answers(OK)) as there, client(there) as fliq:
        fliq.pace = AddressPace(lambda account: 1.0)
        first = await fliq.call(of(there.url()), timeout_s=LONG_S)
        with pytest.raises(CallLater) as later:
            await fliq.call(of(there.url()), timeout_s=LONG_S)
        await asyncio.sleep(later.value.wait_s)  # the pace itself
        second = await fliq.call(of(there.url()), timeout_s=LONG_S)

        assert (first.connection, second.connection) == ("new", "reused")


async def test_idle_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that nobody uses is closed; so is one that has served for its life."""
    monkeypatch.setattr(connections, "WAIT_S", 0.05)
    async with target(answers(OK)) as there, client(there) as fliq:
        assert (await fliq.call(of(there.url()), timeout_s=LONG_S)).ok
        await asyncio.wait_for(there.peer_closed.wait(), LONG_S)
        assert (await fliq.call(of(there.url()), timeout_s=LONG_S)).connection == "new"
        monkeypatch.setattr(connections, "LIFE_S", 0.0)
        assert (await fliq.call(of(there.url(), "b"), timeout_s=LONG_S)).connection == "new"
        assert (await fliq.call(of(there.url(), "b"), timeout_s=LONG_S)).connection == "new"


def open_sockets() -> list[str]:
    """The sockets that this process has open."""
    links = [os.readlink(fd) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]
    return [link for link in links if link.startswith("socket:")]


async def test_many_origins_leave_nothing_open() -> None:
    """Calls to many origins leave no connection and no descriptor behind, and the idle ones are bounded by each account's share."""
    before = open_sockets()
    calls = int(os.environ.get("FLIQ_TEST_REUSE_CALLS", "2000"))
    async with target(answers(OK), host="0.0.0.0") as there, client(allow="127.0.0.0/8") as fliq:
        urls = [there.url(host=f"127.0.{each // 250}.{each % 250 + 1}") for each in range(1_000)]
        for start in range(0, calls, 100):
            made = [fliq.call(of(urls[(start + each) % 1_000]), timeout_s=LONG_S) for each in range(100)]
            assert all(outcome.ok for outcome in await asyncio.gather(*made))
        held = fliq._connections
        assert held is not None
        assert 0 < held.waiting_count <= connections.WAITING_LIMIT // 2
        assert len(held) == held.waiting_count
    await until(
        lambda: len(open_sockets()) <= len(before), within_s=LONG_S, saying=lambda: set(open_sockets()) - set(before)
    )
