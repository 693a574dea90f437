"""Job actions: create, change, cancel, stop, run now, replay. More than one job is asked about first, with the number."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from services.console.api_calls import ApiRefused, Call, path_of
from services.console.http_messages import Answer
from services.console.pages.form_fields import METHODS, call_fields, replaced_headers, wrong
from services.console.showing import host
from services.console.visit import Visit

SELECTED_MAX: Final = 100
AT_ONCE: Final = 4


class Action(NamedTuple):
    """What can be done with a job: its name on the button, what was done, and the call."""

    text: str
    done: str
    method: str
    part: str  # of the path behind the job's
    body: Any = None


ACTIONS: Final = {
    "cancel": Action("Cancel", "cancelled", "DELETE", ""),
    "stop": Action("Stop", "stopped", "POST", "stop"),
    "run": Action("Run now", "asked to run now", "POST", "run"),
    "replay": Action("Replay", "replayed", "POST", "replay"),
}


async def new(visit: Visit) -> Answer:
    """GET /jobs/new."""
    return visit.show("job_new.html", page="jobs", methods=METHODS)


async def create(visit: Visit) -> Answer:
    """POST /jobs."""
    request = visit.request
    fields = call_fields(request)
    if request.given("scheduled_at"):
        fields["scheduled_at"] = request.given("scheduled_at")
    else:
        try:
            fields["delay_seconds"] = float(request.given("delay_seconds") or "1")
        except ValueError:
            raise wrong("delay_seconds is not a number") from None
    call = Call("POST", "/v1/jobs", fields, {"Idempotency-Key": request.given("key") or f"console-{_once(visit)}"})
    job = (await visit.make(call)).value
    return visit.done(f"/jobs/{job['id']}", "The job was created.", [call])


async def change(visit: Visit, job_id: str) -> Answer:
    """POST /jobs/{id}/change."""
    request = visit.request
    fields = call_fields(request)
    patch = {"body": None, "webhook_url": None} | fields | {"headers": replaced_headers(request)}
    if request.given("scheduled_at"):
        patch["scheduled_at"] = request.given("scheduled_at")
    call = Call("PATCH", path_of("jobs", job_id), patch)
    await visit.make(call)
    return visit.done(f"/jobs/{job_id}", "The job was changed.", [call])


async def act(visit: Visit, job_id: str) -> Answer:
    """POST /jobs/{id}/act."""
    action = _action(visit)
    call = _call(visit, action, job_id)
    answer = await visit.make(call)
    # A replay is another job: that is where what happens next is to be seen.
    shown = answer.value["id"] if action is ACTIONS["replay"] else job_id
    return visit.done(f"/jobs/{shown}", f"The job was {action.done}.", [call])


async def act_on_selected(visit: Visit) -> Answer:
    """POST /jobs/selected: ask, or do it if the form says for how many the person was asked."""
    action, ids = _action(visit), visit.request.all_given("job")
    if not ids:
        raise wrong("no job is selected")
    if len(ids) > SELECTED_MAX:
        raise wrong(f"{len(ids)} jobs are selected; at most {SELECTED_MAX} at once")
    if visit.request.given("sure") != str(len(ids)):
        return await ask(visit, ids)
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(job_id: str) -> tuple[Call, str]:
        call = _call(visit, action, job_id)
        async with turns:
            try:
                await visit.make(call)
            except ApiRefused as refusal:
                return call, f"{job_id}: {refusal.message}"
        return call, ""

    outcomes = await asyncio.gather(*(one(job_id) for job_id in ids))
    problems = [problem for _, problem in outcomes if problem]
    count = len(ids) - len(problems)
    text = f"{count} of {len(ids)} jobs were {action.done}."
    return visit.done("/jobs", text, [call for call, _ in outcomes], problems=problems)


async def ask(visit: Visit, ids: Sequence[str]) -> Answer:
    """Return the page that asks whether *ids* are meant, with their number, by host."""
    name = visit.request.given("action")
    jobs = await asyncio.gather(*(visit.get_or(None, path_of("jobs", each)) for each in ids[:AT_ONCE]))
    sample = [job for job in jobs if job is not None]
    return visit.show(
        "ask.html",
        page="jobs",
        action=name,
        text=_action(visit).text,
        ids=ids,
        sample=sample,
        hosts=Counter(host(job["url"]) for job in sample).most_common(),
        given_once=_once(visit),
        example=_call(visit, _action(visit), ids[0]),
    )


def _action(visit: Visit) -> Action:
    action = ACTIONS.get(visit.request.given("action"))
    if action is None:
        raise wrong("there is no such action")
    return action


def _call(visit: Visit, action: Action, job_id: str) -> Call:
    parts = ("jobs", job_id, action.part) if action.part else ("jobs", job_id)
    # The same form sent twice makes one copy.
    headers = {"Idempotency-Key": f"console-{_once(visit)}-{job_id}"} if action is ACTIONS["replay"] else {}
    return Call(action.method, path_of(*parts), action.body, headers)


def _once(visit: Visit) -> str:
    """Return what makes a form one of a kind, so that it does its work once however often it is sent."""
    return visit.request.given("once")[:64] or "form"
