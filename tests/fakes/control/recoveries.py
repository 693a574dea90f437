"""Recoveries of webhook endpoints, in a dictionary: meets libs/store/control/recoveries.py."""

from __future__ import annotations

import msgspec

from libs.domain.endpoints.recovery import Recovery, RecoveryStatus
from tests.fakes.control.endpoints import EndpointTable


class FakeRecoveries:
    """The last recovery of each endpoint of *endpoints*."""

    def __init__(self, endpoints: EndpointTable) -> None:
        self.endpoints = endpoints
        self.last: dict[str, Recovery] = {}
        self.fails: Exception | None = None

    async def begin(self, recovery: Recovery) -> bool:
        before = self.last.get(recovery.endpoint_id)
        if before is not None and before.ended_at is None:
            return False
        self.last[recovery.endpoint_id] = recovery
        return True

    async def of_endpoint(self, account: str, endpoint_id: str) -> Recovery | None:
        return self.last.get(endpoint_id) if self.endpoints.get(account, endpoint_id) is not None else None

    async def running(self, limit: int) -> list[Recovery]:
        return [each for each in self.last.values() if each.ended_at is None][:limit]

    async def advance(self, before: Recovery, *, reached: str, count: int) -> None:
        if self.fails is not None:
            raise self.fails
        if self.last.get(before.endpoint_id) == before:
            self.last[before.endpoint_id] = msgspec.structs.replace(
                before, reached=reached, recovered_count=before.recovered_count + count
            )

    async def end(self, recovery: Recovery, status: RecoveryStatus, at: int) -> None:
        found = self.last[recovery.endpoint_id]
        if found.request_id == recovery.request_id and found.ended_at is None:
            self.last[recovery.endpoint_id] = msgspec.structs.replace(found, status=status, ended_at=at)
