"""Account: what the account that asks may use, what it uses, and what the token that asks may do."""

from __future__ import annotations

from typing import Any, Final

from aiohttp.web import BaseRequest

from libs.domain.instants import rfc3339
from libs.domain.job import JobStatus
from libs.store.control.limits import Limits
from libs.store.reads.activity import HOUR_MS, STATUS_MAX, Activity, ActivityReader
from services.api.contract.instants import utc_day
from services.api.contract.job_answers import STATUSES_OF
from services.api.handlers.context import Context
from services.api.http.auth import Identity
from services.api.http.reply import Reply, json_reply
from services.api.state.consistency import FRESH, STALE

HOURS: Final = 24
_ENDS: Final = {JobStatus.COMPLETED: "success", JobStatus.FAILED: "failed", JobStatus.CANCELLED: "cancelled"}


class Account:
    """The handler of the account."""

    def __init__(self, context: Context, activity: ActivityReader) -> None:
        self._c = context
        self._activity = activity

    async def get(self, _: BaseRequest, identity: Identity, __: str) -> Reply:
        """GET /v1/account."""
        account = identity.account
        limits = self._c.limits_of(account)
        waiting = await self._c.use.use(account)
        use: dict[str, Any] = {
            "executions_today": await self._c.queries.usage(account, utc_day(self._c.clock.now())),
            "waiting_jobs": waiting.jobs if waiting is not None and limits.waiting_jobs else None,
            "stored_bytes": waiting.stored_bytes if waiting is not None and limits.stored_bytes else None,
        }
        token = {"id": identity.token_id, "scopes": sorted(identity.scopes)}
        return json_reply(200, {"account": account, "limits": _shown(limits), "use": use, "token": token})

    async def activity(self, _: BaseRequest, identity: Identity, __: str) -> Reply:
        """GET /v1/account/activity."""
        account, now = identity.account, self._c.clock.now()
        since = now // HOUR_MS * HOUR_MS - (HOURS - 1) * HOUR_MS
        is_fresh = await self._c.read_index.everywhere()
        async with self._c.lists.turn(account):
            found = await self._activity.activity(
                account, self._c.read_index.partitions, since=since, calls_since=now - HOUR_MS, now=now
            )
        return json_reply(200, activity_shown(found, since), FRESH if is_fresh else STALE)


def activity_shown(found: Activity, since: int) -> dict[str, Any]:
    """Return what the API says of *found*, whose first hour begins at *since*."""
    hours = [
        {"at": rfc3339(since + hour * HOUR_MS), "success": 0, "failed": 0, "cancelled": 0} for hour in range(HOURS)
    ]
    for hour, status, count in found.ended:
        if 0 <= hour < HOURS:
            hours[hour][_ENDS[status]] = count
    late = found.lateness_ms
    return {
        "hours": hours,
        "due": found.due,
        "oldest_due_at": None if found.oldest_due_at is None else rfc3339(found.oldest_due_at),
        "lateness": None
        if late is None
        else {"calls": found.calls, "p50_ms": late[0], "p99_ms": late[1], "max_ms": late[2]},
        "partial": found.is_partial,
        "jobs": {
            word: min(sum(found.counts[status] for status in statuses), STATUS_MAX)
            for word, statuses in STATUSES_OF.items()
        },
    }


def _shown(limits: Limits) -> dict[str, int | None]:
    return {name: value or None for name, value in limits._asdict().items()}
