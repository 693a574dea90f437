"""
Routes of the console: which page answers which address.

`{}` in a path stands for an id. A row with a scope is an action: without the scope it is refused before anything is asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import unquote

from services.console.http_messages import Answer
from services.console.pages import access, events, overview, system
from services.console.pages.jobs import failures, job, job_actions, job_list
from services.console.pages.schedules import schedule, schedule_actions, schedule_list
from services.console.pages.webhooks import endpoint, endpoint_actions, webhook_list
from services.console.pages.webhooks.endpoint_actions import WRITE_WEBHOOKS
from services.console.visit import WRITE_JOBS

WRITE_TOKENS: Final = "write:tokens"
WRITE_SECRETS: Final = "write:secrets"

Page = Callable[..., Awaitable[Answer]]

ROUTES: Final[tuple[tuple[str, str, str, Page], ...]] = (
    ("GET", "", "", overview.page),
    ("GET", "/", "", overview.page),
    ("GET", "/jobs", "", job_list.page),
    ("GET", "/jobs/new", "", job_actions.new),
    ("GET", "/jobs/{}", "", job.page),
    ("GET", "/failures", "", failures.page),
    ("GET", "/schedules", "", schedule_list.page),
    ("GET", "/schedules/new", "", schedule_list.new),
    ("GET", "/schedules/preview", "", schedule.preview),
    ("GET", "/schedules/{}", "", schedule.page),
    ("GET", "/webhooks", "", webhook_list.page),
    ("GET", "/webhooks/new", "", webhook_list.new),
    ("GET", "/webhooks/{}", "", endpoint.page),
    ("GET", "/webhooks/deliveries/{}", "", endpoint.delivery),
    ("GET", "/events", "", events.page),
    ("GET", "/events/stream", "", events.stream),
    ("GET", "/access", "", access.page),
    ("GET", "/system", "", system.page),
    ("GET", "/system/findings", "", system.findings),
    ("POST", "/jobs", WRITE_JOBS, job_actions.create),
    ("POST", "/jobs/selected", WRITE_JOBS, job_actions.act_on_selected),
    ("POST", "/jobs/{}/change", WRITE_JOBS, job_actions.change),
    ("POST", "/jobs/{}/act", WRITE_JOBS, job_actions.act),
    ("POST", "/failures/replay", WRITE_JOBS, failures.ask_to_replay),
    ("POST", "/schedules", WRITE_JOBS, schedule_actions.create),
    ("POST", "/schedules/{}/change", WRITE_JOBS, schedule_actions.change),
    ("POST", "/schedules/{}/pause", WRITE_JOBS, schedule_actions.pause),
    ("POST", "/schedules/{}/resume", WRITE_JOBS, schedule_actions.resume),
    ("POST", "/schedules/{}/run", WRITE_JOBS, schedule_actions.run),
    ("POST", "/schedules/{}/backfill", WRITE_JOBS, schedule_actions.backfill),
    ("POST", "/schedules/{}/delete", WRITE_JOBS, schedule_actions.delete),
    ("POST", "/webhooks", WRITE_WEBHOOKS, endpoint_actions.create),
    ("POST", "/webhooks/{}/change", WRITE_WEBHOOKS, endpoint_actions.change),
    ("POST", "/webhooks/{}/switch", WRITE_WEBHOOKS, endpoint_actions.switch),
    ("POST", "/webhooks/{}/test", WRITE_WEBHOOKS, endpoint_actions.test),
    ("POST", "/webhooks/{}/recover", WRITE_WEBHOOKS, endpoint_actions.recover),
    ("POST", "/webhooks/{}/delete", WRITE_WEBHOOKS, endpoint_actions.delete),
    ("POST", "/webhooks/{}/secret", WRITE_SECRETS, endpoint_actions.rotate_secret),
    ("POST", "/webhooks/deliveries/{}/redeliver", WRITE_WEBHOOKS, endpoint_actions.redeliver),
    ("POST", "/access/tokens", WRITE_TOKENS, access.create_token),
    ("POST", "/access/tokens/{}", WRITE_TOKENS, access.revoke_token),
    ("POST", "/access/secret", WRITE_SECRETS, access.rotate_secret),
)

_BY_PARTS: Final = {(method, tuple(path.split("/"))): (page, scope) for method, path, scope, page in ROUTES}
_ID_PLACES: Final = (2, 3)  # where an id may stand, counted from 0


def find(method: str, path: str) -> tuple[Page, str, tuple[str, ...]] | None:
    """Return the page, the scope that it needs, and the ids in the path; None if there is no such page."""
    parts = path.split("/")
    method = "GET" if method == "HEAD" else method
    found = _BY_PARTS.get((method, tuple(parts)))
    if found is not None:
        return *found, ()
    for at in _ID_PLACES:
        found = _BY_PARTS.get((method, (*parts[:at], "{}", *parts[at + 1 :]))) if at < len(parts) else None
        if found is not None and parts[at]:
            return *found, (unquote(parts[at]),)
    return None
