"""Schedule: one schedule: its rule and coming runs, what its runs became, and what it calls."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from services.console.api_calls import ApiRefused, Call, curl, path_of
from services.console.http_messages import Answer
from services.console.pages.form_fields import METHODS, lines_of, rule_fields
from services.console.showing import timeline_of
from services.console.visit import Visit

RUNS_SHOWN: Final = 30
COMING_SHOWN: Final = 10
RECORDS_READ: Final = 100
CHANGES: Final = frozenset(  # of its records; ticks and runs are shown as jobs
    f"schedule.{word}" for word in ("created", "defined", "changed", "paused", "resumed", "autopaused", "realigned")
)
_NO_PREVIEW: Final[dict[str, Any]] = {"runs": [], "warnings": [], "zone_data": None}


async def page(visit: Visit, schedule_id: str) -> Answer:
    """GET /schedules/{id}."""
    path = path_of("schedules", schedule_id)
    schedule, coming, runs, told = await asyncio.gather(
        visit.get(path),
        visit.get_or(_NO_PREVIEW, f"{path}/preview", count=COMING_SHOWN),
        visit.get(f"{path}/jobs", limit=RUNS_SHOWN),
        visit.get_or({"events": []}, f"{path}/events", limit=RECORDS_READ),
    )
    return visit.show(
        "schedule.html",
        page="schedules",
        schedule=schedule,
        coming=coming,
        runs=runs["jobs"],
        changes=timeline_of(each for each in told["events"] if each["type"] in CHANGES),
        methods=METHODS,
        header_lines=lines_of(schedule.get("headers")),
        shows_payload="body" in schedule,
        api_call=curl(Call("GET", path)),
    )


async def preview(visit: Visit) -> Answer:
    """GET /schedules/preview: the coming runs of the rule in a form, while somebody writes it."""
    call, coming, problem = None, _NO_PREVIEW, ""
    try:
        fields = {**rule_fields(visit.request, asked=True), "count": COMING_SHOWN}
        if day := visit.request.asked("from_day"):
            fields["after"] = f"{day}T00:00:00Z"
        call = Call("POST", "/v1/schedules/preview", fields)
        coming = await visit.ask(call)
    except ApiRefused as refusal:
        problem = refusal.message
        if refusal.status not in (400, 409):
            raise
    command = curl(call) if call is not None else ""
    return visit.show("preview.html", page="schedules", coming=coming, problem=problem, command=command)
