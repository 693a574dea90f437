"""`fliq tokens` and `fliq accounts`: what an operator does when the only token is lost."""

from __future__ import annotations

import asyncpg
import pytest

from libs.store.control.accounts import Accounts
from services.api.contract.token_text import is_well_formed, token_hash
from services.process.resources import StartError
from tests.conformance.commands.conftest import Fliq


async def test_case_19_a_lost_token_is_replaced(fliq: Fliq, filled_dsn: str) -> None:
    """A new token of an account is shown once, is listed, is the one that the API looks up, and can be revoked."""
    await fliq("accounts", "create", "billing")

    made = (
        await fliq("tokens", "create", "--account", "billing", "--name", "laptop", "--scopes", "read", "--json")
    ).json
    listed = (await fliq("tokens", "list", "--account", "billing", "--json")).json

    assert is_well_formed(made["token"])
    assert [(each["id"], each["name"], each["scopes"]) for each in listed] == [(made["id"], "laptop", "read")]
    assert "token" not in listed[0]
    pool = await asyncpg.create_pool(filled_dsn, min_size=1, max_size=1, server_settings={"search_path": "fliq"})
    try:
        accounts = Accounts(pool)
        hashed = token_hash(await accounts.instance_secret("key"), made["token"])
        found = (await accounts.find_tokens([hashed]))[hashed]
        assert (found.account, found.scopes, found.last_four) == ("billing", frozenset({"read"}), made["token"][-4:])
    finally:
        await pool.close()

    assert (await fliq("tokens", "revoke", "--account", "billing", made["id"])).code == 0
    assert (await fliq("tokens", "list", "--account", "billing", "--json")).json == []


async def test_accounts_are_listed(fliq: Fliq) -> None:
    """With their tokens counted; the same for a person."""
    await fliq("accounts", "create", "billing")
    await fliq("tokens", "create", "--account", "billing")

    listed = {each["account"]: each["tokens"] for each in (await fliq("accounts", "list", "--json")).json}

    assert listed["billing"] == 1
    assert "billing" in (await fliq("accounts", "list")).text


async def test_limits_of_an_account(fliq: Fliq) -> None:
    """They are as the settings say until they are changed; `off` is no limit, `default` goes back."""
    await fliq("accounts", "create", "billing")

    async def per_day(*words: str) -> tuple[object, str]:
        rows = (await fliq("accounts", "limits", "billing", *words, "--json")).json
        row = next(each for each in rows if each["limit"] == "executions per day")
        return row["value"], row["from"]

    assert await per_day() == (None, "settings")
    assert await per_day("--executions-per-day", "5000") == (5000, "account")
    assert await per_day() == (5000, "account")
    assert await per_day("--executions-per-day", "off") == (None, "account")
    assert await per_day("--executions-per-day", "default") == (None, "settings")
    assert "executions per day" in (await fliq("accounts", "limits", "billing")).text


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("tokens", "create", "--account", "nobody"), "there is no account nobody"),
        (("tokens", "revoke", "--account", "billing", "tok_0"), "no valid token tok_0"),
        (("accounts", "limits", "nobody"), "there is no account nobody"),
        (("accounts", "create", "billing"), "the account billing is there already"),
    ],
)
async def test_a_mistake_is_one_line(fliq: Fliq, words: tuple[str, ...], reason: str) -> None:
    """It says what is wrong, and the exit code is 1."""
    await fliq("accounts", "create", "billing")

    with pytest.raises(StartError, match=reason) as error:
        await fliq(*words)

    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "words",
    [
        ("tokens", "create", "--scopes", "admin"),
        ("accounts", "create", "a b"),
        ("accounts", "create", "_fliq"),
        ("accounts", "limits", "billing", "--executions-per-day", "0"),
    ],
)
async def test_wrong_usage(fliq: Fliq, words: tuple[str, ...]) -> None:
    """It is exit code 2."""
    with pytest.raises(SystemExit) as error:
        await fliq(*words)

    assert error.value.code == 2
