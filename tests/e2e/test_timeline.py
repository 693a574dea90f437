"""The timeline: a job's own records, read back from the log."""

from __future__ import annotations

import pytest

from tests.fakes.running.sink import Sink
from tests.fakes.running.topologies import Client, instant_ms
from tests.fakes.until import until


@pytest.mark.everywhere
async def test_the_timeline_tells_a_life(client: Client, sink: Sink) -> None:
    """From being asked for to the report at its end: every event once, in the order of the log, none before its time."""
    job = await client.create(
        f"{sink.url}/flaky/1/{sink.port}", 0.3, max_retries=1, webhook_url=f"{sink.url}/hook", body="secret body"
    )
    await sink.wait_for(lambda: sink.at("/hook"))
    events = await _events(client, job["id"], last="webhook.finished")

    assert [event["type"] for event in events] == [
        "job.scheduled",
        "attempt.due",
        "attempt.finished",
        "job.retry_scheduled",
        "attempt.due",
        "attempt.finished",
        "job.finished",
        "webhook.finished",
    ]
    assert [event["position"] for event in events] == list(range(len(events)))
    assert len({event["partition"] for event in events}) == 1
    finished = [event for event in events if event["type"] == "attempt.finished"]
    assert [event["ok"] for event in finished] == [False, True]
    assert all(instant_ms(event["started_at"]) >= instant_ms(job["scheduled_at"]) for event in finished)
    assert "secret body" not in str(events)


async def _events(client: Client, job_id: str, *, last: str) -> list[dict[str, object]]:
    """The timeline, once it holds *last*."""
    events: list[dict[str, object]] = []

    async def is_there() -> bool:
        status, answer, _ = await client.call("GET", f"/v1/jobs/{job_id}/events")
        assert status == 200
        events[:] = answer["events"]
        return any(event["type"] == last for event in events)

    await until(is_there, within_s=15, every_s=0.01, saying=lambda: f"no {last} in {events}")
    return events
