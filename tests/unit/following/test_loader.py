"""The loader: what is not in the tables yet is waited for on the side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

import pytest

from libs.egress.caller_headers import host_of
from libs.events import Spec
from libs.events.ids import new_job_id
from libs.following.held_calls import Call, HeldCalls, Stage
from libs.following.loader import READS_AT_ONCE, SPEC_MAX, Loader
from libs.following.ports import FollowingPorts
from libs.log.memory import MemoryLog
from libs.store.errors import StoreUnavailable
from libs.store.reads.partition_tables import StoredSpec, decode_spec
from tests.fakes.partition import stored_spec
from tests.fakes.targets import ScriptedEgress
from tests.fakes.until import until
from tests.simulation.manual_clock import ManualClock


class Store:
    """Tables that know nothing until they are folded, of which partition 0 never is."""

    def __init__(self) -> None:
        self.folded: set[int] = set()
        self.partition_of: dict[str, int] = {}
        self.unreadable: set[str] = set()
        self.secret = "whsec_x"
        self.spec = Spec(url="http://a.example/")
        self.forgotten_count = 0

    async def stored_specs(self, ids: Iterable[str], *, size_max: int | None) -> dict[str, StoredSpec]:
        ids = list(ids)
        if self.unreadable & set(ids):
            raise ValueError("a spec that this build cannot read")
        return {each: stored_spec(self.spec, size_max) for each in ids if self.partition_of[each] in self.folded}

    async def signing_secrets(self, accounts: Sequence[str]) -> Mapping[str, Sequence[str]]:
        return dict.fromkeys(accounts, (self.secret,))

    async def wait(self, partition: int, position: int, timeout_s: float) -> bool:
        if partition == 0:
            await asyncio.Event().wait()
        self.folded.add(partition)
        return True


def call_of(held_calls: HeldCalls[Call], store: Store, partition: int, number: int = 0, *, account: str = "a") -> Call:
    """Take up a call of a job in *partition*."""
    job_id = new_job_id(1_000, partition, number.to_bytes(8, "big"))
    store.partition_of[job_id] = partition
    call = Call(partition, job_id, job_id=job_id, account=account, spec_id=job_id, position=5)
    held_calls.add(call)
    return call


def loader_of(
    store: Store,
    held_calls: HeldCalls[Call],
    ready: asyncio.Queue[Call],
    clock: ManualClock,
    *,
    on_failed: Callable[[Call, str], None] = lambda call, error: None,
) -> Loader[Call]:
    return Loader(
        "test",
        FollowingPorts(MemoryLog(), store, store, ScriptedEgress(clock), clock, version="1"),
        read_specs=store.stored_specs,
        held_calls=held_calls,
        lane_of=lambda _, spec: host_of(decode_spec(spec).url),
        on_ready=lambda found: [ready.put_nowait(each) for each in found] and None,
        on_failed=on_failed,
    )


class ClockPutBack(ManualClock):
    """A clock that was a day ahead when it is put right."""

    ahead_ms = 86_400_000

    def now(self) -> int:
        return super().now() + self.ahead_ms


async def test_a_rotation_is_seen_after_the_clock_was_put_back() -> None:
    """How old the secrets are is told by real time: what was fetched "tomorrow" is not fresh for a day."""
    store, held_calls, ready, clock = Store(), HeldCalls[Call](100), asyncio.Queue[Call](), ClockPutBack()
    store.folded = {1}
    loader = loader_of(store, held_calls, ready, clock)
    running = asyncio.create_task(loader.run())
    try:
        loader.put([call_of(held_calls, store, 1, 1)])
        assert (await asyncio.wait_for(ready.get(), 5)).secrets == ("whsec_x",)
        store.secret, clock.ahead_ms = "whsec_y", 0
        await clock.advance(6_000)
        loader.put([call_of(held_calls, store, 1, 2)])
        assert (await asyncio.wait_for(ready.get(), 5)).secrets == ("whsec_y",)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await loader.stop()


async def test_a_partition_whose_tables_stand_still_holds_up_no_other() -> None:
    """Two attempts of one batch are not in the tables yet; one's partition is halted, the other is ready all the same."""
    store, held_calls, ready = Store(), HeldCalls[Call](100), asyncio.Queue[Call]()
    loader = loader_of(store, held_calls, ready, ManualClock())
    running = asyncio.create_task(loader.run())
    try:
        loader.put([call_of(held_calls, store, partition) for partition in (0, 1)])
        assert (await asyncio.wait_for(ready.get(), 5)).partition == 1
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await loader.stop()


async def test_a_spec_that_cannot_be_read_holds_up_no_other() -> None:
    """It is tried again by itself for as long as its attempt is held; those that came with it, and after it, are ready at once."""
    store, held_calls, ready, clock = Store(), HeldCalls[Call](100), asyncio.Queue[Call](), ManualClock()
    store.folded = {0, 1}
    loader = loader_of(store, held_calls, ready, clock)
    batch = [call_of(held_calls, store, number % 2, number) for number in range(4)]
    store.unreadable = {batch[2].spec_id}
    running = asyncio.create_task(loader.run())
    try:
        loader.put(batch)
        await clock.advance(100)
        assert {ready.get_nowait() for _ in range(ready.qsize())} == {batch[0], batch[1], batch[3]}
        assert loader.trouble is not None
        later = call_of(held_calls, store, 1, 9)
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


async def test_accounts_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that arrives behind very many of another account is in the next batch, and those of one account keep their order."""
    monkeypatch.setattr("libs.following.loader.BATCH_MAX", 3)
    store, held_calls, ready, clock = Store(), HeldCalls[Call](100), asyncio.Queue[Call](), ManualClock()
    store.folded = {1}
    loader = loader_of(store, held_calls, ready, clock)
    many = [call_of(held_calls, store, 1, number) for number in range(10)]
    last = call_of(held_calls, store, 1, 10, account="b")
    loader.put([*many, last])
    running = asyncio.create_task(loader.run())
    try:
        came = [await asyncio.wait_for(ready.get(), 5) for _ in range(11)]
        assert came == [many[0], last, *many[1:]]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await loader.stop()


async def test_a_large_spec_is_read_when_its_call_leaves() -> None:
    """Ahead of that only its size is known; a call that is dropped meanwhile reads nothing."""
    store, held_calls, ready, clock = Store(), HeldCalls[Call](100), asyncio.Queue[Call](), ManualClock()
    store.folded = {1}
    store.spec = Spec(url="http://a.example/", body="x" * SPEC_MAX)
    loader = loader_of(store, held_calls, ready, clock)
    running = asyncio.create_task(loader.run())
    try:
        loader.put([call_of(held_calls, store, 1)])
        call = await asyncio.wait_for(ready.get(), 5)
        assert (call.spec, call.lane, call.spec_bytes > SPEC_MAX) == (None, None, True)
        call.stage = Stage.QUEUED
        spec = await loader.read(call)
        assert spec is not None
        assert decode_spec(spec) == store.spec
        assert (call.spec, call.lane) == (None, "http://a.example")
        call.stage = Stage.DROPPED
        assert await loader.read(call) is None
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await loader.stop()


class SlowStore(Store):
    """Tables that read one spec after the other, as they are told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.turn = asyncio.Semaphore(0)

    async def stored_specs(self, ids: Iterable[str], *, size_max: int | None) -> dict[str, StoredSpec]:
        ids = list(ids)
        if size_max is None:
            self.asked += ids
            await self.turn.acquire()
        return await super().stored_specs(ids, size_max=size_max)


async def test_large_specs_are_read_a_few_at_once_and_in_turns_of_the_accounts() -> None:
    """An account with a hundred of them leaves connections to all others, and a turn to the next that has one."""
    store, held_calls = SlowStore(), HeldCalls[Call](1_000)
    store.folded = {1}
    loader = loader_of(store, held_calls, asyncio.Queue(), ManualClock())
    hostile = [call_of(held_calls, store, 1, number, account="hostile") for number in range(100)]
    other = call_of(held_calls, store, 1, 100, account="other")
    for call in (*hostile, other):
        call.stage = Stage.QUEUED
    reading = [asyncio.create_task(loader.read(call)) for call in hostile]
    await asyncio.sleep(0)
    assert 0 < len(store.asked) < READS_AT_ONCE

    read = asyncio.create_task(loader.read(other))
    await asyncio.sleep(0)
    assert store.asked[-1] == other.spec_id
    assert len(store.asked) <= READS_AT_ONCE
    for _ in range(101):
        store.turn.release()
    await asyncio.gather(*reading, read)
    assert sorted(store.asked) == sorted(each.spec_id for each in (*hostile, other))


async def test_a_call_that_is_dropped_while_it_waits_for_its_turn_is_not_read() -> None:
    """Nor is its turn lost to the others."""
    store, held_calls = SlowStore(), HeldCalls[Call](100)
    store.folded = {1}
    loader = loader_of(store, held_calls, asyncio.Queue(), ManualClock())
    calls = [call_of(held_calls, store, 1, number) for number in range(READS_AT_ONCE + 3)]
    for call in calls:
        call.stage = Stage.QUEUED
    reading = [asyncio.create_task(loader.read(call)) for call in calls]
    await asyncio.sleep(0)
    dropped, cancelled = calls[-3], reading[-2]
    dropped.stage = Stage.WAITING
    cancelled.cancel()
    for _ in calls:
        store.turn.release()
    await asyncio.gather(*reading, return_exceptions=True)
    assert store.asked == [each.spec_id for each in (*calls[:-3], calls[-1])]


class CrashingStore(Store):
    """Tables whose server crashes with a question, as often as it is told, and comes back without its last flushes."""

    crashes = 0

    async def stored_specs(self, ids: Iterable[str], *, size_max: int | None) -> dict[str, StoredSpec]:
        if self.crashes:
            self.crashes -= 1
            self.folded.clear()
            self.forgotten_count += 1  # the next question is asked over a new connection
            raise StoreUnavailable("the connection is gone")
        return await super().stored_specs(ids, size_max=size_max)


@pytest.mark.parametrize("crashes", [1, 3])
async def test_a_spec_that_a_crashed_server_lost_is_waited_for(crashes: int) -> None:
    """The tables held it when they were asked how far they are, and do not hold it when they are asked for it: it comes again."""
    store, held_calls, ready, clock = CrashingStore(), HeldCalls[Call](100), asyncio.Queue[Call](), ManualClock()
    failed: list[str] = []
    loader = loader_of(store, held_calls, ready, clock, on_failed=lambda _, error: failed.append(error))
    running = asyncio.create_task(loader.run())
    try:
        call = call_of(held_calls, store, 1)
        loader.put([call])
        await until(lambda: store.folded, every_s=0)
        store.crashes = crashes
        await clock.advance(10_000)
        assert (failed, ready.qsize(), store.crashes) == ([], 1, 0)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await loader.stop()


@pytest.mark.parametrize("crashes", [1, 3])
async def test_a_large_spec_that_a_crashed_server_lost_is_waited_for(crashes: int) -> None:
    """Its call has its slot already, and gets it when it is folded again."""
    store, held_calls, clock = CrashingStore(), HeldCalls[Call](100), ManualClock()
    loader = loader_of(store, held_calls, asyncio.Queue(), clock)
    call = call_of(held_calls, store, 1)
    call.stage = Stage.QUEUED
    store.crashes = crashes
    reading = asyncio.create_task(loader.read(call))
    await clock.advance(10_000)

    assert await reading is not None


async def test_a_spec_that_was_never_there_is_missing() -> None:
    """Tables that are folded far enough, and stay as they are, are believed."""
    store, held_calls, clock = Store(), HeldCalls[Call](100), ManualClock()
    loader = loader_of(store, held_calls, asyncio.Queue(), clock)
    call = call_of(held_calls, store, 1)
    store.partition_of[call.spec_id] = 2
    call.stage = Stage.QUEUED
    assert await loader.read(call) is None
