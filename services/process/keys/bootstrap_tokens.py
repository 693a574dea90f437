"""
Bootstrap tokens: the accounts and tokens that exist after a start.

Tokens that the operator names (`FLIQ_BOOTSTRAP_TOKENS`) are made and kept valid. If none is named and there is no token at all,
one is made for the account `default` and shown once, on standard output: it is written nowhere else.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from hashlib import sha256
from typing import Final, TextIO

import structlog

from libs.egress.signing import new_secret
from libs.runtime.clock import Clock, Entropy
from libs.store.control.accounts import Accounts, Token
from services.api.contract.token_text import ALL_SCOPES, new_token, token_hash

DEFAULT_ACCOUNT: Final = "default"

_log = structlog.get_logger("process")


async def bootstrap(
    accounts: Accounts,
    named: Sequence[tuple[str, str]] | None,
    *,
    pepper: bytes,
    entropy: Entropy,
    clock: Clock,
    out: TextIO | None = None,
) -> str | None:
    """Make the accounts and tokens; return the token that was made and shown, if one was."""
    if named is not None:
        for account, token in named:
            if await accounts.is_erased(account):
                _log.warning("erased_account_not_made", account=account, reason="take it out of FLIQ_BOOTSTRAP_TOKENS")
                continue
            await accounts.ensure_account(account, new_secret(entropy.entropy(32)))
            # The id follows from the token, so that every process that starts with it uses the same row.
            token_id = "tok_" + sha256(token.encode()).hexdigest()[:20]
            await accounts.ensure_token(_row(token_id, account, token, "bootstrap", clock), token_hash(pepper, token))
        return None
    if await accounts.is_erased(DEFAULT_ACCOUNT):
        return None
    await accounts.ensure_account(DEFAULT_ACCOUNT, new_secret(entropy.entropy(32)))
    token = new_token(entropy.entropy)
    row = _row("tok_" + entropy.entropy(10).hex(), DEFAULT_ACCOUNT, token, "first", clock)
    if not await accounts.add_first_token(row, token_hash(pepper, token)):
        return None
    show(f"\n  API token of account `{DEFAULT_ACCOUNT}`, shown this once:\n\n      {token}\n\n", out)
    return token


async def installation_key(secret_key: str | None, accounts: Accounts) -> bytes:
    """Return the key under which tokens are hashed: FLIQ_SECRET_KEY, else the one that the database keeps."""
    return secret_key.encode() if secret_key else await accounts.instance_secret("key")


def show(text: str, out: TextIO | None = None) -> None:
    """Print *text* for a person, on standard output unless *out* is given."""
    shown = out or sys.stdout
    try:
        shown.write(text)
        shown.flush()
    except OSError:
        pass  # nobody reads the output: Fliq runs all the same


def _row(token_id: str, account: str, token: str, name: str, clock: Clock) -> Token:
    return Token(token_id, account, name, frozenset(ALL_SCOPES), token[-4:], clock.now())
