"""An application that uses the client, as its author would write it. tests/clients/test_installed.py lets mypy judge it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from typing import assert_type

import fliq_client
from fliq_client import (
    ApiError,
    AsyncFliq,
    CreatedJob,
    Execution,
    Fliq,
    Job,
    JobAlreadyFired,
    JobItem,
    Page,
    Retries,
    Schedule,
    job_request,
    verify,
)


def blocking(at: datetime) -> None:
    """Every result has its type."""
    with Fliq("https://fliq.example.com", "fliq_sk_...", retries=Retries(count=5)) as fliq:
        job = fliq.jobs.create(
            "https://example.com/charge", at=at, json={"amount": 100}, max_retries=3, key="order-4711"
        )
        assert_type(job, CreatedJob)
        assert_type(job.scheduled_at, datetime)
        assert_type(fliq.jobs.get(job.id), Job)
        assert_type(fliq.jobs.get(job.id).next_attempt_at, datetime | None)
        assert_type(fliq.jobs.list(status="failed"), Iterator[JobItem])
        assert_type(fliq.jobs.page(limit=10), Page[JobItem])
        assert_type(fliq.jobs.executions(job.id), Sequence[Execution])
        assert_type(fliq.schedules.pause("sched_1"), Schedule)
        for result in fliq.jobs.create_many([job_request("https://example.com/", at=at)]):
            if isinstance(result, ApiError):
                print(result.code, result.retry_after_s)
            else:
                assert_type(result, CreatedJob)
        try:
            fliq.jobs.cancel(job.id)
        except JobAlreadyFired as error:
            print(error.message)


async def concurrent(at: datetime) -> None:
    """The same names; results are awaited."""
    async with AsyncFliq() as fliq:
        task = asyncio.create_task(fliq.jobs.create("https://example.com/charge", at=at, http_method="PUT"))
        assert_type(await task, CreatedJob)
        assert_type(fliq.jobs.list(), AsyncIterator[JobItem])
        async for job in fliq.jobs.list():
            assert_type(job, JobItem)
        assert_type(await fliq.tokens.create(name="x", scopes=["read"]), fliq_client.NewToken)


def receiver(headers: dict[str, str], body: bytes) -> str:
    """What is proved about a call."""
    return verify("whsec_...", headers, body, method="POST", url="https://example.com/charge").message_id


# mypy must find a mistake in each line below; with `warn_unused_ignores` a line without one is an error.
def mistaken(fliq: Fliq, several: AsyncFliq, at: datetime) -> None:
    """What cannot work does not pass the type checker."""
    fliq.jobs.create("https://example.com/", at="2026-04-01T09:00:00Z")  # type: ignore[arg-type]
    fliq.jobs.create("https://example.com/", at=at, retries=3)  # type: ignore[call-arg]
    fliq.jobs.create("https://example.com/", at=at, max_retries="3")  # type: ignore[arg-type]
    fliq.jobs.create("https://example.com/", at=at, http_method="FETCH")  # type: ignore[arg-type]
    fliq.jobs.get(job="job_1")  # type: ignore[call-arg]
    print(fliq.jobs.get("job_1").colour)  # type: ignore[attr-defined]
    print(several.jobs.create("https://example.com/", at=at).id)  # type: ignore[attr-defined]
    verify("whsec_...", {}, "text")  # type: ignore[arg-type]
