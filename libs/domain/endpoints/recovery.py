"""
Recovery: sending an endpoint again what it was told in vain, from one instant to another, oldest first.

It goes through the deliveries by their ids, and `reached` says how far. A page that is made twice makes the same jobs: their ids
follow from the request and the delivery, and of each the first record counts.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from libs.domain.endpoints.delivery import RETRY, redelivery_job
from libs.domain.endpoints.endpoint import Endpoint
from libs.domain.job import JobState
from libs.events import JobScheduled, Spec
from libs.events.ids import from_int

RecoveryStatus = Literal["running", "completed", "stopped"]


class Recovery(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    A recovery as it stands.

    Args:
        request_id: tells it from others of the endpoint.
        since, until: instants of the events that are sent again: from the one on, and before the other.
        reached: the id of the last delivery that was looked at.
        recovered_count: how many were sent again.
        status: `stopped` if the endpoint was disabled before it was completed.
        created_at, ended_at: ms since 1970; None while it is running.
    """

    endpoint_id: str
    request_id: str
    since: int
    until: int
    reached: str
    recovered_count: int = 0
    status: RecoveryStatus = "running"
    created_at: int
    ended_at: int | None = None


def begun(endpoint_id: str, request_id: str, *, since: int, until: int, now: int) -> Recovery:
    """Return a recovery that has looked at nothing."""
    return Recovery(
        endpoint_id=endpoint_id,
        request_id=request_id,
        since=since,
        until=until,
        reached=first_id(since),
        created_at=now,
    )


def first_id(at: int) -> str:
    """Return the id before those of the deliveries of events from *at* on."""
    return from_int("whd", at << 80)


def recovery_jobs(
    recovery: Recovery, endpoint: Endpoint, failed: Sequence[tuple[JobState, Spec]]
) -> list[JobScheduled]:
    """Return the jobs that send *endpoint* again what *failed* told it in vain; each is repeated as the endpoint asks."""
    return [
        redelivery_job(
            first,
            spec,
            endpoint,
            at=recovery.created_at,
            request_id=recovery.request_id,
            retry=endpoint.config.retry or RETRY,
        )
        for first, spec in failed
    ]
