"""Accounts, tokens, secrets and idempotency keys."""

import asyncio

import pytest

from libs.events.ids import new_job_id
from libs.store.control.accounts import Accounts, LastToken, ParentGone, Token
from libs.store.control.idempotency import IdempotencyKeys, Reservation
from tests.conformance.store.conftest import Harness

NOW = 1_790_000_000_123
TOKEN = Token("tok_1", "acme", "ci", frozenset({"read", "write"}), "abcd", NOW, NOW + 1)


@pytest.fixture
async def accounts(harness: Harness) -> Accounts:
    """The control plane with account `acme`, whose current signing secret is `one`."""
    made = Accounts(harness.pool)
    await made.ensure_account("acme", "one")
    return made


async def test_a_token_is_found_by_its_hash(accounts: Accounts) -> None:
    """Every field comes back but the hash; nothing is found by another hash."""
    await accounts.add_token(TOKEN, b"h" * 32)
    assert await accounts.find_tokens([b"h" * 32, b"x" * 32]) == {b"h" * 32: TOKEN}
    assert await accounts.tokens("acme") == [TOKEN]
    assert await accounts.tokens("other") == []


async def test_a_revoked_token_is_not_found(accounts: Accounts) -> None:
    """Only its own account revokes it, once; it is gone from look-up and list."""
    await accounts.add_token(TOKEN, b"h" * 32)
    assert await accounts.revoke("other", "tok_1") == ()
    assert await accounts.revoke("acme", "tok_1") == ("tok_1",)
    assert await accounts.revoke("acme", "tok_1") == ()
    assert await accounts.find_tokens([b"h" * 32]) == {}
    assert await accounts.tokens("acme") == []


async def test_a_token_dies_with_the_one_that_made_it(accounts: Accounts, harness: Harness) -> None:
    """However far down, and also below one that an older build revoked alone; others of the account stay."""
    for number, parent in enumerate((None, "t0", "t1", "t1", None)):
        assert await accounts.add_token(
            TOKEN._replace(token_id=f"t{number}", parent=parent, expires_at=None), bytes([number]) * 32
        )
    await harness.pool.execute("UPDATE api_tokens SET revoked_at = now() WHERE token_id = 't1'")
    assert set(await accounts.revoke("acme", "t0")) == {"t0", "t2", "t3"}
    assert [token.token_id for token in await accounts.tokens("acme")] == ["t4"]
    assert await accounts.revoke("acme", "t1") == ()


async def test_a_token_that_is_not_valid_makes_none(accounts: Accounts) -> None:
    """Revoked or expired: what it made would outlive it."""
    await accounts.add_token(TOKEN._replace(token_id="gone", expires_at=None), b"g" * 32)
    await accounts.add_token(TOKEN._replace(token_id="old", expires_at=1_000_000_000_000), b"o" * 32)
    await accounts.revoke("acme", "gone")
    for parent in ("gone", "old", "never was"):
        with pytest.raises(ParentGone):
            await accounts.add_token(TOKEN._replace(parent=parent), b"h" * 32)
    assert await accounts.find_tokens([b"h" * 32]) == {}


async def test_of_two_last_tokens_that_revoke_themselves_at_once_one_stays(accounts: Accounts) -> None:
    """The account keeps a valid token with one of the scopes asked for; without such a wish both go."""
    for name in ("a", "b"):
        await accounts.add_token(TOKEN._replace(token_id=name, expires_at=None), name.encode() * 32)
    await accounts.add_token(TOKEN._replace(token_id="c", scopes=frozenset({"read"}), expires_at=None), b"c" * 32)
    await accounts.add_token(TOKEN._replace(token_id="old", expires_at=1_000_000_000_000), b"o" * 32)

    tries = [accounts.revoke("acme", name, keeping={"write", "write:tokens"}) for name in ("a", "b")]
    done = await asyncio.gather(*tries, return_exceptions=True)

    assert sorted(type(each) for each in done if not isinstance(each, tuple)) == [LastToken]
    assert len([each for each in done if isinstance(each, tuple)]) == 1
    left = next(token.token_id for token in await accounts.tokens("acme") if token.token_id in "ab")
    assert await accounts.revoke("acme", left) == (left,)


async def test_an_account_has_no_more_tokens_than_a_list_can_show(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many are made at once; what has expired makes room when there is none."""
    monkeypatch.setattr("libs.store.control.accounts.TOKENS_MAX", 3)
    expired = TOKEN._replace(token_id="old", expires_at=1_000_000_000_000)
    assert await accounts.add_token(expired, b"e" * 32)
    tries = [accounts.add_token(TOKEN._replace(token_id=f"t{n}", expires_at=None), bytes([n]) * 32) for n in range(6)]
    assert sum(await asyncio.gather(*tries)) == 3
    assert "old" not in [token.token_id for token in await accounts.tokens("acme")]
    await accounts.ensure_account("other", "theirs")
    assert await accounts.add_token(TOKEN._replace(token_id="theirs", account="other"), b"o" * 32)


async def test_the_operators_token_is_valid_after_every_start(accounts: Accounts) -> None:
    """A bootstrap token is kept once, and comes back if it had been revoked."""
    await accounts.ensure_token(TOKEN, b"h" * 32)
    await accounts.revoke("acme", "tok_1")
    await accounts.ensure_token(TOKEN._replace(token_id="tok_2"), b"h" * 32)
    found = (await accounts.find_tokens([b"h" * 32])).get(b"h" * 32)
    assert found is not None
    assert (found.token_id, found.revoked_at) == ("tok_1", None)


async def test_the_operators_token_outlives_a_change_of_the_key(accounts: Accounts) -> None:
    """Under a new key the same token has another hash: it is valid by that one only, also when several processes start at once."""
    await accounts.ensure_token(TOKEN, b"h" * 32)
    await asyncio.gather(*(accounts.ensure_token(TOKEN, b"n" * 32) for _ in range(8)))
    assert await accounts.find_tokens([b"h" * 32]) == {}
    assert [token.token_id for token in await accounts.tokens("acme")] == ["tok_1"]
    assert await accounts.find_tokens([b"n" * 32])


async def test_of_processes_that_start_together_one_makes_the_first_token(accounts: Accounts) -> None:
    """Ten at once: one wins; later nobody does."""
    tries = [accounts.add_first_token(TOKEN._replace(token_id=f"t{n}"), bytes([n]) * 32) for n in range(10)]
    assert sorted(await asyncio.gather(*tries)) == [False] * 9 + [True]
    assert not await accounts.add_first_token(TOKEN, b"z" * 32)
    assert len(await accounts.tokens("acme")) == 1


async def test_old_and_new_secret_sign_until_the_overlap_ends(accounts: Accounts, harness: Harness) -> None:
    """After a rotation both are valid, the new one first; when its time has passed the old one is gone."""
    await accounts.ensure_account("acme", "ignored: there is a current one")
    await accounts.ensure_account("other", "theirs")
    assert await accounts.signing_secrets(["acme", "missing"]) == {"acme": ("one",)}
    await accounts.rotate_signing_secret("acme", "two")
    await accounts.rotate_signing_secret("acme", "three")
    assert await accounts.signing_secrets(["acme", "other"]) == {"acme": ("three", "two", "one"), "other": ("theirs",)}
    await harness.pool.execute("UPDATE signing_secrets SET expires_at = now() WHERE secret = 'one'")
    assert await accounts.signing_secrets(["acme"]) == {"acme": ("three", "two")}


async def test_rotations_at_once_leave_one_current_secret(accounts: Accounts) -> None:
    """Concurrent rotations follow each other; all their secrets sign for a while."""
    await asyncio.gather(*(accounts.rotate_signing_secret("acme", f"r{n}") for n in range(5)))
    assert sorted((await accounts.signing_secrets(["acme"]))["acme"]) == ["one", "r0", "r1", "r2", "r3", "r4"]


async def test_an_account_has_no_more_secrets_than_a_call_can_bear(accounts: Accounts, harness: Harness) -> None:
    """However many rotate at once, ten sign; when the time of one is over there is room for another."""
    done = await asyncio.gather(*(accounts.rotate_signing_secret("acme", f"r{n}") for n in range(15)))
    assert sum(done) == 9
    assert len((await accounts.signing_secrets(["acme"]))["acme"]) == 10
    await harness.pool.execute("UPDATE signing_secrets SET expires_at = now() WHERE secret = 'one'")
    assert await accounts.rotate_signing_secret("acme", "late")
    assert (await accounts.signing_secrets(["acme"]))["acme"][0] == "late"


async def test_the_installations_secrets_are_drawn_once(accounts: Accounts) -> None:
    """Everybody who asks gets the same 32 bytes for a name, and others for another name."""
    values = await asyncio.gather(*(accounts.instance_secret("pepper") for _ in range(10)))
    assert len(set(values)) == 1
    assert len(values[0]) == 32
    assert await accounts.instance_secret("cursor") != values[0]


async def test_of_fifty_who_reserve_one_key_one_wins(harness: Harness) -> None:
    """All hear of the same job; exactly one took the key."""
    keys = IdempotencyKeys(harness.pool)
    ids = [new_job_id(NOW, 0, number.to_bytes(8, "big")) for number in range(50)]
    held = await asyncio.gather(*(keys.reserve("acme", "k", bytes([n]), ids[n], NOW + n) for n in range(50)))
    winners = [reservation for reservation in held if reservation.is_new]
    assert len(winners) == 1
    number = ids.index(winners[0].job_id)
    assert set(held) == {
        Reservation(ids[number], bytes([number]), NOW + number, True),
        Reservation(ids[number], bytes([number]), NOW + number, False),
    }


async def test_a_key_belongs_to_its_account(harness: Harness) -> None:
    """The same key in two accounts stands for two jobs; looking does not take."""
    keys = IdempotencyKeys(harness.pool)
    first, second = (new_job_id(NOW, 0, bytes([0] * 7 + [n])) for n in (1, 2))
    assert await keys.reservation("acme", "k") is None
    assert (await keys.reserve("acme", "k", b"h", first, NOW)).is_new
    assert (await keys.reserve("other", "k", b"h", second, NOW)).is_new
    assert await keys.reservation("acme", "k") == Reservation(first, b"h", NOW, False)
