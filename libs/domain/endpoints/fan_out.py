"""
Fan-out: which endpoints of an account are told of what a decision of the owner of a job or a schedule says.

An attempt is told when the owner has decided what follows it: that is decided once, and after the first outcome that was recorded,
whereas the outcome itself may be recorded twice. So two events may follow from one decision, the attempt's and then the job's.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from libs.domain.endpoints.endpoint import Endpoint, name_for
from libs.domain.endpoints.webhook_event import (
    ALL,
    Attempt,
    WebhookEvent,
    of_attempt,
    of_autopause,
    of_end,
    of_tick,
)
from libs.domain.jobs.state import NO_LABELS
from libs.domain.responses.captured import Captured
from libs.events import JobCancelled, JobFinished, JobRetryScheduled, ScheduleAutopaused, ScheduleTicked

OWNER_DECISIONS: Final = (JobFinished, JobCancelled, JobRetryScheduled)
SCHEDULE_DECISIONS: Final = (ScheduleTicked, ScheduleAutopaused)
SLACK_MS: Final = 1_000  # between the clocks of who makes endpoints and who decides
_OF_ATTEMPTS: Final = frozenset({"attempt.failed", "attempt.finished", ALL})
_OF_SCHEDULES: Final = frozenset({"schedule.missed", "schedule.skipped", "schedule.autopaused", ALL})


class JobFacts(NamedTuple):
    """
    What a decision does not say of its job.

    Args:
        account: to which the job belongs.
        schedule_id: the schedule that made it.
        host: the host that it calls, in lower case, without the port; None if no filter asks for it.
        attempt: the attempt after which the decision was taken; None after none.
        labels: of the job.
        response: what was kept of the answer to the attempt; None if nothing was, or nobody asks for it.
    """

    account: str
    schedule_id: str | None = None
    host: str | None = None
    attempt: Attempt | None = None
    labels: Mapping[str, str] = NO_LABELS
    response: Captured | None = None


class Told(NamedTuple):
    """An event, the endpoint that is told of it, and under which name."""

    event: WebhookEvent
    endpoint: Endpoint
    name: str


def asks_for_attempts(endpoint: Endpoint) -> bool:
    """Whether an endpoint is told of attempts."""
    return not _OF_ATTEMPTS.isdisjoint(endpoint.config.events)


def asks_for_schedules(endpoint: Endpoint) -> bool:
    """Whether an endpoint is told of schedules."""
    return not _OF_SCHEDULES.isdisjoint(endpoint.config.events)


def asks_for_hosts(endpoint: Endpoint) -> bool:
    """Whether a filter judges by the host."""
    wanted = endpoint.config.filter
    return wanted is not None and bool(wanted.hosts)


def needs_facts(endpoint: Endpoint) -> bool:
    """Whether `told_of` needs the facts of a job for *endpoint*."""
    wanted = endpoint.config.filter
    return (
        asks_for_attempts(endpoint)
        or endpoint.config.include_response
        or (wanted is not None and bool(wanted.schedule_ids or wanted.hosts or wanted.labels))
    )


def attempt_of(decision: JobFinished | JobCancelled | JobRetryScheduled) -> int:
    """Return the number of the attempt after which *decision* was taken; 0 after none."""
    if isinstance(decision, JobCancelled):
        return 0
    return decision.attempt if isinstance(decision, JobFinished) else decision.attempt - 1


def told_of(
    decision: JobFinished | JobCancelled | JobRetryScheduled, facts: JobFacts, endpoints: Sequence[Endpoint]
) -> list[Told]:
    """
    Return which of *endpoints*, all of the job's account, are told of *decision*, in the order in which they are told.

    An endpoint is told of nothing that happened before it was made.
    """
    events: list[WebhookEvent] = []
    if facts.attempt is not None:
        events.append(
            of_attempt(
                facts.attempt,
                at=decision.at,
                schedule_id=facts.schedule_id,
                host=facts.host,
                labels=facts.labels,
                response=facts.response,
            )
        )
    if not isinstance(decision, JobRetryScheduled):
        events.append(
            of_end(
                decision,
                schedule_id=facts.schedule_id,
                host=facts.host,
                labels=facts.labels,
                response=facts.response,
            )
        )
    return _told(events, endpoints)


def of_schedule(
    decision: ScheduleTicked | ScheduleAutopaused, labels: Mapping[str, str] = NO_LABELS
) -> list[WebhookEvent]:
    """Return what is said of what the owner of a schedule with *labels* decided; of most ticks nothing."""
    return of_tick(decision, labels) if isinstance(decision, ScheduleTicked) else [of_autopause(decision, labels)]


def told_of_schedule(
    decision: ScheduleTicked | ScheduleAutopaused,
    endpoints: Sequence[Endpoint],
    labels: Mapping[str, str] = NO_LABELS,
) -> list[Told]:
    """Return which of *endpoints*, all of the account of a schedule with *labels*, are told of *decision*; see `told_of`."""
    return _told(of_schedule(decision, labels), endpoints)


def _told(events: Sequence[WebhookEvent], endpoints: Sequence[Endpoint]) -> list[Told]:
    return [
        Told(event, endpoint, name)
        for event in events
        for endpoint in endpoints
        if endpoint.created_at <= event.at + SLACK_MS and (name := name_for(endpoint.config, event)) is not None
    ]
