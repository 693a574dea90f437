"""What a job has been through: executions, timeline, replay."""

from __future__ import annotations

import json

import pytest

from libs.events.ids import partition_of
from tests.contract.harness import Harness
from tests.contract.test_jobs import SEVEN
from tests.fakes.running.client import instant_ms
from tests.fakes.running.topologies import Client

pytestmark = pytest.mark.everywhere("kafka")

URL = "https://example.com/x"


async def test_executions(api: Client, harness: Harness) -> None:
    """Every admitted attempt has a row with the documented fields and `error`, oldest first; null while its outcome is unknown."""
    job = await api.create(URL, 60, max_retries=2)
    path = f"/v1/jobs/{job['id']}/executions"
    assert (await api.call("GET", path))[:2] == (200, {"executions": []})

    await harness.fire(job["id"])
    _, one, _ = await api.call("GET", path)
    await harness.finish(job["id"], ok=False, status_code=500, error="HTTP 500")
    await harness.fire(job["id"])
    await harness.finish(job["id"], ok=True)
    _, two, _ = await api.call("GET", path)

    assert set(one["executions"][0]) == {
        *("id", "attempt_num", "status", "status_code", "duration_ms", "executed_at", "error"),
    }
    assert [one["executions"][0][name] for name in ("status", "status_code", "duration_ms", "error")] == [None] * 4
    first, second = two["executions"]
    assert first["id"] == one["executions"][0]["id"]
    assert first["id"].startswith("exec_")
    assert (first["attempt_num"], first["status"], first["status_code"], first["error"]) == (
        1,
        "failed",
        500,
        "HTTP 500",
    )
    assert (second["attempt_num"], second["status"], second["status_code"], second["error"]) == (
        2,
        "success",
        200,
        None,
    )
    assert second["duration_ms"] == 143


async def test_status_words(api: Client, harness: Harness) -> None:
    """A job reads running from its first attempt until its end, retry waits included, then success or failed."""
    job = await api.create(URL, 60, max_retries=1)
    await harness.fire(job["id"])
    assert (await api.job(job["id"]))["status"] == "running"
    await harness.finish(job["id"], ok=False, status_code=503)
    waiting = await api.job(job["id"])
    assert (waiting["status"], waiting["execution_count"], waiting["last_status_code"]) == ("running", 1, 503)
    await harness.fire(job["id"])
    await harness.finish(job["id"], ok=True)
    done = await api.job(job["id"])

    assert (done["status"], done["execution_count"], done["last_status_code"]) == ("success", 2, 200)
    assert instant_ms(done["started_at"]) <= instant_ms(done["completed_at"])
    assert done["next_attempt_at"] is done["last_error"] is None


async def test_timeline(api: Client, harness: Harness) -> None:
    """The timeline shows a job's own records in order, numbered, without secrets, and without a word of how busy others are."""
    await api.create(URL, 60)
    job = await api.create(URL, 60, headers={"Authorization": "canary"}, body="canary", idempotency_key="canary")
    await harness.fire(job["id"])
    await harness.finish(job["id"], ok=False, status_code=None, error="timeout")

    status, timeline, _ = await api.call("GET", f"/v1/jobs/{job['id']}/events")

    assert status == 200
    events = timeline["events"]
    assert [event["type"] for event in events] == ["job.scheduled", "attempt.due", "attempt.finished", "job.finished"]
    assert len({event["partition"] for event in events}) == 1
    assert [event["position"] for event in events] == [0, 1, 2, 3]
    assert events[0]["at"] == job["created_at"]
    assert events[2]["error"] == "timeout"
    assert events[3]["status"] == "failed"
    assert "canary" not in json.dumps(timeline)


async def test_timeline_of_a_cancelled_job(api: Client) -> None:
    """A cancelled job's timeline shows the request and the decision."""
    job = await api.create(URL, 60)
    await api.call("DELETE", f"/v1/jobs/{job['id']}")

    _, timeline, _ = await api.call("GET", f"/v1/jobs/{job['id']}/events")
    assert [event["type"] for event in timeline["events"]] == ["job.scheduled", "job.cancel_requested", "job.cancelled"]


async def test_replay(api: Client, harness: Harness) -> None:
    """A failed job can be cloned: 201 with the seven fields and replay_of; the clone is due at once and asks for the same."""
    job = await api.create(URL, 60, headers={"A": "1"}, body="b", http_method="PUT")
    await harness.fire(job["id"])
    await harness.finish(job["id"], ok=False, status_code=500)

    status, clone, _ = await api.call("POST", f"/v1/jobs/{job['id']}/replay")

    assert status == 201
    assert list(clone) == [*job, "replay_of"]
    assert clone["replay_of"] == job["id"]
    assert clone["id"] != job["id"]
    assert clone["scheduled_at"] == clone["created_at"]
    shown = await api.job(clone["id"])
    assert (shown["headers"], shown["body"], shown["http_method"], shown["status"]) == (
        {"A": "1"},
        "b",
        "PUT",
        "scheduled",
    )


async def test_a_replay_takes_no_room_for_what_it_sends(api: Client, harness: Harness) -> None:
    """Its record names the spec of the first job, in whose partition it stands; so does the replay of a replay."""
    first = job = await api.create(URL, 60, headers={"A": "1"}, body="b" * 100_000)
    for _ in range(2):
        await harness.fire(job["id"])
        await harness.finish(job["id"], ok=False, status_code=500)
        _, job, _ = await api.call("POST", f"/v1/jobs/{job['id']}/replay")
        records = await harness.log.read(partition_of(first["id"]), 0)
        (record,) = [each for each in records if each.envelope.key == job["id"]]
        assert len(record.envelope.value) < 1_000
        shown = await api.job(job["id"])
        assert (shown["headers"], shown["body"]) == ({"A": "1"}, "b" * 100_000)


async def test_replay_of_what_has_not_failed(api: Client, harness: Harness) -> None:
    """Only a failed job is replayed: 409 for any other."""
    job = await api.create(URL, 60)
    status, body, _ = await api.call("POST", f"/v1/jobs/{job['id']}/replay")
    assert (status, body["error"]["code"]) == (409, "job_not_failed")
    await harness.fire(job["id"])
    await harness.finish(job["id"], ok=True)
    assert (await api.call("POST", f"/v1/jobs/{job['id']}/replay"))[0] == 409


async def test_replay_with_a_key(api: Client, harness: Harness) -> None:
    """A replay repeated with its Idempotency-Key makes one clone; the key stands for that replay only."""
    jobs = [await api.create(URL, 60) for _ in range(2)]
    for job in jobs:
        await harness.fire(job["id"])
        await harness.finish(job["id"], ok=False, status_code=500)
    first = await api.call("POST", f"/v1/jobs/{jobs[0]['id']}/replay", headers={"Idempotency-Key": "k"})
    again = await api.call("POST", f"/v1/jobs/{jobs[0]['id']}/replay", headers={"Idempotency-Key": "k"})
    status, body, _ = await api.call("POST", f"/v1/jobs/{jobs[1]['id']}/replay", headers={"Idempotency-Key": "k"})

    assert first[:2] == again[:2]
    assert again[2]["Idempotent-Replayed"] == "true"
    assert (status, body["error"]["code"]) == (409, "idempotency_key_reused")


async def test_a_policy_decides_and_says_why(api: Client) -> None:
    """A job with a retry object is tried as that says, shows it, and ends with its reason; a plain job shows no more than ever."""
    wanted = {"max_retries": 2, "backoff": "fixed", "delay_seconds": 0.1, "jitter": "none", "retry_on": ["5xx"]}
    status, created, _ = await api.call("POST", "/v1/jobs", {"url": URL, "delay_seconds": 3600, "retry": wanted})
    assert (status, set(created)) == (201, {*SEVEN})
    assert created["max_retries"] == 2

    job = await api.job(created["id"])

    assert {name: job["retry"][name] for name in wanted} == wanted
    assert (job["success_on"], job["expires_at"]) == (["2xx"], None)
    assert "ended_by" not in job
