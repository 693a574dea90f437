"""Endpoint: a URL of an account, which events it asks for, and whether it is told of one."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from libs.domain.endpoints.webhook_event import ALL, EVENTS, WebhookEvent
from libs.events.retry_policy import RetryPolicy

ENDPOINTS_MAX: Final = 100  # of an account
FILTER_MAX: Final = 20  # values in each list of a filter

Format = Literal["flat", "standard", "cloudevents"]
Ordering = Literal["none", "job"]


class Filter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Which jobs an endpoint is told of: every list that is not empty must have the job's value.

    Args:
        schedule_ids: schedules that the job belongs to.
        labels: each a name, a colon and a value: of every name that stands here the job has one of the values.
        hosts: hosts that the job calls, in lower case, without a port.
        status_codes: statuses of the answer.
    """

    schedule_ids: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    status_codes: tuple[int, ...] = ()


class EndpointConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    What an account asks for; it is stored as JSON, so a field that is added needs a default that means what was before.

    Args:
        url: where events are sent; normalised, and allowed by the egress policy.
        events: names of `EVENTS`, or `ALL`.
        filter: narrows the events that are about jobs; None for all of them.
        format: see body.py.
        headers: the caller's own headers.
        retry: when and how often an event is sent again that was not taken; None for `RETRY` of delivery.py.
        description: the caller's own words.
        include_response: what was kept of the target's answer is sent with what is told of its attempt, or of the job's end.
        included_response: *include_response* was on before: bodies that can be sent again may hold answers. No request sets it.
        ordering: `job` sends the events of one job one after the other (order.py).
    """

    url: str
    events: tuple[str, ...]
    filter: Filter | None = None
    format: Format = "standard"
    headers: Mapping[str, str] | None = None
    retry: RetryPolicy | None = None
    description: str = ""
    include_response: bool = False
    included_response: bool = False
    ordering: Ordering = "none"

    @property
    def may_send_responses(self) -> bool:
        """Whether something that this endpoint is sent, or is sent again, may hold the answer of a target."""
        return self.include_response or self.included_response


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    An endpoint as it stands.

    Args:
        disabled_reason: `requested` by its account, or `GONE` or `FAILING`; None while it is told of events.
        version: grows by one with every change.
        created_at, changed_at: ms since 1970.
        is_shredded: the key that sealed it was deleted, or somebody changed its row: its config lacks the query of the URL and the
            values of the headers, so nothing is sent to it.
    """

    endpoint_id: str
    account: str
    config: EndpointConfig
    version: int
    created_at: int
    changed_at: int
    disabled_reason: str | None = None
    is_shredded: bool = False


def is_understood(config: EndpointConfig) -> bool:
    """Whether this build knows all events that are asked for; what it does not know a newer build must look for."""
    return all(name in EVENTS or name == ALL for name in config.events)


def name_for(config: EndpointConfig, event: WebhookEvent) -> str | None:
    """
    Return the name under which an endpoint is told of *event*; None if it does not ask for it.

    A filter speaks of jobs. Of an event that is about a schedule only its `schedule_ids` and `labels` judge, and it holds back no
    event that is about neither.
    """
    asked = config.events
    name = next((name for name in event.names if name in asked or ALL in asked), None)
    if name is None or config.filter is None or event.schedule_id is event.job_id is None:
        return name
    return name if _passes(config.filter, event) else None


def _passes(wanted: Filter, event: WebhookEvent) -> bool:
    if wanted.schedule_ids and event.schedule_id not in wanted.schedule_ids:
        return False
    if wanted.labels and not _has_labels(event.labels, wanted.labels):
        return False
    return event.job_id is None or (
        (not wanted.hosts or event.host in wanted.hosts)
        and (not wanted.status_codes or event.status_code in wanted.status_codes)
    )


def _has_labels(labels: Mapping[str, str], wanted: Sequence[str]) -> bool:
    names = {text.partition(":")[0] for text in wanted}
    return all(name in labels and f"{name}:{labels[name]}" in wanted for name in names)
