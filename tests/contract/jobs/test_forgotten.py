"""A job that was forgotten: nobody finds it, its key may be used again, and it does not come back."""

from __future__ import annotations

from libs.domain.history.choice import DAY_MS
from libs.events import HistoryForgotten, encode
from libs.events.ids import partition_of
from tests.contract.harness import Harness
from tests.fakes.running.topologies import Client

URL = "https://example.com/x"


async def forget(harness: Harness, job_id: str) -> None:
    """Decide that *job_id*, which has ended, is forgotten, and delete its row and key as a janitor does; two days go by."""
    part, ended_at = partition_of(job_id), harness.tables.jobs[job_id].completed_at
    assert ended_at is not None
    decision = HistoryForgotten(
        through=harness.ledgers[part].position + 1, success_before=ended_at + DAY_MS, at=harness.clock.now()
    )
    await harness.log.append(part, [encode(decision, harness.claims[part])])
    await harness.caught_up()
    ledger = harness.ledgers[part]
    assert ledger.floors.forget(harness.tables.jobs[job_id], ledger.states)
    del harness.tables.jobs[job_id]
    harness.tables.keys = {key: held for key, held in harness.tables.keys.items() if held.job_id != job_id}
    harness.clock.ahead_ms += 2 * DAY_MS


async def test_nobody_finds_it_and_its_key_is_free(api: Client, harness: Harness) -> None:
    """404 for the job, its timeline, its executions, a replay; the key makes another job; a repeat of its record makes none."""
    body = {"url": URL, "delay_seconds": 60, "idempotency_key": "k"}
    _, job, _ = await api.call("POST", "/v1/jobs", body)
    path = f"/v1/jobs/{job['id']}"
    await harness.fire(job["id"])
    await harness.finish(job["id"], ok=True)
    await forget(harness, job["id"])

    asked = (("GET", ""), ("GET", "/events"), ("GET", "/executions"), ("POST", "/replay"), ("DELETE", ""))
    assert [(await api.call(method, f"{path}{rest}"))[0] for method, rest in asked] == [404] * len(asked)
    status, another, _ = await api.call("POST", "/v1/jobs", body)
    assert (status, another["id"] != job["id"]) == (201, True)

    part = partition_of(job["id"])
    records = await harness.log.read(part, 0, max_records=1_000)
    request = next(each.envelope for each in records if each.envelope.key == job["id"])
    await harness.log.append(part, [request])
    await harness.caught_up()
    del harness.ledgers[part].states[job["id"]]  # an owner that starts now does not have it
    await harness.log.append(part, [request])
    await harness.caught_up()
    assert (await api.call("GET", path))[0] == 404


async def test_its_schedule_has_still_run(api: Client, harness: Harness) -> None:
    """`run_count` and `last_run_at` count what has been forgotten."""
    _, schedule, _ = await api.call("POST", "/v1/schedules", {"url": URL, "every": {"seconds": 60}})
    job_id = await harness.tick(schedule["id"])
    await harness.fire(job_id)
    await harness.finish(job_id, ok=True)
    await forget(harness, job_id)

    _, after, _ = await api.call("GET", f"/v1/schedules/{schedule['id']}")
    assert after["run_count"] == 1
    assert after["last_run_at"] is not None
    assert (await api.call("GET", f"/v1/jobs/{job_id}"))[0] == 404
