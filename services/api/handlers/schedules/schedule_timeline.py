"""Schedule timeline: what became of a schedule's ticks, and who changed it, read back from the log."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from aiohttp.web import BaseRequest

from libs.events import read
from libs.events.ids import partition_of
from services.api.contract.query import limit_of
from services.api.contract.schedules import timeline
from services.api.handlers.context import CHANGE_S, Context
from services.api.handlers.jobs.timeline import records_at
from services.api.handlers.schedules.schedule_rows import ScheduleRows
from services.api.http.auth import Identity
from services.api.http.reply import Reply, json_reply


class ScheduleTimeline:
    """The handler for the timeline of a schedule."""

    def __init__(self, context: Context, rows: ScheduleRows) -> None:
        self._c = context
        self._rows = rows

    async def events(self, request: BaseRequest, identity: Identity, schedule_id: str) -> Reply:
        """GET /v1/schedules/{schedule_id}/events: the newest records about it, oldest first."""
        limit = limit_of(request.query)
        async with self._c.lists.turn(identity.account), asyncio.timeout(CHANGE_S):
            state = (await self._rows.find(identity.account, schedule_id, fresh=True)).state
            rows = await self._c.queries.list_jobs(identity.account, schedule_id=schedule_id, limit=limit)
            partition = partition_of(schedule_id)
            begin = await self._c.log.begin(partition)
            # Trimmed records are gone from the timeline; the counters of the schedule keep their number.
            positions = [at for at in timeline.newest(state, [job for job, _ in rows], limit) if at >= begin]
            records = await records_at(self._c.log, partition, positions)
            await cast(Any, request.protocol).pause()
            events = [
                timeline.entry(read(partition, record.envelope), partition=partition, position=number, at=record.at)
                for number, record in enumerate(records)
            ]
        return json_reply(200, {"events": events})
