"""Told deliveries: what is read of webhook deliveries (delivery_queries.py). Pure."""

from typing import NamedTuple

from libs.domain.job import JobState
from libs.domain.jobs.delivery import DeliveryState
from libs.events import Spec
from libs.store.projection.changes import ExecutionRow


class EndpointDelivery(NamedTuple):
    """
    A delivery to a webhook endpoint.

    Args:
        first: the job that makes it; *spec* is what it sends.
        again_count: tries of its redeliveries.
        is_delivered_again: one of them was taken.
    """

    first: JobState
    spec: Spec
    again_count: int
    is_delivered_again: bool


class WebhookDelivery(NamedTuple):
    """A delivery to the `webhook_url` of one job; the URL is None if its spec is gone."""

    delivery: DeliveryState
    url: str | None


class Try(NamedTuple):
    """A call that an endpoint was told by, and whether it was a redelivery."""

    execution: ExecutionRow
    is_again: bool
