"""
StaleSecrets: webhook endpoints and signing secrets that are not sealed under the newest key of their account, and seals them anew.

They are from before there were keys, or from before `fliq keys rotate`. Unlike jobs, they are not forgotten one day. A row that is
changed meanwhile is left to who changes it, and one that can never be opened stays as it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple

from libs.sealing.keyring import Keyring
from libs.store.control.endpoint_rows import opened_endpoints, stored_config
from libs.store.control.signing_secrets import OF_ACCOUNTS, OF_ENDPOINTS, SecretTable
from libs.store.errors import store_call

PAGE: Final = 200
_NEWEST: Final = """
newest AS (
    SELECT DISTINCT ON (account) account, key_id FROM account_keys WHERE wrapped IS NOT NULL
    ORDER BY account, created_at DESC, key_id DESC
)"""
_ENDPOINT_IN_CLEAR: Final = """
config->'sealed' IS NULL AND (strpos(config->>'url', '?') > 0 OR coalesce(config->>'headers', '{}') <> '{}')"""
_TEXT_IN_CLEAR: Final = "secret NOT LIKE 'sealed:%'"
_STALE_ENDPOINTS: Final = f"""
WITH {_NEWEST}
SELECT endpoint_id, account, config, version, disabled_reason, created_at, changed_at
FROM webhook_endpoints LEFT JOIN newest USING (account)
WHERE endpoint_id > $1 AND ({_ENDPOINT_IN_CLEAR} OR config->'sealed'->>'key' <> key_id) ORDER BY endpoint_id LIMIT {PAGE}
"""  # noqa: S608 - our own names
_COUNT: Final = f"""
SELECT (SELECT count(*) FROM webhook_endpoints WHERE {_ENDPOINT_IN_CLEAR}) AS endpoints,
    (SELECT count(*) FROM signing_secrets WHERE {_TEXT_IN_CLEAR})
    + (SELECT count(*) FROM endpoint_secrets WHERE {_TEXT_IN_CLEAR}) AS secrets
"""  # noqa: S608


class ClearCount(NamedTuple):
    """How many webhook endpoints and signing secrets, also such as sign no more, stand in clear and could be sealed."""

    endpoints: int
    secrets: int


class StaleSecrets:
    """Counts and seals. Every method raises `StoreUnavailable` if the database does not answer in time."""

    def __init__(self, pool: Any) -> None:
        """Use *pool*, whose commits must be synchronous."""
        self._pool = pool

    @store_call
    async def count_clear(self) -> ClearCount:
        """Count what stands in clear."""
        return ClearCount(**await self._pool.fetchrow(_COUNT))

    async def seal(self, keyring: Keyring) -> ClearCount:
        """
        Seal all that is stale under the newest keys; return how many endpoints and secrets that were.

        Every process must be of a build that can open them.

        Raises:
            KeysUnavailable: a key cannot be had; what was sealed stays sealed.
        """
        endpoints = [await self._seal_endpoint(row, keyring) async for row in self._stale_endpoints()]
        secrets = [
            await self._seal_secret(table, row, keyring)
            for table in (OF_ACCOUNTS, OF_ENDPOINTS)
            async for row in self._stale_secrets(table)
        ]
        return ClearCount(sum(endpoints), sum(secrets))

    async def _stale_endpoints(self) -> AsyncIterator[Any]:
        after = ""
        while found := await self._fetch(_STALE_ENDPOINTS, after):
            for row in found:
                yield row
            after = found[-1]["endpoint_id"]

    async def _stale_secrets(self, table: SecretTable) -> AsyncIterator[Any]:
        query = f"""
        WITH {_NEWEST}
        SELECT {table.owner} AS owner, account, secret
        FROM {table.name} JOIN {table.owners} USING ({table.owner}) LEFT JOIN newest USING (account)
        WHERE ({table.owner}, secret) > ($1, $2) AND ({_TEXT_IN_CLEAR} OR split_part(secret, ':', 2) <> key_id)
        ORDER BY {table.owner}, secret LIMIT {PAGE}
        """  # noqa: S608
        after = ("", "")
        while found := await self._fetch(query, *after):
            for row in found:
                yield row
            after = (found[-1]["owner"], found[-1]["secret"])

    @store_call
    async def _fetch(self, query: str, *values: object) -> list[Any]:
        found: list[Any] = await self._pool.fetch(query, *values)
        return found

    @store_call
    async def _seal_endpoint(self, row: Any, keyring: Keyring) -> bool:
        (endpoint,) = await opened_endpoints([row], keyring)
        if endpoint.is_shredded:
            return False
        # As text: what was read byte for byte is what is replaced.
        done = await self._pool.execute(
            "UPDATE webhook_endpoints SET config = $3::json WHERE endpoint_id = $1 AND config::text = $2",
            endpoint.endpoint_id,
            row["config"],
            await stored_config(endpoint, keyring),
        )
        return bool(done == "UPDATE 1")

    @store_call
    async def _seal_secret(self, table: SecretTable, row: Any, keyring: Keyring) -> bool:
        owner, kept = row["owner"], row["secret"]
        opened = (await keyring.opened_secrets({owner: [kept]})).get(owner)
        if opened is None:
            return False
        done = await self._pool.execute(
            f"UPDATE {table.name} SET secret = $3 WHERE {table.owner} = $1 AND secret = $2",  # noqa: S608
            owner,
            kept,
            await keyring.sealed_secret(opened[0], account=row["account"], owner=owner),
        )
        return bool(done == "UPDATE 1")
