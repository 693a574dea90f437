"""Targets that keep their connections open, and calls of accounts to them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from libs.egress.client import EgressClient
from libs.egress.outcome import Outcome
from libs.egress.request import OutgoingRequest
from tests.e2e.egress_client.hostile import LONG_S, Connection, Script, request

CLOSE = b""  # close instead of an answer


def answers(*raws: bytes) -> Script:
    """A script that gives these answers to the requests of a connection, the last one to all that follow."""

    async def script(connection: Connection) -> None:
        for turn in range(1_000_000):
            raw = raws[min(turn, len(raws) - 1)]
            if raw == CLOSE:
                return
            await connection.send(raw)
            connection.request = b""
            if not await connection.read_request():
                return
            arrived.append(connection.request)

    arrived: list[bytes] = []
    script.arrived = arrived  # type: ignore[attr-defined]
    return script


def later(script: Script) -> list[bytes]:
    """The requests that came on a connection that had served before."""
    arrived: list[bytes] = script.arrived  # type: ignore[attr-defined]
    return arrived


def of(url: str, account: str = "a", *, method: str = "POST", body: bytes | None = b"{}") -> OutgoingRequest:
    """A request of an account."""
    return msgspec.structs.replace(request(url, method=method, body=body), account=account, key=f"exec_{account}")


async def call(fliq: EgressClient, *requests: OutgoingRequest) -> Sequence[Outcome]:
    """Make these calls one after the other."""
    return [await fliq.call(each, timeout_s=LONG_S) for each in requests]
