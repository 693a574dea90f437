"""What is kept of answers, as they come over the wire: bounded, the right bytes, and nothing of targets inside the network."""

from __future__ import annotations

from hashlib import sha256

import msgspec
import pytest

from libs.domain.responses.answer_keeper import AnswerKeeper, RawAnswer
from libs.egress.http1.exchange import BODY_LIMIT
from libs.egress.outcome import Outcome
from libs.egress.url_rules import EgressPolicy
from tests.e2e.egress_client.hostile import LONG_S, Connection, answer, client, request, target

MEGABYTE = b"".join(b"%07d\n" % number for number in range(125_000))
HUGE = 100 * len(MEGABYTE)
KEPT = 8_192
REFUSED = b"HTTP/1.1 401 Unauthorized\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\ntoken"


def keeper_of(*, with_private: bool) -> AnswerKeeper:
    """Return a keeper of failures with the default bound."""
    return AnswerKeeper(
        bytes_max=KEPT,
        keeps_header=lambda name: name == "content-type",
        wants_status=lambda status: status >= 400,
        with_private=with_private,
    )


async def kept(raw: bytes, *, with_private: bool) -> tuple[Outcome, RawAnswer | None]:
    """Return the outcome of a call to a target that answers *raw*, and what was kept."""
    keeper = keeper_of(with_private=with_private)
    async with target(answer(raw)) as there, client(there) as fliq:
        asked = msgspec.structs.replace(request(there.url()), keeper=keeper)
        return await fliq.call(asked, timeout_s=LONG_S), keeper.answer


async def test_of_100_megabytes_head_and_tail_are_kept() -> None:
    """4,096 bytes from the beginning and the last 4,096 of what was read, 64 KiB; the rest is neither read nor held."""
    sent = 0

    async def script(connection: Connection) -> None:
        nonlocal sent
        await connection.send(b"HTTP/1.1 500 Oh\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % HUGE)
        while sent < HUGE:
            await connection.send(MEGABYTE)
            sent += len(MEGABYTE)

    keeper = keeper_of(with_private=True)
    async with target(script) as there, client(there) as fliq:
        outcome = await fliq.call(msgspec.structs.replace(request(there.url()), keeper=keeper), timeout_s=LONG_S)
        await there.peer_closed.wait()
    found = keeper.answer

    assert (outcome.status_code, outcome.is_truncated) == (500, True)
    assert found is not None
    assert (found.headers, found.is_whole) == ((("content-type", "text/plain"),), False)
    assert KEPT < found.length <= BODY_LIMIT
    assert found.head == MEGABYTE[: KEPT // 2]
    assert found.tail == MEGABYTE[found.length - KEPT // 2 : found.length]
    assert found.sha256 == sha256(MEGABYTE[: found.length]).hexdigest()
    assert sent < HUGE / 2


@pytest.mark.parametrize("with_private", [False, True])
async def test_of_a_target_inside_the_network_nothing_is_kept(with_private: bool) -> None:
    """Unless the operator wants it: it may be called only because FLIQ_EGRESS_ALLOW names it. The call ends the same way."""
    outcome, found = await kept(REFUSED, with_private=with_private)

    assert (outcome.status_code, outcome.ok) == (401, False)
    assert (None if found is None else found.head) == (b"token" if with_private else None)


async def test_of_a_target_that_anybody_may_call_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that needs no list, as every public address."""
    monkeypatch.setattr(EgressPolicy, "needs_list", lambda *_, **__: False)
    _, found = await kept(REFUSED, with_private=False)

    assert found is not None
    assert found.head == b"token"
