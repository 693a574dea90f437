"""Schedule actions: create, change, pause, resume, run now, delete."""

from __future__ import annotations

from services.console.api_calls import Call, path_of
from services.console.exchange import Answer
from services.console.pages.form_fields import call_fields, replaced_headers, rule_fields
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
