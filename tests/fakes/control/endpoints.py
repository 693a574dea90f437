"""Webhook endpoints in memory: what libs/store/control/endpoints.py keeps in tables, as dictionaries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from libs.domain.endpoints.endpoint import ENDPOINTS_MAX, Endpoint
from libs.domain.endpoints.health import Health, after_failure, disabling_reason
from libs.store.control.signing_secrets import SECRETS_MAX


class EndpointTable:
    """The endpoints of all accounts; each method is one transaction, made in one step."""

    def __init__(self) -> None:
        """Hold none."""
        self.by_id: dict[str, Endpoint] = {}
        self.secrets_of: dict[str, list[str]] = {}
        self.health: dict[str, Health] = {}
        self.untold: set[str] = set()
        self.count = 0

    def add(self, endpoint: Endpoint, secret: str) -> bool:
        """Store a new endpoint, if its account has room."""
        if len(self.of_account(endpoint.account)) >= ENDPOINTS_MAX:
            return False
        self._put(endpoint)
        self.secrets_of[endpoint.endpoint_id] = [secret]
        return True

    def get(self, account: str, endpoint_id: str) -> Endpoint | None:
        """Return the endpoint, if it is one of *account*."""
        found = self.by_id.get(endpoint_id)
        return found if found is not None and found.account == account else None

    def of_account(self, account: str) -> list[Endpoint]:
        """Return all endpoints of *account*, newest first."""
        own = [each for each in self.by_id.values() if each.account == account]
        return sorted(own, key=lambda each: each.endpoint_id, reverse=True)

    def change(self, endpoint: Endpoint) -> bool:
        """Store the next version."""
        before = self.get(endpoint.account, endpoint.endpoint_id)
        if before is None or before.version != endpoint.version - 1:
            return False
        if endpoint.disabled_reason is None:
            self.health.pop(endpoint.endpoint_id, None)
        self._put(endpoint)
        return True

    def delete(self, account: str, endpoint_id: str) -> bool:
        """Delete an endpoint with all that belongs to it."""
        if self.get(account, endpoint_id) is None:
            return False
        del self.by_id[endpoint_id], self.secrets_of[endpoint_id]
        self.health.pop(endpoint_id, None)
        self.count += 1
        return True

    def rotate_secret(self, endpoint: Endpoint, secret: str, *, overlap_s: float) -> bool:
        """Make *secret* the current one; time stands still, so an overlap never ends."""
        endpoint_id = endpoint.endpoint_id
        kept = self.secrets_of[endpoint_id]
        if len(kept) >= SECRETS_MAX:
            return False
        self.secrets_of[endpoint_id] = [secret, *(kept if overlap_s else kept[1:])]
        return True

    def secrets(self, endpoint_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Return the secrets that sign now."""
        return {each: tuple(self.secrets_of[each]) for each in endpoint_ids if each in self.secrets_of}

    def changes(self) -> int:
        """Return how many changes there were."""
        return self.count

    def everybody(self) -> list[Endpoint]:
        """Return the endpoints of all accounts, those of an account together."""
        return sorted(self.by_id.values(), key=lambda each: (each.account, each.endpoint_id))

    def sending_secrets(self, endpoint_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Return the secrets of those that are not disabled."""
        enabled = {each.endpoint_id for each in self.everybody() if each.disabled_reason is None}
        return self.secrets(each for each in endpoint_ids if each in enabled)

    def failed(self, endpoint_id: str, status_code: int | None, at: int) -> str | None:
        """Count a failure; return the reason if that disables the endpoint."""
        endpoint = self.by_id.get(endpoint_id)
        if endpoint is None or endpoint.disabled_reason is not None:
            return None
        health = self.health[endpoint_id] = after_failure(self.health.get(endpoint_id), at)
        reason = disabling_reason(health, status_code)
        if reason is not None:
            self.untold.add(endpoint_id)
            self._put(
                msgspec.structs.replace(endpoint, disabled_reason=reason, version=endpoint.version + 1, changed_at=at)
            )
        return reason

    def to_announce(self) -> list[Endpoint]:
        """Return those that Fliq has disabled and of which nobody was told."""
        found = (self.by_id.get(each) for each in sorted(self.untold))
        return [each for each in found if each is not None and each.disabled_reason is not None]

    def announced(self, endpoint: Endpoint) -> None:
        """Note that others were told."""
        self.untold.discard(endpoint.endpoint_id)

    def delivered(self, endpoint_ids: Iterable[str]) -> None:
        """End their runs of failures."""
        for each in endpoint_ids:
            self.health.pop(each, None)

    def _put(self, endpoint: Endpoint) -> None:
        self.by_id[endpoint.endpoint_id] = endpoint
        self.count += 1


class FakeEndpoints:
    """The same, for who waits for an answer: meets libs/store/control/endpoints.py."""

    def __init__(self, table: EndpointTable | None = None) -> None:
        """Keep endpoints in *table*."""
        self.table = EndpointTable() if table is None else table

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.table, name)

        async def call(*args: Any, **options: Any) -> Any:
            return method(*args, **options)

        setattr(self, name, call)
        return call
