"""Schedule rows: finding a schedule, saying what it is now, and changing it, for all handlers about schedules."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

import msgspec

from libs.domain.calendar.recorded_rule import rule_of
from libs.domain.calendar.rule import Rule
from libs.domain.schedule import ScheduleState, ScheduleStatus
from libs.domain.schedules.tick_decision import NextRun, next_run, rule_of_schedule
from libs.events import Event, ScheduleRule, Spec
from libs.events.ids import is_id, partition_of, tick_job_id
from libs.log.port import LogUnavailable
from services.api.contract.api_error import ApiError, not_found, outcome_unknown
from services.api.contract.schedules import run_times, schedule_answers
from services.api.handlers.context import CHANGE_S, Context
from services.api.http.reply import Reply, json_reply
from services.api.state.consistency import FRESH, STALE

LOOKED_AT: Final = 20  # newest jobs of a schedule among which its last run is looked for


class Row(NamedTuple):
    """A schedule and what its jobs call."""

    state: ScheduleState
    spec: Spec


class ScheduleRows:
    """What the handlers of schedules share."""

    def __init__(self, context: Context) -> None:
        self._c = context

    async def find(self, account: str, schedule_id: str, *, fresh: bool = False) -> Row:
        """
        Return the account's schedule; raises 404.

        Set *fresh* before skipping a change as a no-op: a newer event may not be in the tables yet.
        """
        found = await self.look(account, schedule_id, fresh=fresh) if is_id(schedule_id, "sched") else None
        if found is None or found.state.status == ScheduleStatus.DELETED:
            raise not_found("schedule")
        return found

    async def look(self, account: str, schedule_id: str, *, fresh: bool = False) -> Row | None:
        """Return the schedule of a well-formed id, even a deleted one; None if there is none."""
        partition = partition_of(schedule_id)
        if fresh and not await self._c.read_index.partition(partition):
            raise LogUnavailable("the log does not say where it ends")
        queries = self._c.queries
        found = await self._c.read_index.find(partition, lambda: queries.get_schedule(account, schedule_id))
        return None if found is None else Row(*found)

    async def as_of_now(self, row: Row) -> Row:
        """
        Return the schedule as a caller sees it now.

        A tick is written a little ahead of its instant. Until that has come, the last run is the one before it.
        """
        state, now = row.state, self._c.clock.now()
        if state.last_run_at is not None and state.last_run_at > now:
            jobs = await self._c.queries.list_jobs(state.account, schedule_id=state.schedule_id, limit=LOOKED_AT)
            # Runs that a caller asked for are no ticks.
            ticks = [
                job.scheduled_at for job, _ in jobs if job.job_id == tick_job_id(state.schedule_id, job.scheduled_at)
            ]
            last_run_at = next((tick_at for tick_at in ticks if tick_at <= now), None)
            return row._replace(state=msgspec.structs.replace(state, last_run_at=last_run_at))
        return row

    async def change(self, event: Event, account: str, schedule_id: str) -> None:
        """Append *event* and wait until the tables hold it, so that every later read sees the change."""
        partition = partition_of(schedule_id)
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + CHANGE_S
        position = await self._c.append_change(account, partition, self._c.sealed(event, account), what="the change")
        if not await self._c.read_index.applied(partition, position, wait_s=ends_at - loop.time()):
            raise outcome_unknown("the change is recorded but not in force yet; read the schedule again")

    async def answer(self, row: Row, *, with_payload: bool, is_fresh: bool = True) -> Reply:
        """Return the answer that shows *row*, with its version as entity tag."""
        now = self._c.clock.now()
        state, spec = await self.as_of_now(row)
        headers = {"ETag": f'"v{state.version}"', **(FRESH if is_fresh else STALE)}
        found = schedule_answers.schedule(state, spec, now, with_payload=with_payload)
        warning = await self._warning(state, now)
        return json_reply(200, found if warning is None else found | {"warning": warning}, headers)

    async def _warning(self, state: ScheduleState, now: int) -> str | None:
        """Return what somebody should look into: its runs take longer than the time between them."""
        rule = rule_of_schedule(state, self._c.zones.find)
        if rule is None or state.last_run_at is None:
            return None
        found = await self._c.queries.list_jobs(state.account, schedule_id=state.schedule_id, limit=run_times.LOOKED_AT)
        return run_times.warning_about(rule, state.schedule_id, [job for job, _ in found], now)

    def rule(self, state: ScheduleState) -> Rule:
        """Return the schedule's rule; raises 409 if this process cannot read it."""
        rule = rule_of_schedule(state, self._c.zones.find)
        if rule is None:
            raise rule_not_known()
        return rule

    def rule_of(self, record: ScheduleRule) -> Rule:
        """Return the rule that *record* describes; raises 409 if this process cannot read it."""
        rule = rule_of(record, self._c.zones.find)
        if rule is None:
            raise rule_not_known()
        return rule

    def next_run(self, rule: Rule, schedule_id: str, after: int) -> NextRun:
        """Return the first run after *after*; raises 409 if there is none."""
        following = next_run(rule, schedule_id, after)
        if following.run_at is None:
            raise never_fires()
        return following


def rule_not_known() -> ApiError:
    """Return the 409 for a schedule whose rule or zone this process cannot read."""
    return ApiError(409, "rule_not_known", "this process does not know the schedule's rule or time zone: upgrade it")


def never_fires() -> ApiError:
    """Return the 409 for a rule that has no tick left."""
    return ApiError(409, "schedule_never_fires", "the rule has no instant within the next 5 years")
