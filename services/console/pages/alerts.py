"""
Alerts: what is wrong now, in a sentence, with a link to the reason. Pure.

Each is what an alert of `deploy/prometheus` is, told from the API's numbers with its threshold, for the account alone:

    overdue jobs        FliqJobsOverdue, unless the day is used up
    late calls          FliqDispatchLate: more than one of a hundred
    disabled endpoints  FliqWebhookEndpointsDisabled
    roles, partitions   Fliq...Down, FliqPartitionsUnassigned; shown to operators
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from services.console.showing import duration, instant_ms

OVERDUE_MS: Final = 60_000
LATE_MS: Final = 1_000
ROLES: Final = {
    "scheduler": "nothing is decided, and no job fires",
    "dispatcher": "no call is made",
    "webhooks": "no webhook is sent",
}
REASONS: Final = {"gone": "it answered 410", "failing": "it took nothing for five days"}


class Alert(NamedTuple):
    """*text* says what is wrong, *place* of the console shows why; *link* is the text of the link."""

    text: str
    place: str
    link: str


def alerts_of(
    now: int,
    *,
    account: Mapping[str, Any],
    activity: Mapping[str, Any] | None,
    endpoints: Sequence[Mapping[str, Any]] = (),
    system: Mapping[str, Any] | None = None,
) -> list[Alert]:
    """Return the alerts of *now* (ms since 1970), the causes first; what the token may not see is None or empty."""
    found = _of_system(system) if system is not None else []
    limit, used = account["limits"]["executions_per_day"], account["use"]["executions_today"]
    if limit is not None and used >= limit:
        text = f"The {limit} executions of this day (UTC) are used up: due jobs wait for the next day."
        found.append(Alert(text, "/system", "Limits and use"))
    elif activity is not None and activity["oldest_due_at"] is not None:
        late_ms = now - instant_ms(activity["oldest_due_at"])
        if late_ms > OVERDUE_MS:
            text = f"{activity['due']} job{_s(activity['due'])} overdue, the oldest by {duration(late_ms)}."
            found.append(Alert(text, "/jobs?status=scheduled", "Jobs that wait"))
    late = None if activity is None else activity["lateness"]
    if late is not None and late["p99_ms"] > LATE_MS:
        text = f"Calls leave late: of those of the last hour one in a hundred by more than {duration(late['p99_ms'])}."
        found.append(Alert(text, "/system", "System"))
    for each in endpoints:
        if each["disabled"] and each["disabled_reason"] in REASONS:
            text = f"Fliq disabled the webhook endpoint {each['url']}: {REASONS[each['disabled_reason']]}."
            found.append(Alert(text, f"/webhooks/{each['id']}", "What it did not take"))
    return found


def _of_system(system: Mapping[str, Any]) -> list[Alert]:
    found = []
    for role, meaning in ROLES.items():
        if not any(each["live"] and each["role"] == role for each in system["members"]):
            found.append(Alert(f"No {role} process is alive: {meaning}.", "/system", "System"))
            continue
        free = sum(
            any(owner["role"] == role and owner["node"] is None for owner in each["owners"])
            for each in system["partitions"]
        )
        if free:
            text = f"{free} partition{'' if free == 1 else 's'} without a {role} process: there {meaning}."
            found.append(Alert(text, "/system", "System"))
    if any(each["end"] is None for each in system["partitions"]):
        found.append(Alert("The log does not answer: nothing can be created or cancelled.", "/system", "System"))
    return found


def _s(count: int) -> str:
    return " is" if count == 1 else "s are"
