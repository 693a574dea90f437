"""Job: one job: where it is in its life, why it waits, its attempts, what it sends, and its records in the log."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from services.console.api_calls import ApiRefused, Call, curl, path_of
from services.console.http_messages import Answer
from services.console.pages.form_fields import METHODS, lines_of
from services.console.pages.jobs.job_picture import picture_of, why
from services.console.showing import call_of, timeline_of
from services.console.visit import Visit

TOLD_SHOWN: Final = 20


async def page(visit: Visit, job_id: str) -> Answer:
    """GET /jobs/{id}."""
    job, executions, events, told = await asyncio.gather(
        visit.get(path_of("jobs", job_id)),
        visit.get(path_of("jobs", job_id, "executions")),
        visit.get_or({"events": []}, path_of("jobs", job_id, "events")),
        visit.get_or({"deliveries": []}, "/v1/webhooks/deliveries", job=job_id, limit=TOLD_SHOWN),
    )
    asked = visit.request.asked("answer") or _last_ended(executions["executions"])
    answer = await _answer(visit, job_id, asked)
    return visit.show(
        "job.html",
        page="jobs",
        job=job,
        executions=executions["executions"],
        answer=answer,
        answered=asked,
        events=timeline_of(events["events"]),
        picture=picture_of(job, executions["executions"]),
        why=why(job, visit.now()),
        replay_of=_replay_of(events["events"]),
        webhook=[each for each in events["events"] if str(each["type"]).startswith("webhook.")],
        deliveries=told["deliveries"],
        shows_payload="body" in job,
        header_lines=lines_of(job.get("headers")),
        methods=METHODS,
        call=call_of(job),
        api_call=curl(Call("GET", path_of("jobs", job_id))),
    )


def _last_ended(executions: list[dict[str, Any]]) -> str:
    """Return the number of the last attempt whose outcome is known; nothing if there is none."""
    return next((str(each["attempt_num"]) for each in reversed(executions) if each["status"] is not None), "")


async def _answer(visit: Visit, job_id: str, attempt: str) -> dict[str, Any] | None:
    """Return what was kept of the answer to *attempt*; None if nothing was, or the person may not see it."""
    if not attempt.isdecimal() or not visit.session.may("read:payloads"):
        return None
    try:
        found: dict[str, Any] = await visit.get(path_of("jobs", job_id, "executions", attempt, "response"))
        return found
    except ApiRefused as refusal:
        if refusal.status in (404, 410):
            return None
        raise


def _replay_of(events: list[dict[str, Any]]) -> str | None:
    return next((each["replay_of"] for each in events if each.get("replay_of")), None)
