"""Sealed specs: opened when the call leaves, waited for while the key cannot be had, given up if it is gone or does not fit."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence

import msgspec

from libs.events import JobScheduled, Spec
from libs.events.ids import new_job_id
from libs.following.held_calls import Call, HeldCalls, Stage
from libs.following.loader import SECRET_MISSING, SPEC_BROKEN, SPEC_SHREDDED, Loader
from libs.following.ports import FollowingPorts, ReadSpecs
from libs.log.memory import MemoryLog
from libs.sealing.keyring import NO_SEALING, Keyring
from libs.store.reads.partition_tables import StoredSpec
from tests.fakes.control.account_keys import MASTER, MemoryKeys
from tests.fakes.store import MemoryStore
from tests.fakes.targets import ScriptedEgress
from tests.simulation.manual_clock import ManualClock

SPEC = Spec(url="https://example.com/?q=1", body="secret")
JOB, OTHER_JOB = new_job_id(1_000, 0, bytes(8)), new_job_id(1_000, 0, b"x" * 8)


async def no_specs(_ids: Sequence[str], *, size_max: int | None) -> Mapping[str, StoredSpec]:
    """Return nothing: these tests hand the spec over."""
    return {}


class NoSecrets:
    """Has no secret of anybody."""

    async def signing_secrets(self, accounts: Sequence[str]) -> Mapping[str, Sequence[str]]:
        return {}


def loader_of(
    ring: Keyring,
    clock: ManualClock,
    read_specs: ReadSpecs = no_specs,
    on_failed: Callable[[Call, str], None] = lambda _call, _error: None,
) -> Loader[Call]:
    store = MemoryStore()
    return Loader(
        "test",
        FollowingPorts(MemoryLog(), store, NoSecrets(), ScriptedEgress(clock), clock, version="1", keyring=ring),  # type: ignore[arg-type]
        read_specs=read_specs,
        held_calls=HeldCalls[Call](10),
        lane_of=lambda _call, _spec: None,
        on_ready=lambda _: None,
        on_failed=on_failed,
    )


def call_of(job_id: str = JOB, account: str = "acme") -> Call:
    call = Call(0, job_id, job_id=job_id, account=account, spec_id=job_id, position=5)
    call.stage = Stage.QUEUED
    return call


def ring_on(table: MemoryKeys) -> Keyring:
    return Keyring(lambda: MASTER, table, entropy=os.urandom, steady=lambda: 0.0, away=ConnectionError)


async def sealed(table: MemoryKeys) -> Spec:
    ring = ring_on(table)
    await ring.ready("acme")
    event = ring.seal(JobScheduled(job_id=JOB, account="acme", at=1, spec=SPEC, fire_at=1), "acme")
    assert isinstance(event, JobScheduled)
    return event.spec


async def test_it_is_opened_for_the_call_that_it_belongs_to() -> None:
    """For another job, or another account, it is broken: somebody moved it."""
    table = MemoryKeys()
    spec, loader = await sealed(table), loader_of(ring_on(table), ManualClock())

    assert await loader.open(call_of(), spec) == SPEC
    assert await loader.open(call_of(OTHER_JOB), spec) == SPEC_BROKEN
    assert await loader.open(call_of(account="other"), spec) == SPEC_BROKEN


async def test_a_deleted_key_ends_the_call() -> None:
    """Nothing is waited for: it never comes back."""
    table = MemoryKeys()
    spec = await sealed(table)
    table.shred("acme")

    assert await loader_of(ring_on(table), ManualClock()).open(call_of(), spec) == SPEC_SHREDDED


async def test_while_the_keys_are_away_the_call_waits() -> None:
    """It is neither failed nor sent; the service says why it is in trouble, and goes on by itself."""
    table, clock = MemoryKeys(), ManualClock()
    spec, loader = await sealed(table), loader_of(ring_on(table), clock)
    table.is_away = True
    opening = asyncio.create_task(loader.open(call_of(), spec))
    await clock.advance(10_000)

    assert not opening.done()
    assert loader.trouble is not None

    table.is_away = False
    await clock.advance(3_000)
    assert await opening == SPEC
    assert loader.trouble is None


async def test_a_process_without_a_master_key_waits() -> None:
    """As one that was started before sealing: its partitions go to one that has the key. A call that is dropped waits no more."""
    clock = ManualClock()
    loader, call, spec = loader_of(NO_SEALING, clock), call_of(), await sealed(MemoryKeys())
    opening = asyncio.create_task(loader.open(call, spec))
    await clock.advance(10_000)

    assert "FLIQ_MASTER_KEY_FILE" in (loader.trouble or "")

    call.stage = Stage.DROPPED
    await clock.advance(3_000)
    assert opening.done()


async def test_a_call_that_lacks_secret_and_key_is_not_tried_again() -> None:
    """If the keys of an account are lost, its secrets are, too. A new secret helps only what needs no lost key."""
    table = MemoryKeys()
    spec, failed = await sealed(table), dict[str, str]()
    table.shred("acme")
    specs = {JOB: spec, OTHER_JOB: Spec(url="https://example.com/")}

    async def read(ids: Sequence[str], *, size_max: int | None) -> Mapping[str, StoredSpec]:
        return {each: StoredSpec(9, msgspec.json.encode(specs[each])) for each in ids}

    loader = loader_of(ring_on(table), ManualClock(), read, lambda call, error: failed.update({call.job_id: error}))
    calls = [call_of(JOB), call_of(OTHER_JOB)]
    for call in calls:
        call.stage = Stage.LOADING
    loader.put(calls)
    loading = asyncio.create_task(loader.run())
    await loader.wait_batch()
    loading.cancel()

    assert failed == {JOB: SPEC_SHREDDED, OTHER_JOB: SECRET_MISSING}
