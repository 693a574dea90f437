"""The timeline of a job whose first records are in the log no more."""

from __future__ import annotations

from libs.events.ids import partition_of
from tests.contract.harness import Harness
from tests.fakes.running.topologies import Client

URL = "https://example.com/x?q=1"
SIXTY_DAYS_S = 60 * 86_400
FIELDS = {"labels": {"tenant": "acme"}, "headers": {"X-A": "1"}, "body": "hello", "max_retries": 1}


async def trim(harness: Harness, job_id: str) -> None:
    """Delete all that is in the log of the job's partition."""
    await harness.caught_up()
    partition = partition_of(job_id)
    await harness.log.trim(partition, await harness.log.end(partition))


async def test_a_job_sixty_days_ahead_is_what_it_was(api: Client, harness: Harness) -> None:
    """Its request is trimmed long before it fires: what it calls, its labels and its timeline are there all the same."""
    job = await api.create(URL, SIXTY_DAYS_S, **FIELDS)
    path = f"/v1/jobs/{job['id']}"
    await trim(harness, job["id"])

    shown = await api.job(job["id"])
    assert {name: shown[name] for name in FIELDS} | {"url": shown["url"]} == FIELDS | {"url": URL}
    _, waiting, _ = await api.call("GET", f"{path}/events")
    nothing_yet = {"events": [], "trimmed": True, "status": "scheduled", "completed_at": None, "executions": []}
    assert waiting == nothing_yet

    harness.clock.ahead_ms += SIXTY_DAYS_S * 1000
    await harness.fire(job["id"])
    await harness.finish(job["id"], ok=False, status_code=503, error="HTTP 503")
    await harness.fire(job["id"])
    await harness.finish(job["id"], ok=True)
    _, ended, _ = await api.call("GET", f"{path}/events")

    assert [(each["position"], each["type"]) for each in ended["events"]] == [
        (1, "attempt.due"),
        (2, "attempt.finished"),
        (3, "job.retry_scheduled"),
        (4, "attempt.due"),
        (5, "attempt.finished"),
        (6, "job.finished"),
    ]
    assert (ended["trimmed"], ended["status"]) == (True, "success")
    assert [each["status_code"] for each in ended["executions"]] == [503, 200]


async def test_an_ended_job_that_is_older_than_the_log(api: Client, harness: Harness) -> None:
    """200, no event, and what the tables know; a job whose records are all there is not called trimmed."""
    job = await api.create(URL, 60)
    path = f"/v1/jobs/{job['id']}/events"
    await harness.fire(job["id"])
    await harness.finish(job["id"], ok=True)
    assert "trimmed" not in (await api.call("GET", path))[1]
    await trim(harness, job["id"])

    status, found, _ = await api.call("GET", path)
    assert (status, found["events"], found["trimmed"], found["status"]) == (200, [], True, "success")
    assert found["completed_at"] == (await api.job(job["id"]))["completed_at"]
    assert [(each["attempt_num"], each["status_code"]) for each in found["executions"]] == [(1, 200)]
