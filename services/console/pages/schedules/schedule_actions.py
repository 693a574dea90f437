"""Schedule actions: create, change, pause, resume, run now, delete."""

from __future__ import annotations

from typing import Any

from services.console.api_calls import Call, path_of
from services.console.http_messages import Answer
from services.console.pages.form_fields import call_fields, replaced_headers, rule_fields, wrong
from services.console.visit import Visit


async def create(visit: Visit) -> Answer:
    """POST /schedules."""
    fields = {**call_fields(visit.request), **rule_fields(visit.request)}
    call = Call("POST", "/v1/schedules", fields, {"Idempotency-Key": f"console-{visit.request.given('once')[:64]}"})
    schedule = (await visit.make(call)).value
    return visit.done(f"/schedules/{schedule['id']}", "The schedule was created.", [call])


async def change(visit: Visit, schedule_id: str) -> Answer:
    """POST /schedules/{id}/change: what the form shows, for the version that it was made from."""
    request = visit.request
    rule = rule_fields(request)
    patch = {"cron": None, "every": None, "timezone": None} | rule | call_fields(request)
    patch |= {"webhook_url": request.given("webhook_url") or None}
    if request.given("shows_payload"):
        patch["body"] = patch.get("body")
        patch["headers"] = replaced_headers(request)
    call = Call("PATCH", path_of("schedules", schedule_id), patch, {"If-Match": f'"v{request.given("version")}"'})
    await visit.make(call)
    return visit.done(f"/schedules/{schedule_id}", "The schedule was changed.", [call])


async def pause(visit: Visit, schedule_id: str) -> Answer:
    """POST /schedules/{id}/pause."""
    given = {name: visit.request.given(name) for name in ("note", "until")}
    call = Call(
        "POST", path_of("schedules", schedule_id, "pause"), {name: text for name, text in given.items() if text}
    )
    await visit.make(call)
    return visit.done(f"/schedules/{schedule_id}", "The schedule is paused.", [call])


async def resume(visit: Visit, schedule_id: str) -> Answer:
    """POST /schedules/{id}/resume."""
    call = Call("POST", path_of("schedules", schedule_id, "resume"))
    await visit.make(call)
    return visit.done(f"/schedules/{schedule_id}", "The schedule goes on.", [call])


async def run(visit: Visit, schedule_id: str) -> Answer:
    """POST /schedules/{id}/run."""
    headers = {"Idempotency-Key": f"console-{visit.request.given('once')[:64]}"}
    call = Call("POST", path_of("schedules", schedule_id, "run"), None, headers)
    job = (await visit.make(call)).value
    return visit.done(f"/jobs/{job['id']}", "The schedule was run: this is its job.", [call])


async def backfill(visit: Visit, schedule_id: str) -> Answer:
    """POST /schedules/{id}/backfill: ask first, with the number of jobs that it makes."""
    request = visit.request
    fields: dict[str, Any] = {name: request.given(name) for name in ("since", "before", "existing")}
    if request.given("pace_seconds"):
        try:
            fields["pace_seconds"] = float(request.given("pace_seconds"))
        except ValueError:
            raise wrong("pace_seconds is not a number") from None
    path, once = path_of("schedules", schedule_id, "backfill"), request.given("once")[:64]
    if request.given("sure") != "1":
        found = await visit.ask(Call("POST", path, {**fields, "dry_run": True}))
        jobs = f"{found['jobs']} job{'' if found['jobs'] == 1 else 's'}"
        last = f" The last one is called at {found['last_call_at']}." if found["last_call_at"] else ""
        return visit.show(
            "ask_one.html",
            page="schedules",
            title=f"Make {jobs}?",
            text=f"The rule names {found['ticks']} runs in this time, of which {found['ran']} have a job.{last}",
            place=f"/schedules/{schedule_id}/backfill",
            back=f"/schedules/{schedule_id}",
            button=f"Make {jobs}",
            fields={name: request.given(name) for name in ("since", "before", "existing", "pace_seconds")}
            | {"once": once},
        )
    call = Call("POST", path, fields, {"Idempotency-Key": f"console-{once}"})
    made = (await visit.make(call)).value
    return visit.done(f"/schedules/{schedule_id}", f"The back-fill made {made['jobs']} jobs.", [call])


async def delete(visit: Visit, schedule_id: str) -> Answer:
    """POST /schedules/{id}/delete: ask first."""
    call = Call("DELETE", path_of("schedules", schedule_id))
    if visit.request.given("sure") != "1":
        return visit.show(
            "ask_one.html",
            page="schedules",
            title="Delete this schedule?",
            text="It makes no further jobs. Those that it has made stay, and are called if they wait. This cannot be undone.",
            place=f"/schedules/{schedule_id}/delete",
            back=f"/schedules/{schedule_id}",
            button="Delete the schedule",
        )
    await visit.make(call)
    return visit.done("/schedules", "The schedule was deleted.", [call])
