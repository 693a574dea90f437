"""System: what an operator sees of the whole installation: partitions, who serves them, how far they are, and the processes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from aiohttp.web import BaseRequest
from msgspec import to_builtins

from libs.log.ends import ends_of
from libs.log.port import Log
from libs.store.examination.findings import Finding
from libs.store.leases.lease_report import HeldLease, Member
from services.api.handlers.context import Context
from services.api.http.auth import Identity
from services.api.http.reply import Reply, json_reply

ASK_S: Final = 4.0
FOLD: Final = "scheduler"  # the role whose position is that of the tables


class Report(Protocol):
    """What is asked of the tables: libs/store/leases/lease_report.py."""

    async def leases(self) -> Sequence[HeldLease]:
        """Return the lease of every role on every partition."""

    async def members(self) -> Sequence[Member]:
        """Return the processes that were seen lately."""


class Checks(Protocol):
    """What says what is wrong: libs/store/examination/examination.py."""

    async def findings(self, log: Log) -> Sequence[Finding]:
        """Return what was found; raises nothing."""


class System:
    """The handlers of the system."""

    def __init__(self, context: Context, report: Report, checks: Checks, version: str) -> None:
        self._c = context
        self._report = report
        self._checks = checks
        self._version = version

    async def get(self, _: BaseRequest, identity: Identity, __: str) -> Reply:
        """GET /v1/system."""
        async with self._c.lists.turn(identity.account):
            async with asyncio.timeout(ASK_S):
                leases, members = await asyncio.gather(self._report.leases(), self._report.members())
            ends, _trouble = await ends_of(self._c.log, self._c.read_index.partitions, ASK_S)
        return json_reply(200, {"version": self._version, **shown(leases, members, ends)})

    async def findings(self, _: BaseRequest, identity: Identity, __: str) -> Reply:
        """GET /v1/system/findings."""
        async with self._c.lists.turn(identity.account):
            found = await self._checks.findings(self._c.log)
        return json_reply(200, {"findings": [to_builtins(each) for each in found]})


def shown(leases: Sequence[HeldLease], members: Sequence[Member], ends: Mapping[int, int]) -> dict[str, Any]:
    """Return what the API says; *ends* lacks the partitions of which the log does not answer."""
    partitions: dict[int, dict[str, Any]] = {
        partition: {"partition": partition, "end": ends.get(partition), "lag": None, "owners": []}
        for partition in sorted({lease.partition for lease in leases} | ends.keys())
    }
    for lease in leases:
        found = partitions[lease.partition]
        found["owners"].append({"role": lease.role, "node": lease.node if lease.is_held else None})
        if lease.role == FOLD and found["end"] is not None:
            found["lag"] = max(0, found["end"] - 1 - lease.position)
    return {
        "partitions": list(partitions.values()),
        "members": [
            {
                "node": each.node,
                "role": each.role,
                "version": each.version,
                "live": each.is_live,
                "draining": each.is_draining,
                "partitions": sum(
                    lease.is_held and lease.node == each.node and lease.role == each.role for lease in leases
                ),
                "seen_seconds": round(each.seen_s, 3),
            }
            for each in members
        ],
    }
