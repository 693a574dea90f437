"""Heartbeats: asked for by the owner whose turn it is, answered by the dispatcher, seen by nobody else."""

from __future__ import annotations

import asyncio

from libs.domain.heartbeat import ACCOUNT, AHEAD_MS, URL, heartbeat, partition_of_slot, slot_after
from libs.egress.request import OutgoingRequest
from libs.egress.signing import signature_headers
from libs.egress.url_rules import EgressPolicy, UrlRefused
from libs.events import JobScheduled, read
from libs.events.ids import heartbeat_job_id, instant_of, is_id, partition_of
from libs.log.memory import LOST, Faults, MemoryLog
from services.dispatcher.heartbeat import HeartbeatSecrets, HeartbeatTarget
from services.scheduler.heartbeats import Heartbeats
from tests.fakes.targets import ScriptedEgress
from tests.simulation.manual_clock import ManualClock

PERIOD_MS = 60_000


async def asked(log: MemoryLog, partitions: int) -> list[JobScheduled]:
    """Return every heartbeat in the log."""
    found = []
    for partition in range(partitions):
        for record in await log.read(partition, 0):
            event = read(partition, record.envelope)
            assert isinstance(event, JobScheduled)
            found.append(event)
    return sorted(found, key=lambda event: event.fire_at)


async def test_partitions_take_turns() -> None:
    """One job in a period, the next one in the next partition, each asked for ahead of its instant."""
    clock = ManualClock()
    log = MemoryLog(partitions=3, clock=clock)
    await log.start()
    decided_here = {0, 1, 2}
    beats = Heartbeats(
        event_log=log,
        clock=clock,
        period_ms=PERIOD_MS,
        partition_count=3,
        decides=lambda partition: partition in decided_here,
    )
    running = asyncio.create_task(beats.run())
    for _ in range(6):
        await clock.advance(PERIOD_MS)
    found = await asked(log, 3)
    assert [event.fire_at % PERIOD_MS for event in found] == [0] * 6
    assert [partition_of(event.job_id) for event in found[:3]] == [partition_of(event.job_id) for event in found[3:]]
    assert {partition_of(event.job_id) for event in found} == {0, 1, 2}
    assert all(event.at == event.fire_at - AHEAD_MS for event in found)
    decided_here.clear()
    await clock.advance(3 * PERIOD_MS)
    assert len(await asked(log, 3)) == 6, "who does not own a partition asks for nothing"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await log.stop()


class SetBack(ManualClock):
    """A clock that is found to be ahead, and goes back."""

    behind_ms = 0

    def now(self) -> int:
        return super().now() - self.behind_ms


async def test_a_clock_that_goes_back_does_not_end_the_beat() -> None:
    """Set back by a day, the clock goes on from there, and so do the heartbeats."""
    clock = SetBack()
    log = MemoryLog(partitions=1, clock=clock)
    await log.start()
    beats = Heartbeats(event_log=log, clock=clock, period_ms=PERIOD_MS, partition_count=1, decides=lambda _: True)
    running = asyncio.create_task(beats.run())
    await clock.advance(2 * PERIOD_MS)
    clock.behind_ms = 86_400_000
    await clock.advance(3 * PERIOD_MS)
    assert len(await asked(log, 1)) == 4, "the one that was waited for is left out"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await log.stop()


async def test_a_heartbeat_that_cannot_be_appended_is_left_out() -> None:
    """The next one comes all the same."""
    clock = ManualClock()
    faults = Faults()
    log = MemoryLog(partitions=1, clock=clock, faults=faults)
    await log.start()
    beats = Heartbeats(event_log=log, clock=clock, period_ms=PERIOD_MS, partition_count=1, decides=lambda _: True)
    running = asyncio.create_task(beats.run())
    faults.plan(LOST)
    await clock.advance(2 * PERIOD_MS)
    assert len(await asked(log, 1)) == 1
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await log.stop()


def test_two_that_ask_ask_for_the_same_job() -> None:
    """The id is made of instant and partition, and lives where it says."""
    slot_at = slot_after(1_700_000_000_123, PERIOD_MS)
    partition = partition_of_slot(slot_at, PERIOD_MS, 7)
    one, other = heartbeat(slot_at, partition, slot_at - 5), heartbeat(slot_at, partition, slot_at - 4)
    assert one.job_id == other.job_id == heartbeat_job_id(slot_at, partition)
    assert is_id(one.job_id, "job")
    assert (instant_of(one.job_id), partition_of(one.job_id)) == (slot_at, partition)
    assert slot_after(slot_at - AHEAD_MS, PERIOD_MS) == slot_at + PERIOD_MS, (
        "never one that is too near to be asked for"
    )


async def test_the_dispatcher_answers_by_itself() -> None:
    """No call leaves for a heartbeat; any other goes on as it is; the gauge has the instant."""
    clock = ManualClock()
    egress = ScriptedEgress(clock)
    beats: list[float] = []
    target = HeartbeatTarget(egress, clock, beats.append)
    assert beats == [clock.now_s()], "a process that just started is not late"
    clock.set(clock.now() + 5_000)
    answer = await target.call(OutgoingRequest(method="POST", url=URL, headers=[]), timeout_s=1)
    assert answer.ok
    assert (beats[-1], egress.calls) == (clock.now_s(), [])
    await target.call(OutgoingRequest(method="POST", url="http://a.example/", headers=[]), timeout_s=1)
    assert (len(beats), len(egress.calls)) == (2, 1)


async def test_heartbeats_are_signed_with_a_secret_of_their_own() -> None:
    """The account has none in the tables, and nobody else's is touched."""

    class Secrets:
        async def signing_secrets(self, accounts: list[str]) -> dict[str, tuple[str, ...]]:
            return {account: (f"secret of {account}",) for account in accounts}

    secrets = HeartbeatSecrets(Secrets())  # type: ignore[arg-type]
    assert await secrets.signing_secrets(["a"]) == {"a": ("secret of a",)}
    found = await secrets.signing_secrets(["a", ACCOUNT])
    assert found["a"] == ("secret of a",)
    assert signature_headers(found[ACCOUNT], message_id="m", timestamp_s=1, method="POST", url=URL, body=b"")


def test_nobody_else_can_ask_for_one() -> None:
    """The API's judge of addresses refuses the scheme, whatever the operator allows."""
    for allow in (None, "0.0.0.0/0,::/0"):
        policy = EgressPolicy.parse(allow)
        for url in (URL, URL.upper(), URL.rstrip("/")):
            try:
                policy.check_url(url)
            except UrlRefused:
                continue
            raise AssertionError(url)
