"""The memory of tokens: how long, how many, and what a flood of made-up tokens can do."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest

from libs.store.control.accounts import Token
from libs.store.errors import StoreUnavailable
from services.api.contract.api_error import ApiError
from services.api.contract.token_text import new_token, token_hash
from services.api.http import auth, token_lookups
from services.api.http.auth import Authenticator
from tests.simulation.manual_clock import SeededEntropy

ENTROPY = SeededEntropy(5).entropy
PEPPER = b"pepper"


class Table:
    """Knows the tokens it is given; a query waits until the test lets it end."""

    def __init__(self, *tokens: str) -> None:
        self.known = {
            token_hash(PEPPER, token): Token(f"tok_{n}", "a", "t", frozenset({"read"}), "1234", 0)
            for n, token in enumerate(tokens)
        }
        self.queries: list[list[bytes]] = []
        self.answers = asyncio.Event()
        self.answers.set()

    async def find_tokens(self, token_hashes: Collection[bytes]) -> dict[bytes, Token]:
        self.queries.append(list(token_hashes))
        await self.answers.wait()
        return {each: self.known[each] for each in token_hashes if each in self.known}


async def test_a_flood_of_unknown_tokens() -> None:
    """A token that was never seen here is found by the next query, however many made-up ones wait at another address."""
    token = new_token(ENTROPY)
    table = Table(token)
    table.answers.clear()
    authenticator = Authenticator(table.find_tokens, pepper=PEPPER, now=lambda: 0)
    strangers = [
        asyncio.create_task(authenticator.identify(f"Bearer {new_token(ENTROPY)}", "192.0.2.1"))
        for _ in range(token_lookups.WAITING_MAX + 50)
    ]
    await asyncio.sleep(0)
    caller = asyncio.create_task(authenticator.identify(f"Bearer {token}", "192.0.2.2"))
    same_address = asyncio.create_task(authenticator.identify(f"Bearer {token}", "192.0.2.1"))
    await asyncio.sleep(0)
    table.answers.set()
    outcomes = await asyncio.gather(*strangers, return_exceptions=True)

    assert (await caller).account == "a"
    hashed = token_hash(PEPPER, token)
    assert [hashed in query for query in table.queries].index(
        True
    ) == token_lookups.AT_ONCE  # the first one after it came
    statuses = [outcome.status for outcome in outcomes if isinstance(outcome, ApiError)]
    assert statuses.count(401) == token_lookups.WAITING_MAX + token_lookups.AT_ONCE
    assert statuses.count(503) == 50 - token_lookups.AT_ONCE
    with pytest.raises(ApiError, match="from this address"):
        await same_address


async def test_tokens_that_wait_share_a_query() -> None:
    """Thousands of look-ups are a few queries, each of a bounded size; one that fails fails those that asked for it."""
    tokens = [new_token(ENTROPY) for _ in range(1_500)]
    table = Table(*tokens)
    authenticator = Authenticator(table.find_tokens, pepper=PEPPER, now=lambda: 0)
    found = await asyncio.gather(
        *(authenticator.identify(f"Bearer {token}", f"192.0.2.{n % 7}") for n, token in enumerate(tokens))
    )

    assert {identity.account for identity in found} == {"a"}
    assert max(map(len, table.queries)) <= token_lookups.BATCH_MAX
    assert len(table.queries) <= len(tokens) // token_lookups.BATCH_MAX + token_lookups.AT_ONCE

    async def broken(_: Collection[bytes]) -> dict[bytes, Token]:
        raise StoreUnavailable("down, says the test")

    with pytest.raises(StoreUnavailable):
        await Authenticator(broken, pepper=PEPPER, now=lambda: 0).identify(f"Bearer {tokens[0]}")


async def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many tokens come by, only so many are remembered."""
    monkeypatch.setattr(auth, "CACHE_MAX", 10)
    tokens = [new_token(ENTROPY) for _ in range(35)]
    authenticator = Authenticator(Table(*tokens).find_tokens, pepper=PEPPER, now=lambda: 0)
    for token in tokens:
        await authenticator.identify(f"Bearer {token}")

    remembered = [token for token in tokens if authenticator.remembered(f"Bearer {token}") is not None]
    assert 0 < len(remembered) <= 10
    assert tokens[-1] in remembered


async def test_memory_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered is good for less than five seconds, counted from before the look-up."""
    token = new_token(ENTROPY)
    authenticator = Authenticator(Table(token).find_tokens, pepper=PEPPER, now=lambda: 0)
    loop = asyncio.get_running_loop()
    await authenticator.identify(f"Bearer {token}")
    assert authenticator.remembered(f"Bearer {token}") is not None

    began_at = loop.time()
    monkeypatch.setattr(authenticator, "_loop", type("Later", (), {"time": staticmethod(lambda: began_at + 4.99)}))
    assert authenticator.remembered(f"Bearer {token}") is None


async def test_a_token_that_must_be_looked_up_again_is_still_its_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its request waits for the turn of its account, and not behind the strangers of its address, until it is refused."""
    monkeypatch.setattr(auth, "CACHE_TTL_S", 0.0)
    token = new_token(ENTROPY)
    table = Table(token)
    authenticator = Authenticator(table.find_tokens, pepper=PEPPER, now=lambda: 0)
    header = f"Bearer {token}"
    assert authenticator.last_account(header) is None
    await authenticator.identify(header)

    assert authenticator.remembered(header) is None
    assert authenticator.last_account(header) == "a"
    table.known.clear()
    with pytest.raises(ApiError, match="token"):
        await authenticator.identify(header)
    assert authenticator.last_account(header) is None
