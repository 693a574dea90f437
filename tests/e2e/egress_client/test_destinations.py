"""Table R of the attack cases: where a call ends up is decided at fire time, by address, before a byte is sent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from libs.egress.client import EgressClient
from libs.egress.outcome import Outcome
from libs.egress.resolver import ResolveError, SystemResolver
from tests.e2e.egress_client.hostile import (
    LONG_S,
    OK,
    Connection,
    FakeResolver,
    Target,
    answer,
    client,
    request,
    target,
)
from tests.fakes.running.stalls import Stalls

DENIED = (False, None, "destination_not_allowed")


async def test_name_resolves_to_the_target() -> None:
    """A name is looked up once per call, and Host carries it."""
    resolver = FakeResolver(target_example=[["127.0.0.1"]])
    async with target(answer(OK)) as there, client(there, resolver=resolver) as fliq:
        outcome = await fliq.call(request(there.url(host="target.example")), timeout_s=LONG_S)

        assert outcome.ok
        assert resolver.asked == ["target.example"]
        assert f"\r\nHost: target.example:{there.port}\r\n".encode() in there.requests[0]


async def test_r1_name_to_loopback() -> None:
    """R1: a name that means loopback is denied; the listener there sees no connection."""
    resolver = FakeResolver(evil_example=[["127.0.0.1"]])
    async with target(answer(OK)) as canary, client(allow="", resolver=resolver) as fliq:
        outcome = await fliq.call(request(canary.url(host="evil.example")), timeout_s=LONG_S)

        assert (outcome.ok, outcome.status_code, outcome.error) == DENIED
        assert canary.connection_count == 0


async def test_r2_r4_rebinding() -> None:
    """R2, R4: each attempt is judged anew: allowed, then rebound to a denied address, then allowed again."""
    resolver = FakeResolver(evil_example=[["127.0.0.1"], ["169.254.169.254"], ["127.0.0.1"]])
    async with target(answer(OK)) as there, client(there, resolver=resolver) as fliq:
        outcomes = [await fliq.call(request(there.url(host="evil.example")), timeout_s=LONG_S) for _ in range(3)]

        assert [outcome.error for outcome in outcomes] == [None, "destination_not_allowed", None]
        assert there.connection_count == 2


@pytest.mark.parametrize(
    "answers", [["127.0.0.1", "10.0.0.1"], ["10.0.0.1", "127.0.0.1"], ["127.0.0.1", "::ffff:127.0.0.1"]]
)
async def test_r3_mixed_answers(answers: list[str]) -> None:
    """R3: one denied answer among allowed ones, in either order, fails the attempt before anything is connected."""
    resolver = FakeResolver(evil_example=[answers])
    async with target(answer(OK)) as there, client(there, resolver=resolver) as fliq:
        outcome = await fliq.call(request(there.url(host="evil.example")), timeout_s=LONG_S)

        assert (outcome.ok, outcome.status_code, outcome.error) == DENIED
        assert there.connection_count == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["http://127.0.0.1:{port}/", "file:///etc/passwd", "/", "//evil.example/"])
async def test_r5_redirects(status: int, location: str) -> None:
    """R5: a redirect is a failed attempt; nothing is sent to where it points."""
    async with target(answer(OK)) as canary:
        to = location.format(port=canary.port)
        raw = f"HTTP/1.1 {status} Moved\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()
        async with target(answer(raw)) as there, client(there, canary) as fliq:
            outcome = await fliq.call(request(there.url(), headers=[("X-Api-Key", "k")]), timeout_s=LONG_S)

            assert (outcome.ok, outcome.status_code, outcome.error) == (False, status, "redirect_not_followed")
            assert there.connection_count == 1
            assert canary.connection_count == 0


class SilentResolver:
    """A DNS server that never answers."""

    async def resolve(self, host: str, *, account: str = "", is_as_written: bool = False) -> list[str]:
        """Wait for ever."""
        await asyncio.Event().wait()
        return []


@pytest.mark.parametrize(
    "resolver",
    [
        pytest.param(FakeResolver(), id="NXDOMAIN"),
        pytest.param(FakeResolver(evil_example=[[]]), id="no address"),
        pytest.param(FakeResolver(evil_example=[[f"8.8.{n // 250}.{n % 250}" for n in range(500)]]), id="500 answers"),
        pytest.param(FakeResolver(evil_example=[[f"8.8.8.{n}" for n in range(9)]]), id="9 answers of a family"),
        pytest.param(SilentResolver(), id="silence"),
    ],
)
async def test_r6_dns_fails_closed(resolver: FakeResolver, stalls: Stalls) -> None:
    """R6: whatever goes wrong with the name is `dns_error`, within the limit of name resolution."""
    async with client(allow="", resolver=resolver, dns_s=0.1) as fliq:
        outcome = await fliq.call(request("http://evil.example/"), timeout_s=LONG_S)

        assert (outcome.ok, outcome.status_code, outcome.error) == (False, None, "dns_error")
        assert outcome.duration_ms < 2_000 + 2 * stalls.longest_ms


async def test_r7_surroundings_are_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """R7: proxies and netrc files in the environment change nothing."""
    async with target(answer(OK)) as proxy, target(answer(OK)) as there, client(there) as fliq:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login u password p\n")
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        outcome = await fliq.call(request(there.url()), timeout_s=LONG_S)

        assert outcome.ok
        assert proxy.connection_count == 0
        assert b"uthorization" not in there.requests[0]


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://127.0.0.1/", "destination_not_allowed"),
        ("http://169.254.169.254/latest/", "destination_not_allowed"),
        ("http://[::ffff:127.0.0.1]/", "destination_not_allowed"),
        ("http://kafka/", "destination_not_allowed"),
        ("http://h.example:6379/", "destination_not_allowed"),
        ("file:///etc/passwd", "invalid_request"),
        ("http://u:p@h.example/", "invalid_request"),
    ],
)
async def test_r8_stored_urls_are_judged_again(url: str, error: str) -> None:
    """R8: a URL that got past creation, by an older or looser list, is refused when it is fired."""
    async with client(allow="", resolver=FakeResolver(h_example=[["8.8.8.8"]])) as fliq:
        outcome = await fliq.call(request(url), timeout_s=LONG_S)

        assert (outcome.ok, outcome.status_code, outcome.error) == (False, None, error)


async def test_peer_is_compared_after_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the connection ends up somewhere else than judged, nothing is sent on it."""
    loop = asyncio.get_running_loop()
    async with target(answer(OK)) as canary, target(answer(OK)) as there, client(there) as fliq:
        real = loop.create_connection

        async def misrouted(factory: object, host: str, port: int, **options: object) -> object:
            return await real(factory, host, canary.port, **options)  # type: ignore[arg-type]

        class Misrouting:
            """A loop whose connections go astray."""

            create_connection = staticmethod(misrouted)
            time = staticmethod(loop.time)

        monkeypatch.setattr(fliq, "_loop", Misrouting())
        outcome = await fliq.call(request(there.url()), timeout_s=LONG_S)

        assert (outcome.ok, outcome.status_code, outcome.error) == DENIED
        await asyncio.wait_for(canary.peer_closed.wait(), LONG_S)
        assert canary.requests == []


async def test_refused_connection() -> None:
    """A port where nobody listens is `connection_refused`."""
    async with client(allow="127.0.0.0/8") as fliq:
        gone = await fliq.call(request("http://127.0.0.1:1/"), timeout_s=LONG_S)

        assert (gone.ok, gone.status_code, gone.error) == (False, None, "connection_refused")


async def test_second_address_is_tried() -> None:
    """When the first address does not take the connection the next one gets the request, once."""
    resolver = FakeResolver(target_example=[["127.0.0.2", "127.0.0.1"]])
    async with target(answer(OK)) as there, client(allow="127.0.0.0/8", resolver=resolver) as fliq:
        outcome = await fliq.call(request(there.url(host="target.example")), timeout_s=LONG_S)

        assert outcome.ok
        assert there.connection_count == 1


async def test_localhost_needs_no_resolver() -> None:
    """`localhost` is the loopback address that the allow-list names; nobody is asked."""
    resolver = FakeResolver()
    async with target(answer(OK)) as there, client(there, resolver=resolver) as fliq:
        outcome = await fliq.call(request(there.url(host="localhost")), timeout_s=LONG_S)

        assert outcome.ok
        assert resolver.asked == []


async def test_dangerous_header_is_not_sent() -> None:
    """A stored header that could split the request ends the call before anything is connected."""
    async with target(answer(OK)) as there, client(there) as fliq:
        outcome = await fliq.call(request(there.url(), headers=[("X", "a\r\nY: b")]), timeout_s=LONG_S)

        assert (outcome.ok, outcome.error) == (False, "invalid_request")
        assert there.connection_count == 0


async def test_system_resolver_asks_for_the_absolute_name() -> None:
    """No search domain applies, and an error is a ResolveError."""
    asked = []

    def look_up(name: str) -> list[str]:
        asked.append(name)
        if len(asked) > 1:
            raise ResolveError("SERVFAIL")
        return ["8.8.8.8"]

    resolver = SystemResolver(threads=1, look_up=look_up)
    try:
        assert await resolver.resolve("h.example") == ["8.8.8.8"]
        with pytest.raises(ResolveError):
            await resolver.resolve("h.example")
    finally:
        resolver.close()

    assert asked == ["h.example.", "h.example."]
    with pytest.raises(ResolveError):
        await resolver.resolve("h.example")


async def test_system_resolver_is_bounded() -> None:
    """Look-ups that nobody answers fill the waiting room; the next one fails at once, and room returns with the answers."""
    silence = threading.Event()

    def look_up(name: str) -> list[str]:
        assert silence.wait(LONG_S)
        return [name]

    resolver = SystemResolver(threads=1, waiting_limit=2, look_up=look_up)
    waiting = [asyncio.create_task(resolver.resolve(f"h{n}.example")) for n in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(ResolveError):
        await resolver.resolve("h3.example")
    waiting[1].cancel()
    silence.set()

    assert await waiting[0] == ["h0.example."]
    assert await resolver.resolve("h4.example") == ["h4.example."]
    resolver.close()
    resolver.close()


@pytest.mark.parametrize("hostile", [1, 5])
async def test_accounts_whose_names_nobody_answers_leave_threads_for_another(hostile: int) -> None:
    """However many names they ask for, a name of another account is looked up while they wait."""
    silence = threading.Event()

    def look_up(name: str) -> list[str]:
        assert not name.startswith("silent") or silence.wait(LONG_S)
        return [name]

    resolver = SystemResolver(threads=12, look_up=look_up)
    waiting = [
        asyncio.create_task(resolver.resolve(f"silent{n}.example", account=f"hostile{n % hostile}")) for n in range(100)
    ]
    await asyncio.sleep(0)
    try:
        async with asyncio.timeout(LONG_S):
            for n in range(5):
                assert await resolver.resolve(f"well{n}.example", account="innocent") == [f"well{n}.example."]
        assert not any(each.done() for each in waiting)
    finally:
        silence.set()
        await asyncio.gather(*waiting)
        resolver.close()


async def test_r9_denials_look_alike(stalls: Stalls) -> None:
    """R9: an open port, a closed port and a name, all denied, give the same outcome, and nothing is connected."""
    resolver = FakeResolver(open_example=[["127.0.0.1"]], inside_example=[["10.0.0.1"]])
    async with target(answer(OK)) as canary, client(allow="", resolver=resolver) as fliq:
        urls = [canary.url(), canary.url(host="open.example"), "http://127.0.0.1:9/", "http://inside.example/"]
        outcomes = [await fliq.call(request(url), timeout_s=LONG_S) for url in [*urls, "http://kafka/"]]

        assert len({msgspec.structs.replace(outcome, duration_ms=0) for outcome in outcomes}) == 1
        assert max(outcome.duration_ms for outcome in outcomes) < 500 + 2 * stalls.longest_ms
        assert canary.connection_count == 0


async def test_client_lifecycle() -> None:
    """Close without start, double start and double close are fine; a call outside of them is a mistake that raises."""
    async with target(answer(OK)) as there, client(there) as fliq:
        await fliq.start()
        assert (await fliq.call(request(there.url()), timeout_s=LONG_S)).ok
        await fliq.close()
        await fliq.close()
        with pytest.raises(RuntimeError):
            await fliq.call(request(there.url()), timeout_s=LONG_S)


@asynccontextmanager
async def waiting_call() -> AsyncIterator[tuple[Target, EgressClient, asyncio.Task[Outcome]]]:
    """A call that has arrived at its target, and is never answered."""
    arrived = asyncio.Event()

    async def script(connection: Connection) -> None:
        arrived.set()
        await connection.until_closed()

    async with target(script) as there, client(there) as fliq:
        call = asyncio.create_task(fliq.call(request(there.url()), timeout_s=LONG_S))
        await asyncio.wait_for(arrived.wait(), LONG_S)
        yield there, fliq, call


async def test_close_ends_calls_under_way() -> None:
    """Closing aborts a call that waits; it comes back as a failed attempt."""
    async with waiting_call() as (_, fliq, call):
        await fliq.close()

        assert (await call).error == "connection_error"


async def test_cancelling_a_call_closes_its_connection() -> None:
    """Cancellation passes through, and the target sees the connection end."""
    async with waiting_call() as (there, _, call):
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

        await asyncio.wait_for(there.peer_closed.wait(), LONG_S)


async def test_cancelling_at_any_step_leaves_nothing_open() -> None:
    """Wherever a call is cancelled, while connecting, just connected or waiting, no connection stays behind."""
    ended = 0
    async with target(answer(OK)) as there, client(there) as fliq:
        for step in range(30):
            call = asyncio.create_task(fliq.call(request(there.url()), timeout_s=LONG_S))
            for _ in range(step):
                await asyncio.sleep(0)
            call.cancel()
            ended += isinstance((await asyncio.gather(call, return_exceptions=True))[0], asyncio.CancelledError)
        await fliq.close()  # raises TimeoutError when a connection is still counted

    assert ended > 0


@pytest.mark.parametrize("hostile", [1, 2, 5])
async def test_silent_name_servers_of_some_accounts_leave_threads_for_another(hostile: int) -> None:
    """Each asks for more names that nobody answers for than there are threads; another's name is looked up at once."""
    silence = threading.Event()

    def look_up(name: str) -> list[str]:
        if name.startswith("silent"):
            silence.wait(10)
        return [name]

    resolver = SystemResolver(look_up=look_up)
    silent = [
        asyncio.create_task(resolver.resolve(f"silent{n}.example", account=f"a{n % hostile}"))
        for n in range(100 * hostile)
    ]
    await asyncio.sleep(0)
    try:
        async with asyncio.timeout(5):
            assert await resolver.resolve("h.example", account="b") == ["h.example."]
        for task in silent:
            task.cancel()
        await asyncio.wait(silent)
        assert await resolver.resolve("h.example", account="b") == ["h.example."]
    finally:
        silence.set()
        resolver.close()
