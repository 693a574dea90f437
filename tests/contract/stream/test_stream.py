"""The stream of events: what an account is told, as it happens."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.running.listening import Listening, name_of
from tests.fakes.running.topologies import Client

URL = "https://example.com/x"


def listening(api: Client, query: str = "", last_id: str = "") -> Listening:
    return Listening(api.url, api.token, query, last_id=last_id)


async def made_and_cancelled(api: Client, **fields: Any) -> str:
    job = await api.create(URL, 3600, **fields)
    status, _, _ = await api.call("DELETE", f"/v1/jobs/{job['id']}")
    assert status == 204
    return str(job["id"])


async def test_a_job_is_told_of_in_order(api: Client) -> None:
    """What happens to a job after the stream began is told as CloudEvents, in the order in which it happened."""
    async with listening(api) as stream:
        job = await made_and_cancelled(api, labels={"tenant": "acme"})
        assert await stream.told(2) == [("job.scheduled", job), ("job.cancelled", job)]

    assert stream.headers["Content-Type"] == "text/event-stream"
    first, last = stream.events
    assert first["specversion"] == "1.0"
    assert first["type"] == "sh.fliq.job.scheduled.v1"
    assert first["source"] == "/v1/jobs"
    assert set(first["data"]) == {"job_id", "scheduled_at", "schedule_id", "labels"}
    assert last["data"]["status"] == "cancelled"
    assert last["data"]["labels"] == {"tenant": "acme"}
    assert first["id"] != last["id"]


async def test_nothing_of_another_account(api: Client, other: Client) -> None:
    """A stream tells of its own account alone: the next event of its own comes after those of another one, and they never do."""
    async with listening(api) as stream:
        await made_and_cancelled(other)
        mine = await made_and_cancelled(api)
        assert {subject for _, subject in await stream.told(2)} == {mine}


async def test_killed_and_resumed_fifty_times(api: Client) -> None:
    """A stream that is killed at every event, and resumed from its last id, misses none; those of each job stay in order."""
    async with listening(api) as stream:
        last_id = stream.last_id
    jobs = [await made_and_cancelled(api) for _ in range(25)]
    seen: list[tuple[str, str]] = []
    wanted = {(name, job) for job in jobs for name in ("job.scheduled", "job.cancelled")}
    kills = 0
    while not wanted <= set(seen) or kills < 50:
        async with listening(api, last_id=last_id) as stream:
            if not wanted <= set(seen):
                await stream.told(1)
            seen += [(name_of(event), event["subject"]) for event in stream.events]
            last_id = stream.last_id
        kills += 1
        if kills <= 25:
            await_job = await made_and_cancelled(api)
            wanted |= {("job.scheduled", await_job), ("job.cancelled", await_job)}
        assert kills < 200
    for _, job in wanted:
        mine = [name for name, subject in dict.fromkeys(seen) if subject == job]
        assert mine == ["job.scheduled", "job.cancelled"]


async def test_filters(api: Client) -> None:
    """`types` and `label` leave away what is not asked for."""
    async with (
        listening(api, "?types=job.cancelled,job.failed") as ends,
        listening(api, "?label=tenant:acme") as of_label,
    ):
        plain = await made_and_cancelled(api)
        labelled = await made_and_cancelled(api, labels={"tenant": "acme", "kind": "invoice"})
        assert set(await ends.told(2)) == {("job.cancelled", plain), ("job.cancelled", labelled)}  # of one job each
        assert {subject for _, subject in await of_label.told(2)} == {labelled}


async def test_since(api: Client) -> None:
    """`since` begins at an instant of before, with what has happened from there on."""
    before = await made_and_cancelled(api)
    _, shown, _ = await api.call("GET", f"/v1/jobs/{before}")
    async with listening(api, f"?since={shown['created_at']}") as stream:
        after = await made_and_cancelled(api)
        await stream.until(lambda: ("job.cancelled", after) in {(name_of(e), e["subject"]) for e in stream.events})
        assert ("job.cancelled", before) in {(name_of(each), each["subject"]) for each in stream.events}


@pytest.mark.parametrize(
    ("query", "last_id", "code"),
    [
        ("?types=job.exploded", "", "invalid_parameter"),
        ("?types=", "", "invalid_parameter"),
        ("?schedule_id=digest", "", "invalid_parameter"),
        ("?since=yesterday", "", "invalid_parameter"),
        ("?label=tenant", "", "invalid_labels"),
        ("?limit=5", "", "invalid_parameter"),
        ("", "no-place", "invalid_last_event_id"),
        ("", "A" * 400, "invalid_last_event_id"),
    ],
)
async def test_refusals(api: Client, query: str, last_id: str, code: str) -> None:
    """What a stream cannot be asked is refused, with the parameter's name."""
    async with listening(api, query, last_id) as stream:
        assert (stream.status, stream.refusal["code"]) == (400, code)


async def test_a_place_of_another_account(api: Client, other: Client) -> None:
    """The last id of another account's stream is refused."""
    async with listening(other) as theirs:
        last_id = theirs.last_id
    async with listening(api, last_id=last_id) as stream:
        assert (stream.status, stream.refusal["code"]) == (400, "invalid_last_event_id")


async def test_head_does_not_stream(api: Client) -> None:
    """HEAD answers at once."""
    status, body, headers = await api.call("HEAD", "/v1/events")
    assert (status, body, headers["Content-Type"]) == (200, None, "text/event-stream")
