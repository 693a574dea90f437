"""
Endpoints: the webhook endpoints of accounts, their secrets and their health. They are in these tables only, not in the log.

The query of an endpoint's URL, the values of its headers and its secrets are sealed (endpoint_rows.py). A change names the version
that it changes, and nothing happens if another change came first.
"""

from collections.abc import Iterable
from typing import Any, Final

from libs.domain.endpoints.endpoint import ENDPOINTS_MAX, Endpoint
from libs.domain.endpoints.health import Health, after_failure, disabling_reason
from libs.sealing.keyring import NO_SEALING, Keyring
from libs.store.control.endpoint_rows import opened_endpoints, stored_config
from libs.store.control.signing_secrets import OF_ENDPOINTS, rotate_secret, valid_secrets
from libs.store.errors import answer_call

_SELECT: Final = (
    "SELECT endpoint_id, account, config, version, disabled_reason, created_at, changed_at FROM webhook_endpoints"
)
_COUNT_CHANGE: Final = "UPDATE endpoint_changes SET count = count + 1"


class Endpoints:
    """
    The endpoints.

    Every method raises `StoreUnavailable` if the database does not answer in time; those that seal or open also `KeysUnavailable`.
    """

    def __init__(self, pool: Any, keyring: Keyring = NO_SEALING) -> None:
        """Use *pool*, whose commits must be synchronous; *keyring* seals and opens."""
        self._pool = pool
        self._keyring = keyring

    # --- for the account ------------------------------------------------------------------------------------------------

    @answer_call
    async def add(self, endpoint: Endpoint, secret: str) -> bool:
        """Store a new endpoint with its first secret; return False, and store nothing, if its account has `ENDPOINTS_MAX`."""
        config = await stored_config(endpoint, self._keyring)
        sealed = await self._keyring.sealed_secret(secret, account=endpoint.account, owner=endpoint.endpoint_id)
        async with self._pool.acquire() as connection, connection.transaction():
            # This lock orders concurrent calls for one account.
            await connection.execute("SELECT FROM accounts WHERE account = $1 FOR UPDATE", endpoint.account)
            query = "SELECT count(*) FROM webhook_endpoints WHERE account = $1"
            if await connection.fetchval(query, endpoint.account) >= ENDPOINTS_MAX:
                return False
            await connection.execute(
                "INSERT INTO webhook_endpoints"
                " (endpoint_id, account, config, version, disabled_reason, created_at, changed_at)"
                " VALUES ($1, $2, $3::json, $4, $5, $6, $7)",
                endpoint.endpoint_id,
                endpoint.account,
                config,
                endpoint.version,
                endpoint.disabled_reason,
                endpoint.created_at,
                endpoint.changed_at,
            )
            await connection.execute(
                "INSERT INTO endpoint_secrets (endpoint_id, secret) VALUES ($1, $2)", endpoint.endpoint_id, sealed
            )
            await connection.execute(_COUNT_CHANGE)
        return True

    @answer_call
    async def get(self, account: str, endpoint_id: str) -> Endpoint | None:
        """Return the endpoint, if it is one of *account*."""
        row = await self._pool.fetchrow(f"{_SELECT} WHERE account = $1 AND endpoint_id = $2", account, endpoint_id)
        return None if row is None else (await opened_endpoints([row], self._keyring))[0]

    @answer_call
    async def of_account(self, account: str) -> list[Endpoint]:
        """Return all endpoints of *account*, newest first."""
        found = await self._pool.fetch(f"{_SELECT} WHERE account = $1 ORDER BY endpoint_id DESC", account)
        return await opened_endpoints(found, self._keyring)

    @answer_call
    async def change(self, endpoint: Endpoint) -> bool:
        """
        Store a changed endpoint, whose version is one more than that which was read.

        Return False, and change nothing, if there is another version by now, or no such endpoint. One that is not disabled any
        more begins with no failures.
        """
        config = await stored_config(endpoint, self._keyring)
        async with self._pool.acquire() as connection, connection.transaction():
            done = await connection.execute(
                "UPDATE webhook_endpoints SET config = $4::json, version = $3, disabled_reason = $5, changed_at = $6,"
                " announced = true WHERE account = $1 AND endpoint_id = $2 AND version = $3 - 1",
                endpoint.account,
                endpoint.endpoint_id,
                endpoint.version,
                config,
                endpoint.disabled_reason,
                endpoint.changed_at,
            )
            if done != "UPDATE 1":
                return False
            if endpoint.disabled_reason is None:
                await connection.execute("DELETE FROM endpoint_health WHERE endpoint_id = $1", endpoint.endpoint_id)
            await connection.execute(_COUNT_CHANGE)
        return True

    @answer_call
    async def delete(self, account: str, endpoint_id: str) -> bool:
        """Delete an endpoint with its secrets, and return whether there was one."""
        async with self._pool.acquire() as connection, connection.transaction():
            done = await connection.execute(
                "DELETE FROM webhook_endpoints WHERE account = $1 AND endpoint_id = $2", account, endpoint_id
            )
            if done != "DELETE 1":
                return False
            await connection.execute(_COUNT_CHANGE)
        return True

    @answer_call
    async def rotate_secret(self, endpoint: Endpoint, secret: str, *, overlap_s: float) -> bool:
        """Make *secret* the current one, sealed; see `signing_secrets.rotate_secret`."""
        owner = endpoint.endpoint_id
        sealed = await self._keyring.sealed_secret(secret, account=endpoint.account, owner=owner)
        return await rotate_secret(self._pool, OF_ENDPOINTS, owner, sealed, overlap_s=overlap_s)

    # --- for what sends to them -----------------------------------------------------------------------------------------

    @answer_call
    async def secrets(self, endpoint_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Return, for those of *endpoint_ids* that exist, the secrets that sign now and can be opened, the current one first."""
        return await self._keyring.opened_secrets(await valid_secrets(self._pool, OF_ENDPOINTS, endpoint_ids))

    @answer_call
    async def sending_secrets(self, endpoint_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Return the same for those that are not disabled: to the others nothing is sent."""
        query = (
            "SELECT endpoint_id FROM webhook_endpoints WHERE endpoint_id = ANY ($1::text[]) AND disabled_reason IS NULL"
        )
        enabled = [row["endpoint_id"] for row in await self._pool.fetch(query, list(endpoint_ids))]
        return await self._keyring.opened_secrets(await valid_secrets(self._pool, OF_ENDPOINTS, enabled))

    @answer_call
    async def changes(self) -> int:
        """Return how many changes there were of all endpoints: if the number is the same, so is every endpoint."""
        count: int = await self._pool.fetchval("SELECT count FROM endpoint_changes")
        return count

    @answer_call
    async def everybody(self) -> list[Endpoint]:
        """Return the endpoints of all accounts, those of an account together."""
        found = await self._pool.fetch(f"{_SELECT} ORDER BY account, endpoint_id")
        return await opened_endpoints(found, self._keyring)

    @answer_call
    async def failed(self, endpoint_id: str, status_code: int | None, at: int) -> str | None:
        """
        Count a failure at *at*; if it disables the endpoint, return why (libs/domain/endpoints/health.py).

        An endpoint that does not exist any more, or is disabled already, has no failures.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            is_told = await connection.fetchval(
                "SELECT true FROM webhook_endpoints WHERE endpoint_id = $1 AND disabled_reason IS NULL FOR UPDATE",
                endpoint_id,
            )
            if not is_told:
                return None
            query = "SELECT first_failure_at, last_failure_at FROM endpoint_health WHERE endpoint_id = $1"
            before = await connection.fetchrow(query, endpoint_id)
            health = after_failure(None if before is None else Health(*before), at)
            await connection.execute(
                "INSERT INTO endpoint_health (endpoint_id, first_failure_at, last_failure_at) VALUES ($1, $2, $3)"
                " ON CONFLICT (endpoint_id) DO UPDATE SET first_failure_at = $2, last_failure_at = $3",
                endpoint_id,
                health.first_failure_at,
                health.last_failure_at,
            )
            reason = disabling_reason(health, status_code)
            if reason is not None:
                await connection.execute(
                    "UPDATE webhook_endpoints SET disabled_reason = $2, version = version + 1, changed_at = $3,"
                    " announced = false WHERE endpoint_id = $1",
                    endpoint_id,
                    reason,
                    at,
                )
                await connection.execute(_COUNT_CHANGE)
        return reason

    @answer_call
    async def to_announce(self) -> list[Endpoint]:
        """Return the endpoints that Fliq has disabled and of which others may not have been told yet."""
        found = await self._pool.fetch(f"{_SELECT} WHERE NOT announced AND disabled_reason IS NOT NULL")
        return await opened_endpoints(found, self._keyring)

    @answer_call
    async def announced(self, endpoint: Endpoint) -> None:
        """Note that others were told that *endpoint* was disabled."""
        await self._pool.execute(
            "UPDATE webhook_endpoints SET announced = true WHERE endpoint_id = $1 AND version = $2",
            endpoint.endpoint_id,
            endpoint.version,
        )

    @answer_call
    async def delivered(self, endpoint_ids: Iterable[str]) -> None:
        """End the runs of failures of these endpoints."""
        await self._pool.execute("DELETE FROM endpoint_health WHERE endpoint_id = ANY ($1::text[])", list(endpoint_ids))
