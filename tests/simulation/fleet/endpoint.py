"""
Endpoint: a webhook endpoint that an installation has from its beginning, and what it must be told according to the log.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from libs.domain.endpoints.delivery import delivery_job
from libs.domain.endpoints.endpoint import Endpoint, EndpointConfig
from libs.domain.endpoints.fan_out import (
    OWNER_DECISIONS,
    SCHEDULE_DECISIONS,
    JobFacts,
    attempt_of,
    told_of,
    told_of_schedule,
)
from libs.domain.ledger import Ledger, Verdict
from libs.domain.reader_fold import ReaderFold
from libs.domain.schedule import ScheduleState
from libs.events import JobScheduled, read
from libs.events.ids import delivery_id, is_id, new_endpoint_id
from libs.events.retry_policy import RetryPolicy
from tests.simulation.fleet.node import Harness

ACCOUNT = "default"
RETRY = RetryPolicy(max_retries=2, backoff="fixed", delay_ms=500)
WANTED = frozenset({"job.finished", "job.cancelled", "job.retry_scheduled"})
WANTED_OF_SCHEDULES = frozenset({"schedule.ticked", "schedule.autopaused"})


def has_endpoint(seed: str) -> bool:
    """Whether the installation of *seed* has one: half of them."""
    return random.Random(f"{seed} endpoint").random() < 0.5


def make_endpoint(harness: Harness) -> None:
    """Give the account an endpoint that asks for everything."""
    made = Endpoint(
        endpoint_id=new_endpoint_id(1, 0, ACCOUNT, b"only"),
        account=ACCOUNT,
        config=EndpointConfig(url="http://endpoint.example/endpoint/all", events=("*",), retry=RETRY),
        version=1,
        created_at=1,
        changed_at=1,
    )
    harness.store.database.endpoints.add(made, "whsec_" + "E" * 32)


def owed(harness: Harness) -> Iterator[JobScheduled]:
    """Yield the jobs that must tell the endpoint of what the log says; nothing if there is none."""
    database = harness.store.database
    endpoints = list(database.endpoints.by_id.values())
    if not endpoints:
        return
    for partition in range(harness.sizes.partitions):
        fold = ReaderFold(partition, wanted=WANTED)
        for record in harness.log.records(partition):
            event = fold.take(record.position, record.envelope)
            if not isinstance(event, OWNER_DECISIONS):
                continue
            number = attempt_of(event)
            row = database.jobs_of(partition, [(event.job_id, number)], with_urls=False)[1].get((event.job_id, number))
            if row is None or row.account != ACCOUNT:
                continue
            for told in told_of(
                event, JobFacts(row.account, row.schedule_id, None, row.attempt, row.labels), endpoints
            ):
                yield delivery_job(told, partition)


def owed_of_schedules(harness: Harness) -> Iterator[tuple[JobScheduled, bool]]:
    """
    Yield the jobs that tell the endpoint of schedules, and whether each must.

    It may also be told of a tick that is void, if the schedule was changed once more before the tables were read.
    """
    endpoints = list(harness.store.database.endpoints.by_id.values())
    for partition in range(harness.sizes.partitions) if endpoints else ():
        fold, ledger = ReaderFold(partition, wanted=WANTED_OF_SCHEDULES), Ledger(partition)
        for record in harness.log.records(partition):
            event = fold.take(record.position, record.envelope)
            applied = ledger.apply(record.position, read(partition, record.envelope), record.envelope.claim)
            if not isinstance(event, SCHEDULE_DECISIONS):
                continue
            schedule = ledger.states.get(event.schedule_id)
            if isinstance(schedule, ScheduleState) and schedule.account == ACCOUNT:
                for told in told_of_schedule(event, endpoints):
                    yield delivery_job(told, partition), applied.verdict is Verdict.APPLIED


def undelivered(harness: Harness, poisoned: set[str]) -> list[str]:
    """Say of what the endpoint was not told, and of what it was told that nobody owed it."""
    of_schedules = list(owed_of_schedules(harness))
    must = {job.job_id: job for job in (*owed(harness), *(job for job, is_owed in of_schedules if is_owed))}
    may = must.keys() | {job.job_id for job, _ in of_schedules}
    jobs = harness.store.database.jobs
    told = {job_id for job_id, job in jobs.items() if is_id(job.account, "whe")}
    found = [f"delivery_lost: {job_id}: {job.spec.body}" for job_id, job in must.items() if job_id not in told]
    found += [f"delivery_alien: {job_id}" for job_id in sorted(told - may)]
    arrived = set(harness.targets.deliveries)
    for job_id in sorted(told & may - poisoned):
        if delivery_id(job_id) not in arrived:
            found.append(f"delivery_not_made: {job_id} is {jobs[job_id].status.name}")
    return found
