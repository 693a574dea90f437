"""Jobs of which an account has one at a time: while they wait (`waiting_key`), or until they end (`singleton_key`)."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.contract.harness import Harness
from tests.fakes.running.topologies import Client, instant_ms

URL = "https://example.com/x"


async def post(api: Client, **fields: Any) -> tuple[int, Any, str | None]:
    """Return status, job and what became of the job that had the key."""
    status, job, headers = await api.call("POST", "/v1/jobs", {"url": URL, "delay_seconds": 3600} | fields)
    return status, job, next((value for name, value in headers.items() if name.lower() == "fliq-existing"), None)


async def test_keep(api: Client) -> None:
    """The first request makes the job; the next ones get it as it is, and it shows its key."""
    status, made, existing = await post(api, waiting_key="keep", body="first")
    assert (status, existing) == (201, None)
    assert set(made) == {"id", "url", "http_method", "scheduled_at", "max_retries", "status", "created_at"}
    again = await post(api, waiting_key="keep", body="second", delay_seconds=5)

    assert again == (200, made, "kept")
    job = await api.job(made["id"])
    assert (job["body"], job["waiting_key"]) == ("first", "keep")
    assert "singleton_key" not in job


async def test_replace(api: Client) -> None:
    """The job that waits becomes what the request says, under its id."""
    _, made, _ = await post(api, waiting_key="replace", body="first", max_retries=3)
    status, job, existing = await post(
        api, waiting_key="replace", on_waiting="replace", url="https://example.com/y", body="second", delay_seconds=7200
    )

    assert (status, existing, job["id"]) == (200, "replaced", made["id"])
    assert (job["url"], job["max_retries"], job["created_at"]) == ("https://example.com/y", 0, made["created_at"])
    assert 3_590_000 < instant_ms(job["scheduled_at"]) - instant_ms(made["scheduled_at"]) < 3_700_000
    seen = await api.job(made["id"])
    assert (seen["body"], seen["waiting_key"], seen["scheduled_at"]) == ("second", "replace", job["scheduled_at"])


async def test_extend_has_an_upper_bound(api: Client) -> None:
    """The instant alone moves, only to a later one, and never beyond max_wait_seconds after the job's creation."""
    fields = {"waiting_key": "extend", "on_waiting": "extend", "max_wait_seconds": 5400}
    _, made, _ = await post(api, body="first", **fields)
    _, moved, existing = await post(api, body="second", delay_seconds=4000, **fields)
    _, bounded, _ = await post(api, delay_seconds=9000, **fields)
    _, same, _ = await post(api, delay_seconds=10, **fields)

    assert (existing, moved["id"], bounded["id"]) == ("extended", made["id"], made["id"])
    assert instant_ms(moved["scheduled_at"]) >= instant_ms(made["created_at"]) + 4_000_000
    assert instant_ms(bounded["scheduled_at"]) == instant_ms(made["created_at"]) + 5_400_000
    assert same == bounded
    assert (await api.job(made["id"]))["body"] == "first"


async def test_extend_stops_before_the_expiry(api: Client) -> None:
    """A job that is put off again and again is called just before it expires."""
    _, made, _ = await post(api, waiting_key="expiry", expires_in_seconds=60)
    _, moved, _ = await post(api, waiting_key="expiry", on_waiting="extend", delay_seconds=9000)
    assert instant_ms(moved["scheduled_at"]) == instant_ms(made["scheduled_at"]) + 59_999


async def test_a_job_that_does_not_wait_lets_go(api: Client) -> None:
    """Cancelled, the next request makes a job of its own, whatever on_waiting says; the job before keeps what it was."""
    _, made, _ = await post(api, waiting_key="free", body="first")
    await api.call("DELETE", f"/v1/jobs/{made['id']}")
    ids = {made["id"]}
    for how in ("keep", "replace", "extend"):
        status, job, existing = await post(api, waiting_key="free", on_waiting=how, body=how)
        assert (status, existing) == (201, None)
        ids.add(job["id"])
        await api.call("DELETE", f"/v1/jobs/{job['id']}")
    assert len(ids) == 4
    assert (await api.job(made["id"]))["body"] == "first"


async def test_a_job_that_fired_lets_go(api: Client, harness: Harness) -> None:
    """Its first attempt is due: the next request makes a job."""
    _, made, _ = await post(api, waiting_key="fired")
    await harness.fire(made["id"])
    status, job, _ = await post(api, waiting_key="fired", on_waiting="replace")
    assert status == 201
    assert job["id"] != made["id"]


async def test_singleton(api: Client) -> None:
    """Held until the end: another request gets the job that lives; after its end the next one makes a job."""
    status, made, existing = await post(api, singleton_key="one")
    assert (status, existing) == (201, None)
    assert await post(api, singleton_key="one", body="other", delay_seconds=1) == (200, made, "kept")
    assert (await api.job(made["id"]))["singleton_key"] == "one"
    await api.call("POST", f"/v1/jobs/{made['id']}/stop")

    status, job, _ = await post(api, singleton_key="one")
    assert status == 201
    assert job["id"] != made["id"]


async def test_singleton_while_it_runs(api: Client, harness: Harness) -> None:
    """A job whose attempt is due holds its key, and shows its status; only its end lets go."""
    _, made, _ = await post(api, singleton_key="running")
    await harness.fire(made["id"])
    status, job, existing = await post(api, singleton_key="running")
    assert (status, job["id"], job["status"], existing) == (200, made["id"], "running", "kept")


async def test_keys_are_of_the_account_and_of_their_kind(api: Client, other: Client) -> None:
    """The same text in another account, or as the other kind of key, is another key."""
    ids = {
        (await post(api, waiting_key="same"))[1]["id"],
        (await post(other, waiting_key="same"))[1]["id"],
        (await post(api, singleton_key="same"))[1]["id"],
        (await post(api, idempotency_key="same"))[1]["id"],
    }
    assert len(ids) == 4


async def test_of_many_at_once_one_makes_the_job(api: Client) -> None:
    """Every other one is answered with 200 and the same id; the body is one of those that were sent."""
    for kind, how in (("waiting", "replace"), ("waiting", "extend"), ("singleton", None)):
        fields = {f"{kind}_key": f"many {how}"} | ({} if how is None else {"on_waiting": how})
        answers = await asyncio.gather(*[post(api, body=str(number), **fields) for number in range(12)])

        assert sorted(status for status, _, _ in answers) == [200] * 11 + [201]
        assert len({job["id"] for _, job, _ in answers}) == 1
        assert int((await api.job(answers[0][1]["id"]))["body"]) in range(12)


async def test_patch_and_run_leave_the_key(api: Client) -> None:
    """It cannot be changed; a merge makes a version, so a PATCH on the one before is 412."""
    _, made, _ = await post(api, waiting_key="patched")
    path = f"/v1/jobs/{made['id']}"
    status, refused, _ = await api.call("PATCH", path, {"waiting_key": "other"})
    assert (status, refused["error"]["code"]) == (400, "unknown_field")
    await post(api, waiting_key="patched", on_waiting="replace", body="new")
    assert (await api.call("PATCH", path, {"body": "x"}, headers={"If-Match": '"v0"'}))[0] == 412
    status, job, _ = await api.call("PATCH", path, {"body": "x"}, headers={"If-Match": '"v1"'})
    assert (status, job["waiting_key"], job["body"]) == (200, "patched", "x")


async def test_a_batch(api: Client) -> None:
    """Each item is judged on its own and says what it found; of two with one key the second is refused."""
    _, made, _ = await post(api, waiting_key="in batch")
    item = {"url": URL, "delay_seconds": 60}
    jobs = [
        item | {"waiting_key": "in batch", "on_waiting": "replace"},
        item | {"waiting_key": "new in batch"},
        item,
        item | {"singleton_key": "in batch"},
        item | {"singleton_key": "in batch"},
        item | {"waiting_key": ""},
        item | {"waiting_key": "late", "scheduled_at": "2020-01-01T00:00:00Z", "delay_seconds": None},
    ]
    status, answer, _ = await api.call("POST", "/v1/jobs/batch", {"jobs": jobs})
    results = answer["results"]

    assert status == 200
    assert (results[0]["job"]["id"], results[0]["existing"]) == (made["id"], "replaced")
    assert all(set(results[index]) == {"job"} for index in (1, 2, 3))
    codes = [result["error"]["code"] for result in results[4:]]
    assert codes[:2] == ["invalid_singleton_key", "invalid_waiting_key"]
    assert "another job of this batch has this key" in results[4]["error"]["message"]
    again = await api.call("POST", "/v1/jobs/batch", {"jobs": [item | {"singleton_key": "in batch"}]})
    assert again[1]["results"] == [{"job": results[3]["job"], "existing": "kept"}]


async def test_an_instant_that_has_passed_is_refused(api: Client) -> None:
    """Also if a job waits: it stays as it is."""
    _, made, _ = await post(api, waiting_key="past", body="first")
    body = {"url": URL, "scheduled_at": "2020-01-01T00:00:00Z", "waiting_key": "past", "on_waiting": "replace"}
    status, refused, _ = await api.call("POST", "/v1/jobs", body)
    assert (status, refused["error"]["code"]) == (400, "invalid_scheduled_at")
    assert (await api.job(made["id"]))["body"] == "first"


async def test_a_replay_has_no_key(api: Client, harness: Harness) -> None:
    """The copy of a failed job is a job like every other, beside the one that has the key now."""
    _, made, _ = await post(api, waiting_key="replayed")
    await api.call("POST", f"/v1/jobs/{made['id']}/run")
    await harness.fire(made["id"])
    await api.call("POST", f"/v1/jobs/{made['id']}/stop")
    _, waiting, _ = await post(api, waiting_key="replayed")
    status, copy, _ = await api.call("POST", f"/v1/jobs/{made['id']}/replay")

    assert status == 201
    assert copy["id"] not in (made["id"], waiting["id"])
    assert "waiting_key" not in await api.job(copy["id"])
