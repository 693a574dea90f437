"""The stream of events: what it must not tell, how many there may be, and who is cut off."""

from __future__ import annotations

import asyncio
import socket

import pytest

from libs.events import Claim, OwnerClaimed, encode
from libs.events.ids import partition_of
from services.api.http import connection
from services.api.service import ApiService
from services.api.stream import stream as streams
from tests.contract.harness import Harness
from tests.contract.stream.test_stream import URL, listening, made_and_cancelled
from tests.fakes import events
from tests.fakes.running.topologies import Client
from tests.fakes.until import until


async def test_attempts_are_told(api: Client, harness: Harness) -> None:
    """An attempt that fails, its retry and the end are told, with what the answer was, and without headers and bodies."""
    async with listening(api) as stream:
        job = (await api.create(URL, 3600, max_retries=1, body="secret", headers={"X-Token": "secret"}))["id"]
        await harness.caught_up()
        for ok in (False, True):
            await harness.fire(job)
            await harness.finish(job, ok=ok, status_code=200 if ok else 503, error=None if ok else "HTTP 503")
        assert [name for name, _ in await stream.told(7)] == [
            "job.scheduled",
            "attempt.due",
            "attempt.failed",
            "job.retry_scheduled",
            "attempt.due",
            "attempt.finished",
            "job.completed",
        ]
    assert stream.events[2]["data"]["status_code"] == 503
    assert "secret" not in str(stream.events)
    assert len({event["id"] for event in stream.events}) == 7


@pytest.mark.parametrize("is_resumed", [False, True])
async def test_void_decisions_are_not_told(api: Client, harness: Harness, is_resumed: bool) -> None:
    """A decision of an owner that has lost the partition is not told, neither at once nor to a stream that comes back."""
    async with listening(api) as stream:
        first = stream.last_id
        job = (await api.create(URL, 3600))["id"]
        part = partition_of(job)
        old, new = harness.claims[part], Claim(2, "anothernonce")
        claimed = OwnerClaimed(epoch=2, nonce=new.nonce, node="new", at=harness.clock.now())
        await harness.log.append(part, [encode(claimed)])
        harness.claims[part] = new
        cancelled = events.cancelled(job, harness.clock.now(), account="default")
        await harness.log.append(part, [encode(cancelled, old)])
        await harness.fire(job)
        if not is_resumed:
            assert [name for name, _ in await stream.told(2)] == ["job.scheduled", "attempt.due"]
    if is_resumed:
        async with listening(api, last_id=first) as stream:
            assert [name for name, _ in await stream.told(2)] == ["job.scheduled", "attempt.due"]


async def test_a_fact_that_stands_twice_has_one_id(api: Client, harness: Harness) -> None:
    """An outcome that was recorded twice is told twice, with the same id."""
    async with listening(api, "?types=attempt.finished") as stream:
        job = (await api.create(URL, 3600))["id"]
        await harness.fire(job)
        finished = events.finished(job, harness.clock.now(), 1, ok=True, duration_ms=1, status_code=200)
        await harness.log.append(partition_of(job), [encode(finished), encode(finished)])
        await stream.told(2)
    assert len({event["id"] for event in stream.events}) == 1


async def test_jobs_of_before_are_known(api: Client, harness: Harness) -> None:
    """A stream tells of jobs that were made, and fired, before anybody listened."""
    job = (await api.create(URL, 3600, labels={"tenant": "acme"}))["id"]
    await harness.fire(job)
    async with listening(api, "?label=tenant:acme") as stream:
        await harness.finish(job, ok=True)
        assert await stream.told(2) == [("attempt.finished", job), ("job.completed", job)]


async def test_too_old(api: Client, harness: Harness) -> None:
    """A place that the log does not reach any more is 410, and so is an instant of before."""
    async with listening(api) as stream:
        first = stream.last_id
    job = await made_and_cancelled(api)
    await harness.caught_up()
    part = partition_of(job)
    await harness.log.trim(part, await harness.log.end(part) - 1)
    for query, last_id in (("", first), ("?since=2020-01-01T00:00:00Z", "")):
        async with listening(api, query, last_id) as stream:
            assert (stream.status, stream.refusal["code"]) == (410, "too_old")


async def test_a_log_that_is_another_one(api: Client, harness: Harness) -> None:
    """A place beyond the log's end, as after a restored backup, is 410 too."""
    await made_and_cancelled(api)
    async with listening(api) as stream:
        last_id = stream.last_id
    other = Harness()
    await other.start()
    try:
        token = other.token()
        replica = await other.replica()
        url = f"http://127.0.0.1:{replica.port}"
        async with Client(url, token) as client, listening(client, last_id=last_id) as stream:
            assert (stream.status, stream.refusal["code"]) == (410, "too_old")
    finally:
        await other.stop()


async def test_shares(harness: Harness) -> None:
    """An account may have half of a process's streams; others find room; a stream that ends, however, makes room at once."""
    service = await harness.replica(streams_max=4)
    url = f"http://127.0.0.1:{service.port}"
    tail = service.tail
    assert tail is not None
    async with (
        Client(url, harness.token()) as api,
        Client(url, harness.token("other")) as other,
        listening(api),
        listening(other),
    ):
        async with listening(api), listening(api) as third:
            assert (third.status, third.refusal["code"]) == (429, "too_many_streams")
            assert third.headers["Retry-After"]
        await until(lambda: tail.held_by("default") == 1)
        async with listening(api) as again:
            assert again.status == 200


async def test_the_log_is_read_only_while_somebody_listens(api: Client, service: ApiService) -> None:
    """The tail begins with the first stream, and ends with the last."""
    tail = service.tail
    assert tail is not None
    assert not tail.is_running
    async with listening(api):
        assert tail.is_running
    await until(lambda: not tail.is_running)
    async with listening(api) as stream:
        job = await made_and_cancelled(api)
        assert {subject for _, subject in await stream.told(2)} == {job}


async def test_a_slow_reader_is_cut_off_and_resumes(
    api: Client, harness: Harness, service: ApiService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who does not read is cut off; who comes back with the last id that it saw gets all that it missed."""
    monkeypatch.setattr(connection, "WRITE_S", 0.5)
    async with listening(api) as before:
        last_id = before.last_id
    slow = socket.create_connection(("127.0.0.1", service.port))
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.sendall(f"GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.token}\r\n\r\n".encode())
    tail = service.tail
    assert tail is not None
    await until(lambda: tail.held_by("default") == 1)
    labels = {f"label{number}": "x" * 120 for number in range(15)}
    jobs = [{"url": URL, "scheduled_at": "2032-01-01T00:00:00Z", "labels": labels}] * 350
    made = [await api.call("POST", "/v1/jobs/batch", {"jobs": jobs}) for _ in range(12)]
    await until(lambda: tail.held_by("default") == 0, within_s=20)
    slow.close()
    wanted = {each["job"]["id"] for _, answer, _ in made for each in answer["results"]}
    async with listening(api, last_id=last_id) as stream:
        await stream.until(lambda: len({event["subject"] for event in stream.events}) == len(wanted), within_s=50)
        assert {event["subject"] for event in stream.events} == wanted


async def test_a_revoked_token_ends_its_stream(api: Client, harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream ends soon after its token is revoked."""
    monkeypatch.setattr(streams, "CHECK_S", 0.1)
    async with listening(api) as stream:
        harness.tables.tokens_by_hash.clear()
        await stream.ended()


async def test_a_quiet_stream_keeps_its_place_fresh(
    api: Client, other: Client, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While only others do something, the id moves on all the same: the stream resumes behind what was trimmed meanwhile."""
    monkeypatch.setattr(streams.EventStream.__init__, "__kwdefaults__", {"ping_s": 0.1})
    async with listening(api) as stream:
        first = stream.last_id
        theirs = await made_and_cancelled(other)
        await harness.caught_up()
        await asyncio.gather(*[stream.until(lambda: stream.last_id != first)])
        second = stream.last_id
        await stream.until(lambda: stream.last_id not in (first, second))
        last_id = stream.last_id
    await harness.log.trim(partition_of(theirs), await harness.log.end(partition_of(theirs)))
    async with listening(api, last_id=last_id) as stream:
        assert stream.status == 200


async def test_a_stop_ends_streams_at_once(api: Client, service: ApiService) -> None:
    """A process that stops does not wait for its streams."""
    async with listening(api) as stream:
        async with asyncio.timeout(3):
            await service.stop()
        await stream.ended()
