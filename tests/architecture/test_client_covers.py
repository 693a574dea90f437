"""The Python client (clients/python) has what the API has: its codes, its routes and their parameters."""

from __future__ import annotations

import inspect
import re
from typing import Any, get_args, get_type_hints

import pytest

from fliq_client import api
from fliq_client.call import Call
from fliq_client.contract.error_codes import CODES as KNOWN
from fliq_client.groups import account, events, webhook_endpoints
from fliq_client.groups.feed import Feed
from fliq_client.pages import Listing
from services.api.contract.error_codes import CODES
from services.api.contract.routes import QUERY_NAMES, ROUTES, Route

GROUPS: dict[str, Any] = {
    group.__name__: group
    for group in (
        api.Jobs,
        api.Schedules,
        events.Events,
        account.Account,
        account.System,
        account.Tokens,
        account.SigningSecrets,
        webhook_endpoints.WebhookEndpoints,
        webhook_endpoints.WebhookDeliveries,
    )
}
# Route -> the methods that call it. A list has two: one walks it, the other gets a page.
METHODS: dict[str, tuple[str, ...]] = {
    "createJob": ("Jobs.create",),
    "listJobs": ("Jobs.list", "Jobs.page"),
    "createJobs": ("Jobs.create_many",),
    "getJob": ("Jobs.get",),
    "cancelJob": ("Jobs.cancel",),
    "stopJob": ("Jobs.stop",),
    "updateJob": ("Jobs.update",),
    "runJob": ("Jobs.run",),
    "listExecutions": ("Jobs.executions",),
    "getResponse": ("Jobs.response",),
    "listEvents": ("Jobs.events",),
    "replayJob": ("Jobs.replay",),
    "createSchedule": ("Schedules.create",),
    "listSchedules": ("Schedules.list", "Schedules.page"),
    "patchSchedule": ("Schedules.update",),
    "putSchedule": ("Schedules.put",),
    "getScheduleByKey": ("Schedules.get_by_key",),
    "runSchedule": ("Schedules.run",),
    "backfillSchedule": ("Schedules.backfill",),
    "stopBackfill": ("Schedules.stop_backfill",),
    "previewRule": ("Schedules.preview_rule",),
    "previewSchedule": ("Schedules.preview",),
    "getSchedule": ("Schedules.get",),
    "deleteSchedule": ("Schedules.delete",),
    "pauseSchedule": ("Schedules.pause",),
    "resumeSchedule": ("Schedules.resume",),
    "listScheduleEvents": ("Schedules.events",),
    "listScheduleJobs": ("Schedules.jobs", "Schedules.jobs_page"),
    "createEndpoint": ("WebhookEndpoints.create",),
    "listEndpoints": ("WebhookEndpoints.list",),
    "getEndpoint": ("WebhookEndpoints.get",),
    "changeEndpoint": ("WebhookEndpoints.change",),
    "deleteEndpoint": ("WebhookEndpoints.delete",),
    "listEndpointDeliveries": ("WebhookEndpoints.deliveries", "WebhookEndpoints.deliveries_page"),
    "listDeliveries": ("WebhookDeliveries.list", "WebhookDeliveries.page"),
    "getDelivery": ("WebhookDeliveries.get",),
    "redeliver": ("WebhookDeliveries.redeliver",),
    "recoverEndpoint": ("WebhookEndpoints.recover",),
    "getRecovery": ("WebhookEndpoints.recovery",),
    "testEndpoint": ("WebhookEndpoints.test",),
    "getEndpointSecret": ("WebhookEndpoints.secret",),
    "rotateEndpointSecret": ("WebhookEndpoints.rotate_secret",),
    "streamEvents": ("Events.stream",),
    "getAccount": ("Account.get",),
    "getActivity": ("Account.activity",),
    "getSystem": ("System.get",),
    "getFindings": ("System.findings",),
    "createToken": ("Tokens.create",),
    "listTokens": ("Tokens.list",),
    "revokeToken": ("Tokens.revoke",),
    "getSigningSecret": ("SigningSecrets.get",),
    "rotateSigningSecret": ("SigningSecrets.rotate",),
}
# Route -> why the client has no method for it.
NOT_OFFERED = {"getOpenApi": "it describes the API to tools"}
# What a method needs besides ids, to be described.
ARGUMENTS: dict[str, Any] = {"url": "https://example.com/", "at": None, "requests": []}


def described(name: str) -> tuple[Any, Any]:
    """Return the function that describes method *name*, and what it describes."""
    kind, _, method = name.partition(".")
    function = vars(GROUPS[kind])[method]._describe
    group = GROUPS[kind](None, lambda: "key")
    needed = [
        ARGUMENTS.get(each.name, "id")
        for each in list(inspect.signature(function).parameters.values())[1:]
        if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD
    ]
    named = {each: ARGUMENTS[each] for each in ("at",) if each in inspect.signature(function).parameters}
    return function, function(group, *needed, **named)


def _filters(function: Any) -> list[str]:
    """Return the query parameters that *function* takes as keyword arguments of a `TypedDict`."""
    kind = get_type_hints(function).get("filters")
    return [
        "label" if name == "labels" else name for name in ([] if kind is None else get_type_hints(get_args(kind)[0]))
    ]


def test_the_client_knows_every_code() -> None:
    """Each error code of the API has an exception class with its status; `make docs` writes them."""
    assert {code: kind.status for code, kind in KNOWN.items()} == {code: status for code, (status, _) in CODES.items()}


def test_every_route_has_its_methods() -> None:
    """A new route has a method in `fliq_client/api.py`, or a reason above why not."""
    assert set(METHODS) | set(NOT_OFFERED) == {route.name for route in ROUTES}
    assert not set(METHODS) & set(NOT_OFFERED)


def test_every_method_has_its_route() -> None:
    """Each method of the client is named above."""
    there = {
        f"{group.__name__}.{name}"
        for group in GROUPS.values()
        for name, each in vars(group).items()
        if hasattr(each, "_describe")
    }
    assert there == {name for names in METHODS.values() for name in names}


@pytest.mark.parametrize("route", [route for route in ROUTES if route.name in METHODS], ids=lambda route: route.name)
def test_a_method_asks_for_its_route(route: Route) -> None:
    """HTTP method and path are those of the route, and one of its methods takes each of its parameters."""
    taken: set[str] = set()
    for name in METHODS[route.name]:
        function, found = described(name)
        call: Call[Any] = found.call_of(None) if isinstance(found, Listing | Feed) else found
        path = re.sub(r"{\w+}", "id", route.path)
        assert (call.request.method, call.request.path) == (route.method, path)
        taken |= set(inspect.signature(function).parameters) | set(_filters(function))
        taken |= {"label"} if "labels" in taken else set()
    assert {QUERY_NAMES.get(name, name) for name in route.parameters} <= taken
