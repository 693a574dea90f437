"""Edges of the client that need their own arrangement: defaults, unreachable addresses, lingering beyond its limit."""

from __future__ import annotations

import asyncio
import ssl
import time

import pytest

from libs.egress.client import EgressClient
from libs.egress.http1 import connections
from libs.egress.http1.connections import Connections
from libs.egress.http1.exchange import Exchange
from libs.egress.http1.prompt_future import PromptFuture
from libs.egress.tls import default_ssl_context
from libs.egress.url_rules import EgressPolicy
from tests.e2e.egress_client.hostile import (
    LONG_S,
    NOW,
    OK,
    Connection,
    FakeResolver,
    answer,
    client,
    request,
    target,
)
from tests.fakes.running.stalls import Stalls


async def test_defaults() -> None:
    """Without a resolver and a TLS context a client brings the system's, and lets go of them."""
    async with target(answer(OK)) as there:
        fliq = EgressClient(policy=EgressPolicy.parse(f"127.0.0.1/32:{there.port}"), now=lambda: NOW)
        await fliq.close()
        await fliq.start()

        assert (await fliq.call(request(there.url()), timeout_s=LONG_S)).ok
        await fliq.close()


def test_default_tls_verifies() -> None:
    """The default context checks chain and name."""
    context = default_ssl_context()

    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


async def test_unreachable_address() -> None:
    """An address that the kernel will not connect to is `connection_error`, without a packet."""
    async with client(allow="255.255.255.255/32") as fliq:
        outcome = await fliq.call(request("http://255.255.255.255/"), timeout_s=LONG_S)

        assert (outcome.ok, outcome.error) == (False, "connection_error")


async def test_connect_limit_is_shared_by_all_addresses(stalls: Stalls) -> None:
    """Addresses that swallow packets cost the connect limit once, not once each."""

    async def script(connection: Connection) -> None:
        raise AssertionError("no request can arrive")

    resolver = FakeResolver(target_example=[["127.0.0.1", "127.0.0.2"]])
    # A TLS handshake with servers that never answer it stands in for a connect that never completes.
    async with (
        target(script, host="0.0.0.0") as there,
        client(allow="127.0.0.0/8", resolver=resolver, connect_s=0.8) as fliq,
    ):
        outcome = await fliq.call(request(there.url(host="target.example", scheme="https")), timeout_s=LONG_S)

        assert outcome.error == "timeout"
        assert outcome.duration_ms < 1_400 + 2 * stalls.longest_ms
        assert there.requests == []


async def test_lingering_is_bounded(monkeypatch: pytest.MonkeyPatch, stalls: Stalls) -> None:
    """Beyond the limit a finished connection is closed at once instead of waiting for its peer."""
    monkeypatch.setattr(connections, "WAITING_LIMIT", 1)
    async with target(answer(OK, keeps_open=True)) as there, client(there) as fliq:
        for _ in range(2):
            assert (await fliq.call(request(there.url()), timeout_s=LONG_S)).ok
        ended_s = time.monotonic()
        await asyncio.wait_for(there.peer_closed.wait(), LONG_S)
        assert time.monotonic() - ended_s < connections.WAIT_S / 2 + 2 * stalls.longest_ms / 1000


async def test_an_exchange_takes_one_connection() -> None:
    """A second connection for the same exchange is dropped, and nothing is sent on it."""
    loop = asyncio.get_running_loop()
    held = Connections(loop)
    async with target(answer(OK)) as first, target(answer(OK)) as second:
        one = Exchange(
            wire=b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            is_head_request=False,
            is_peer_allowed=lambda ip, port, is_here: True,
            origin=("", "http://h"),
            connections=held,
            now=lambda: NOW,
            result=PromptFuture(),
        )
        await loop.create_connection(lambda: one, "127.0.0.1", first.port)
        await loop.create_connection(lambda: one, "127.0.0.1", second.port)
        await asyncio.wait_for(second.peer_closed.wait(), LONG_S)

        assert second.requests == []
        await held.close(timeout_s=LONG_S)


async def test_a_call_goes_on_in_the_callback_that_reads_its_answer() -> None:
    """Before the answers of other connections are read, the next call may take the connection over."""
    loop = asyncio.get_running_loop()
    held = Connections(loop)
    said: list[str] = []

    class Watched(Exchange):
        """Says when the callback ends."""

        def buffer_updated(self, nbytes: int) -> None:
            super().buffer_updated(nbytes)
            said.append("read")

    async with target(answer(OK)) as there:
        origin = ("account", "http://h")
        one = Watched(
            wire=b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            is_head_request=False,
            is_peer_allowed=lambda ip, port, is_here: True,
            origin=origin,
            connections=held,
            now=lambda: NOW,
            result=PromptFuture(),
        )
        await loop.create_connection(lambda: one, "127.0.0.1", there.port)
        reply = await asyncio.wait_for(asyncio.ensure_future(_waited(one, held, said)), LONG_S)

        assert reply == 200
        assert said == ["idle", "read"]
        await held.close(timeout_s=LONG_S)


async def _waited(one: Exchange, held: Connections, said: list[str]) -> int | None:
    reply = await one.result
    said.append("idle" if held.waiting_count else "not idle")
    await asyncio.sleep(0)
    return reply.status_code
