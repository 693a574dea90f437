"""The memory of tokens: how long, how many, and what a flood of made-up tokens can do."""

from __future__ import annotations

import asyncio

import pytest

from libs.store.control.accounts import Token
from services.api.contract.api_error import ApiError
from services.api.contract.token_text import new_token, token_hash
from services.api.http import auth
from services.api.http.auth import Authenticator
from tests.simulation.manual_clock import SeededEntropy

ENTROPY = SeededEntropy(5).entropy
PEPPER = b"pepper"


class Table:
    """Knows the tokens it is given; answers about others only when told to."""

    def __init__(self, *tokens: str) -> None:
        self.known = {
            token_hash(PEPPER, token): Token(f"tok_{n}", "a", "t", frozenset({"read"}), "1234", 0)
            for n, token in enumerate(tokens)
        }
        self.under_way = 0
        self.most = 0
        self.crowded = asyncio.Event()
        self.answer_strangers = asyncio.Event()

    async def find(self, token_hash: bytes) -> Token | None:
        if token_hash not in self.known:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            if self.under_way == auth.STRANGERS_AT_ONCE:
                self.crowded.set()
            await self.answer_strangers.wait()
            self.under_way -= 1
        return self.known.get(token_hash)


async def test_a_flood_of_unknown_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """While strangers queue up, a token that was valid before is looked up at once; strangers beyond the queue get 503."""
    token = new_token(ENTROPY)
    table = Table(token)
    authenticator = Authenticator(table.find, pepper=PEPPER, now=lambda: 0)
    await authenticator.identify(f"Bearer {token}")
    monkeypatch.setattr(auth, "CACHE_TTL_S", -1.0)

    strangers = [
        asyncio.create_task(authenticator.identify(f"Bearer {new_token(ENTROPY)}"))
        for _ in range(auth.STRANGERS_WAITING + 50)
    ]
    await table.crowded.wait()
    identity = await authenticator.identify(f"Bearer {token}")
    table.answer_strangers.set()
    outcomes = await asyncio.gather(*strangers, return_exceptions=True)

    assert identity.account == "a"
    assert table.most == auth.STRANGERS_AT_ONCE
    statuses = [outcome.status for outcome in outcomes if isinstance(outcome, ApiError)]
    assert statuses.count(401) == auth.STRANGERS_WAITING
    assert statuses.count(503) == 50


async def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many tokens come by, only so many are remembered."""
    monkeypatch.setattr(auth, "CACHE_MAX", 10)
    tokens = [new_token(ENTROPY) for _ in range(35)]
    authenticator = Authenticator(Table(*tokens).find, pepper=PEPPER, now=lambda: 0)
    for token in tokens:
        await authenticator.identify(f"Bearer {token}")

    remembered = [token for token in tokens if authenticator.remembered(f"Bearer {token}") is not None]
    assert 0 < len(remembered) <= 10
    assert tokens[-1] in remembered


async def test_memory_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered is good for less than five seconds, counted from before the look-up."""
    token = new_token(ENTROPY)
    authenticator = Authenticator(Table(token).find, pepper=PEPPER, now=lambda: 0)
    loop = asyncio.get_running_loop()
    await authenticator.identify(f"Bearer {token}")
    assert authenticator.remembered(f"Bearer {token}") is not None

    began_at = loop.time()
    monkeypatch.setattr(authenticator, "_loop", type("Later", (), {"time": staticmethod(lambda: began_at + 4.99)}))
    assert authenticator.remembered(f"Bearer {token}") is None
