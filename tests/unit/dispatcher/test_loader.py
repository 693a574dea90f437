"""The loader: what is not in the tables yet is waited for on the side."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from libs.events import Spec
from libs.events.ids import new_job_id
from libs.following.ports import FollowingPorts
from libs.log.memory import MemoryLog
from libs.store.reads.partition_tables import Snapshot
from services.dispatcher.held_attempts import HeldAttempt, HeldAttempts
from services.dispatcher.loader import Loader
from tests.fakes import events
from tests.fakes.targets import ScriptedEgress
from tests.simulation.manual_clock import ManualClock


class Store:
    """Tables that know nothing until they are folded, of which partition 0 never is."""

    def __init__(self) -> None:
        self.folded: set[int] = set()
        self.partition_of: dict[str, int] = {}
        self.unreadable: set[str] = set()
        self.secret = "whsec_x"

    async def specs(self, ids: Iterable[str]) -> dict[str, Spec]:
        ids = list(ids)
        if self.unreadable & set(ids):
            raise ValueError("a spec that this build cannot read")
        return {each: Spec(url="http://a.example/") for each in ids if self.partition_of[each] in self.folded}

    async def signing_secrets(self, accounts: Sequence[str]) -> Mapping[str, Sequence[str]]:
        return dict.fromkeys(accounts, (self.secret,))

    async def running(self, partition: int) -> Snapshot:
        raise AssertionError("nobody asks for this")

    async def wait(self, partition: int, position: int, timeout_s: float) -> bool:
        if partition == 0:
            await asyncio.Event().wait()
        self.folded.add(partition)
        return True


def attempt_of(held_attempts: HeldAttempts, store: Store, partition: int, number: int = 0) -> HeldAttempt:
    """Take up an attempt of a job in *partition*."""
    job_id = new_job_id(1_000, partition, number.to_bytes(8, "big"))
    store.partition_of[job_id] = partition
    due = events.due(job_id, 1_000, account="a", timeout_ms=1_000)
    held_attempt = held_attempts.add(partition, due, 5)
    assert held_attempt is not None
    return held_attempt


def loader_of(
    store: Store, held_attempts: HeldAttempts, ready: asyncio.Queue[HeldAttempt], clock: ManualClock
) -> Loader:
    ports = FollowingPorts(
        MemoryLog(), progress=store, secrets=store, egress=ScriptedEgress(clock), clock=clock, version="1"
    )
    return Loader(
        ports,
        tables=store,
        held_attempts=held_attempts,
        on_ready=lambda found: [ready.put_nowait(each) for each in found] and None,
        on_failed=lambda held_attempt, error: None,
    )


class ClockPutBack(ManualClock):
    """A clock that was a day ahead when it is put right."""

    ahead_ms = 86_400_000

    def now(self) -> int:
        return super().now() + self.ahead_ms


async def test_a_rotation_is_seen_after_the_clock_was_put_back() -> None:
    """How old the secrets are is told by real time: what was fetched "tomorrow" is not fresh for a day."""
    store, held_attempts, ready, clock = Store(), HeldAttempts(), asyncio.Queue[HeldAttempt](), ClockPutBack()
    store.folded = {1}
    loader = loader_of(store, held_attempts, ready, clock)
    running = asyncio.create_task(loader.run())
    try:
        loader.put([attempt_of(held_attempts, store, 1, 1)])
        assert (await asyncio.wait_for(ready.get(), 5)).secrets == ("whsec_x",)
        store.secret, clock.ahead_ms = "whsec_y", 0
        await clock.advance(6_000)
        loader.put([attempt_of(held_attempts, store, 1, 2)])
        assert (await asyncio.wait_for(ready.get(), 5)).secrets == ("whsec_y",)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await loader.stop()


async def test_a_partition_whose_tables_stand_still_holds_up_no_other() -> None:
    """Two attempts of one batch are not in the tables yet; one's partition is halted, the other is ready all the same."""
    store, held_attempts, ready = Store(), HeldAttempts(), asyncio.Queue[HeldAttempt]()
    loader = loader_of(store, held_attempts, ready, ManualClock())
    running = asyncio.create_task(loader.run())
    try:
        loader.put([attempt_of(held_attempts, store, partition) for partition in (0, 1)])
        assert (await asyncio.wait_for(ready.get(), 5)).partition == 1
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await loader.stop()


async def test_a_spec_that_cannot_be_read_holds_up_no_other() -> None:
    """It is tried again by itself for as long as its attempt is held; those that came with it, and after it, are ready at once."""
    store, held_attempts, ready, clock = Store(), HeldAttempts(), asyncio.Queue[HeldAttempt](), ManualClock()
    store.folded = {0, 1}
    loader = loader_of(store, held_attempts, ready, clock)
    batch = [attempt_of(held_attempts, store, number % 2, number) for number in range(4)]
    store.unreadable = {batch[2].due.spec_id}
    running = asyncio.create_task(loader.run())
    try:
        loader.put(batch)
        await clock.advance(100)
        assert {ready.get_nowait() for _ in range(ready.qsize())} == {batch[0], batch[1], batch[3]}
        assert loader.trouble is not None
        later = attempt_of(held_attempts, store, 1, 9)
        loader.put([later])
        await clock.advance(100)
        assert ready.get_nowait() is later
        store.unreadable.clear()
        await clock.advance(5_000)
        assert ready.get_nowait() is batch[2]
        assert loader.trouble is None
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await loader.stop()
