"""Events: what happens to the account's jobs and schedules, as it happens. The list is made by static/events.js."""

from __future__ import annotations

from typing import Final

import orjson

from services.console.api_calls import ApiRefused, Call, curl
from services.console.http_messages import Answer, query_of
from services.console.showing import iso
from services.console.visit import Visit

EVENTS: Final = (
    *("job.scheduled", "attempt.due", "attempt.failed", "attempt.finished", "job.retry_scheduled", "job.completed"),
    *("job.failed", "job.cancelled", "schedule.created", "schedule.missed", "schedule.skipped", "schedule.autopaused"),
)
BEGINS: Final = {"": "now", "60": "a minute ago", "600": "10 minutes ago", "3600": "an hour ago"}
LAST_EVENT_ID: Final = "last-event-id"
MEDIA: Final = "text/event-stream; charset=utf-8"


async def page(visit: Visit) -> Answer:
    """GET /events."""
    asked = _asked(visit)
    since = visit.request.asked("since")
    return visit.show(
        "events.html",
        page="events",
        asked=asked,
        since=since,
        names=EVENTS,
        begins=BEGINS,
        stream=visit.base + "/events/stream" + query_of(**asked, since=since),
        api_call=curl(Call("GET", "/v1/events" + query_of(**asked))),
    )


async def stream(visit: Visit) -> Answer:
    """GET /events/stream: the API's stream as it is; a refusal is `{"code", "message"}`."""
    asked = _asked(visit)
    seconds = visit.request.asked("since")
    if seconds in BEGINS and seconds:
        asked["since"] = iso(visit.now() - int(seconds) * 1000)
    last = visit.request.headers.get(LAST_EVENT_ID, "")
    headers = {"Last-Event-ID": last} if last else {}
    try:
        opened = await visit.listen(Call("GET", "/v1/events" + query_of(**asked), None, headers))
    except ApiRefused as refusal:
        said = orjson.dumps({"code": refusal.code, "message": refusal.message})
        return Answer(refusal.status, said, "application/json")
    return Answer(200, b"", MEDIA, {"X-Accel-Buffering": "no"}, opened)


def _asked(visit: Visit) -> dict[str, str]:
    return {name: visit.request.asked(name) for name in ("types", "label", "schedule_id")}
