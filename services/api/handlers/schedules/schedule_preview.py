"""
Schedule preview: the coming runs of a saved or unsaved rule, and what a person should know about them.

croniter gives a second opinion: many tools evaluate a cron with it, and it reads some expressions differently. It is asked here
and nowhere else: an owner must not depend on a library that may change its meaning with a release. One thread asks it, and a
preview waits for it no longer than `PATIENCE_S`; without an answer in time there is no such warning.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from aiohttp.web import BaseRequest
from croniter import croniter

from libs.domain.calendar.preview import ComingTick, preview
from libs.domain.calendar.rule import Rule
from libs.domain.calendar.ticks import WallClock
from libs.domain.calendar.words import in_words
from services.api.contract.schedules import schedule_answers
from services.api.contract.schedules.requests import preview_query, preview_request
from services.api.contract.schedules.schedule_answers import PreviewRow
from services.api.handlers.context import Context
from services.api.handlers.schedules.schedule_rows import ScheduleRows
from services.api.http.auth import Identity
from services.api.http.reply import Reply, json_reply
from services.api.http.request_body import read_json

COMPARED_MAX: Final = 10  # runs that croniter is asked for: 0.2 ms each as a rule
PATIENCE_S: Final = 0.5  # that a preview waits for croniter, those before it included

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class SchedulePreview:
    """The handlers for previews."""

    def __init__(self, context: Context, rows: ScheduleRows) -> None:
        self._c = context
        self._rows = rows
        self._croniter = ThreadPoolExecutor(1, "croniter")

    async def of_request(self, request: BaseRequest, _: Identity, __: str) -> Reply:
        """POST /v1/schedules/preview."""
        now = self._c.clock.now()
        asked = preview_request(await read_json(request), now, self._c.zones)
        after = now if asked.after is None else asked.after
        return await self._answer(request, asked.rule, "", asked.run_count, after)

    async def of_schedule(self, request: BaseRequest, identity: Identity, schedule_id: str) -> Reply:
        """GET /v1/schedules/{schedule_id}/preview."""
        count, after = preview_query(request.query)
        state = (await self._rows.find(identity.account, schedule_id)).state
        rule = self._rows.rule(state)
        return await self._answer(request, rule, schedule_id, count, self._c.clock.now() if after is None else after)

    async def _answer(self, request: BaseRequest, rule: Rule, schedule_id: str, count: int, after: int) -> Reply:
        ticks: list[ComingTick] = []
        while len(ticks) < count and (found := preview(rule, ticks[-1].at if ticks else after, 1)):
            ticks += found
            await cast(Any, request.protocol).pause()  # a run may take 0.4 ms to find
        warnings = warnings_about(rule, ticks, await self._second_opinion(rule, after))
        rows = [PreviewRow(tick, rule.fire_at(schedule_id, tick.at) if schedule_id else tick.at) for tick in ticks]
        zone_data = rule.when.zone.version if isinstance(rule.when, WallClock) else ""
        return json_reply(
            200, schedule_answers.preview(rows, zone_data=zone_data, warnings=warnings, text=in_words(rule))
        )

    async def _second_opinion(self, rule: Rule, after: int) -> list[int] | None:
        """Return the coming ticks as croniter sees them; None if it cannot say, or not in time."""
        asked = self._croniter.submit(others_read, rule, after, COMPARED_MAX)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(asked), PATIENCE_S)
        except TimeoutError:
            return None


def warnings_about(rule: Rule, ticks: Sequence[ComingTick], others: Sequence[int] | None) -> list[str]:
    """
    Return, one sentence each, what a person should know.

    Args:
        ticks: the coming ticks.
        others: the coming ticks as croniter sees them; None if it was not asked.
    """
    when = rule.when
    if not isinstance(when, WallClock):
        return []
    found: dict[str, None] = {}  # each sentence once
    if when.cron.is_either_day:
        found["A day that matches the day of month or the day of week counts: it need not match both."] = None
    for tick in ticks:
        if tick.note is not None:
            found[_about_clock_change(when, tick)] = None
    for ours, theirs in zip([tick.at for tick in ticks], others or (), strict=False):
        if ours != theirs:
            found[
                "croniter, which Airflow and others use, reads this cron differently: it would run at"
                f" {when.zone.local_text(theirs // 1_000)}, where Fliq runs at {when.zone.local_text(ours // 1_000)}."
            ] = None
            break
    return list(found)


def _about_clock_change(when: WallClock, tick: ComingTick) -> str:
    day, _, minute = tick.nominal_local.partition("T")
    zone = when.zone.name
    if tick.note == "gap":
        at = tick.local[11:16]
        return f"Clocks in {zone} skip {minute} on {day}, so this run is at {at}. To leave it out, set dst.gap to skip."
    if when.cron.is_periodic:
        return f"Clocks in {zone} go back on {day} and show some minutes twice: this cron runs both times."
    if when.ticks_once:
        return (
            f"Clocks in {zone} show {minute} twice on {day}: this run is at the first."
            " To run both times, set dst.fold to both."
        )
    return f"Clocks in {zone} show {minute} twice on {day}, and it runs both times. To run once, set dst.fold to first."


def others_read(rule: Rule, after: int, count: int) -> list[int] | None:
    """Return the ticks after *after* as croniter sees them, at most *count*; None if it cannot say (excluded dates, a window)."""
    when = rule.when
    if not isinstance(when, WallClock) or when.excluded.first or rule.starts_at is not None:
        return None
    zone = when.zone
    second = after // 1_000
    wall = _EPOCH + timedelta(seconds=second + zone.offset_at(second))
    try:
        walk = croniter(when.cron.text, wall, max_years_between_matches=5)
        walls = [walk.get_next(datetime) for _ in range(count)]
    except (ValueError, OverflowError):  # it does not take the expression, or finds nothing within five years
        return None
    found = []
    for each in walls:
        instants = zone.instants(round((each - _EPOCH).total_seconds()))
        if len(instants) != 1:
            break  # clocks change here: what happens then is ours to say
        found.append(instants[0] * 1_000)
    return found
