"""
Accounts: accounts, API tokens, signing secrets and the secrets of the installation. They are in these tables only, not in the log.

Only keyed hashes of tokens are stored. The caller makes tokens and secrets and hashes them, so nothing here is random, except for
the installation's own secrets, which the database generates. Instants are ms since 1970 UTC.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, NamedTuple

from libs.sealing.keyring import NO_SEALING, Keyring
from libs.store.control.signing_secrets import OF_ACCOUNTS, rotate_secret, valid_secrets
from libs.store.errors import answer_call

ROTATION_OVERLAP_S: Final = 86_400.0  # docs/api.md, "Signatures": old and new both sign for 24 h
TOKENS_MAX: Final = 1_000  # of an account, without revoked ones: all of them are listed in one answer
_FIRST_TOKEN_LOCK: Final = 0x666C6972

_INSTANTS: Final = ", ".join(
    f"(extract(epoch FROM {name}) * 1000)::int8 AS {name}" for name in ("created_at", "expires_at", "revoked_at")
)
_SELECT: Final = f"SELECT token_id, account, name, scopes, last_four, {_INSTANTS}, parent FROM api_tokens"  # noqa: S608 - our own names
_SELECT_HASHED: Final = _SELECT.replace("SELECT ", "SELECT token_hash, ", 1)
_COUNT_KEPT: Final = "SELECT count(*) FROM api_tokens WHERE account = $1 AND revoked_at IS NULL"
_INSERT: Final = (
    "INSERT INTO api_tokens (token_id, account, name, token_hash, scopes, last_four, created_at, expires_at, parent)"
    " VALUES ($1, $2, $3, $4, $5, $6, to_timestamp($7::float8 / 1000), to_timestamp($8::float8 / 1000), $9)"
)
_VALID: Final = (
    "SELECT EXISTS (SELECT FROM api_tokens WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())"
)
_HAS_CURRENT: Final = "SELECT EXISTS (SELECT FROM signing_secrets WHERE account = $1 AND expires_at IS NULL)"
_HAS_PARENT: Final = f"{_VALID} AND token_id = $1)"
_HAS_SCOPE: Final = f"{_VALID} AND account = $1 AND scopes && $2::text[])"
# A descendant is also found below a token that is revoked already: an older build revokes a token alone.
_REVOKE: Final = """
WITH RECURSIVE family AS (
    SELECT token_id FROM api_tokens WHERE account = $1 AND token_id = $2 AND revoked_at IS NULL
    UNION SELECT api_tokens.token_id FROM api_tokens JOIN family ON api_tokens.parent = family.token_id
)
UPDATE api_tokens SET revoked_at = now()
FROM family WHERE api_tokens.token_id = family.token_id AND revoked_at IS NULL RETURNING api_tokens.token_id
"""


class ParentGone(Exception):
    """The token that makes another one is not valid any more."""


class LastToken(Exception):
    """No valid token with the scopes asked for would be left."""


class Token(NamedTuple):
    """
    A token as it is stored: everything but the secret.

    Args:
        last_four: the secret's last characters, so that a person recognises it in a list.
        expires_at: from when it is refused; None if it does not expire.
        revoked_at: since when it is refused; None if it is not revoked.
        parent: the token that made it and that it is revoked with; None if an operator made it.
    """

    token_id: str
    account: str
    name: str
    scopes: frozenset[str]
    last_four: str
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    parent: str | None = None


class Account(NamedTuple):
    """An account, since when there is one (ms since 1970), and how many tokens it has that are not revoked."""

    name: str
    created_at: int
    tokens: int


class Accounts:
    """The control plane. Every method raises `StoreUnavailable` if the database does not answer in time."""

    def __init__(self, pool: Any, keyring: Keyring = NO_SEALING) -> None:
        """Use *pool*, whose commits must be synchronous; *keyring* seals and opens signing secrets."""
        self._pool = pool
        self._keyring = keyring

    @answer_call
    async def all(self) -> list[Account]:
        """Return all accounts, by name."""
        found = await self._pool.fetch(
            "SELECT account, (extract(epoch FROM created_at) * 1000)::int8 AS created_at,"
            " (SELECT count(*) FROM api_tokens WHERE api_tokens.account = accounts.account AND revoked_at IS NULL) AS tokens"
            " FROM accounts ORDER BY account"
        )
        return [Account(row["account"], row["created_at"], row["tokens"]) for row in found]

    @answer_call
    async def ensure_account(self, account: str, signing_secret: str) -> bool:
        """
        Make *account* if it is not there, and give it *signing_secret* if it has none that is current.

        Return whether it was made.

        Raises:
            AccountErased: the account was erased; nothing is made.
            KeysUnavailable: the secret cannot be sealed at the moment.
        """
        if await self._pool.fetchval(_HAS_CURRENT, account):
            return False
        sealed = await self._keyring.sealed_secret(signing_secret, account=account, owner=account)
        async with self._pool.acquire() as connection, connection.transaction():
            done = await connection.execute(
                "INSERT INTO accounts (account) VALUES ($1) ON CONFLICT DO NOTHING", account
            )
            await connection.execute(
                "INSERT INTO signing_secrets (account, secret) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                account,
                sealed,
            )
        return bool(done == "INSERT 0 1")

    @answer_call
    async def is_erased(self, account: str) -> bool:
        """Return whether *account* was erased with its keys: its name is not used again."""
        query = "SELECT EXISTS (SELECT FROM account_keys WHERE account = $1 AND shredded_at IS NOT NULL)"
        return bool(await self._pool.fetchval(query, account))

    # --- tokens ---------------------------------------------------------------------------------------------------------

    @answer_call
    async def find_tokens(self, token_hashes: Collection[bytes]) -> dict[bytes, Token]:
        """Return the tokens with these hashes, by hash, unless they are revoked; they may have expired."""
        found = await self._pool.fetch(
            f"{_SELECT_HASHED} WHERE token_hash = ANY ($1::bytea[]) AND revoked_at IS NULL", list(token_hashes)
        )
        return {row["token_hash"]: _token(row) for row in found}

    @answer_call
    async def add_token(self, token: Token, token_hash: bytes) -> bool:
        """
        Store a new token of an account that exists.

        If the account has `TOKENS_MAX` tokens, revoke its expired ones. If that makes no room, store nothing and return False.

        Raises:
            ParentGone: its parent is revoked or has expired; nothing is stored.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            # This lock orders concurrent calls for one account.
            await connection.execute("SELECT FROM accounts WHERE account = $1 FOR UPDATE", token.account)
            if token.parent is not None and not await connection.fetchval(_HAS_PARENT, token.parent):
                raise ParentGone
            if await connection.fetchval(_COUNT_KEPT, token.account) >= TOKENS_MAX:
                await connection.execute(
                    "UPDATE api_tokens SET revoked_at = now()"
                    " WHERE account = $1 AND revoked_at IS NULL AND expires_at <= now()",
                    token.account,
                )
                if await connection.fetchval(_COUNT_KEPT, token.account) >= TOKENS_MAX:
                    return False
            await connection.execute(_INSERT, *_values(token, token_hash))
        return True

    @answer_call
    async def ensure_token(self, token: Token, token_hash: bytes) -> None:
        """
        Store a token that the operator set. Afterwards it is valid for this account, whatever was stored before.

        Its id is derived from the token. A row with that id and another hash was made with another key, and is deleted.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            # Processes that start together insert the same row. Id and hash are both unique, and ON CONFLICT can name only one.
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _FIRST_TOKEN_LOCK)
            await connection.execute(
                "DELETE FROM api_tokens WHERE token_id = $1 AND token_hash <> $2", token.token_id, token_hash
            )
            await connection.execute(
                f"{_INSERT} ON CONFLICT (token_hash) DO UPDATE SET account = excluded.account, scopes = excluded.scopes,"
                " expires_at = excluded.expires_at, parent = excluded.parent, revoked_at = NULL",
                *_values(token, token_hash),
            )

    @answer_call
    async def add_first_token(self, token: Token, token_hash: bytes) -> bool:
        """Store *token* if there is none yet, and return whether it was stored. Of processes that start together one does."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _FIRST_TOKEN_LOCK)
            if await connection.fetchval("SELECT EXISTS (SELECT FROM api_tokens)"):
                return False
            await connection.execute(_INSERT, *_values(token, token_hash))
        return True

    @answer_call
    async def tokens(self, account: str) -> list[Token]:
        """Return the tokens of *account* that are not revoked, newest first."""
        found = await self._pool.fetch(
            f"{_SELECT} WHERE account = $1 AND revoked_at IS NULL ORDER BY api_tokens.created_at DESC, token_id DESC",
            account,
        )
        return [_token(row) for row in found]

    @answer_call
    async def revoke(self, account: str, token_id: str, *, keeping: Collection[str] = ()) -> tuple[str, ...]:
        """
        Refuse a token of *account*, and all that it made, from now on. Return their ids; none if it is no token or was revoked.

        Args:
            keeping: scopes, one of which a valid token of the account must have afterwards; none if that does not matter.

        Raises:
            LastToken: no valid token would have one of these scopes; nothing is revoked.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            # This lock orders concurrent calls for one account: of two last tokens that revoke each other, one stays.
            await connection.execute("SELECT FROM accounts WHERE account = $1 FOR UPDATE", account)
            revoked = tuple(row["token_id"] for row in await connection.fetch(_REVOKE, account, token_id))
            if revoked and keeping and not await connection.fetchval(_HAS_SCOPE, account, list(keeping)):
                raise LastToken
        return revoked

    # --- signing secrets --------------------------------------------------------------------------------------------------

    @answer_call
    async def signing_secrets(self, accounts: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """
        Return, for those of *accounts* that have any, the secrets that sign now, the current one first.

        Those that can never be opened are left out.

        Raises:
            KeysUnavailable: one is sealed, and the master key cannot be had at the moment.
        """
        return await self._keyring.opened_secrets(await valid_secrets(self._pool, OF_ACCOUNTS, accounts))

    @answer_call
    async def rotate_signing_secret(self, account: str, secret: str, *, overlap_s: float = ROTATION_OVERLAP_S) -> bool:
        """Make *secret* the current one of *account*, sealed; see `signing_secrets.rotate_secret`."""
        sealed = await self._keyring.sealed_secret(secret, account=account, owner=account)
        return await rotate_secret(self._pool, OF_ACCOUNTS, account, sealed, overlap_s=overlap_s)

    # --- the installation ---------------------------------------------------------------------------------------------------

    @answer_call
    async def instance_secret(self, name: str) -> bytes:
        """Return this installation's 32 secret bytes called *name*, drawn on first use and the same ever after."""
        await self._pool.execute(
            "INSERT INTO instance (name, value)"
            " VALUES ($1, uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())) ON CONFLICT DO NOTHING",
            name,
        )
        value: bytes = await self._pool.fetchval("SELECT value FROM instance WHERE name = $1", name)
        return value


def _values(token: Token, token_hash: bytes) -> Sequence[Any]:
    return (
        token.token_id,
        token.account,
        token.name,
        token_hash,
        sorted(token.scopes),
        token.last_four,
        token.created_at,
        token.expires_at,
        token.parent,
    )


def _token(row: Any) -> Token:
    fields = {name: row[name] for name in Token._fields}
    fields["scopes"] = frozenset(row["scopes"])
    return Token(**fields)
