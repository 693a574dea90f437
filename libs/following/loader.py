"""
Loader: fetches what a call needs before its instant, in batches: its spec, and the secrets that sign it.

One query serves the calls that arrived while the last query was under way; if they are too many for it, the accounts take turns. If
the tables do not have a spec yet (a job that is due at once may be read here before its row is written), a task of its own waits
for it, so that no other call waits. If the tables are folded past the event and still do not have it, it is missing for good.

A spec of more than `SPEC_MAX` bytes is not fetched ahead, only its size: a batch of bodies would fill the memory. `read` fetches it
when the call leaves, as it does with a spec that found no place among the held calls. A few are read so at once, and accounts take
turns: thousands of large bodies that are due at one moment would take all connections, and the other calls wait for their specs.

Specs of schedules are cached, because all jobs of a schedule share one; the least recently used one leaves first. Secrets are
kept for a few seconds.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Generic

import structlog

from libs.events import Spec
from libs.following.account_turns import AccountTurns
from libs.following.held_calls import C, HeldCalls, Stage
from libs.following.ports import FollowingPorts, ReadSpecs
from libs.sealing.data_key import Broken
from libs.sealing.keyring import Shredded
from libs.store.errors import StoreUnavailable
from libs.store.reads.partition_tables import StoredSpec, decode_spec

READS_AT_ONCE: Final = 3  # of large specs; the pool has connections left for those of all other calls
SPEC_MAX: Final = 16_384  # bytes of a spec that is fetched ahead; a batch has at most 3 MB
BATCH_MAX: Final = 200  # calls in one query, whose specs are decoded in one round of the loop: about 3 ms
SCHEDULE_PREFIX: Final = "sched_"  # of a spec_id whose spec all jobs of a schedule share
SPECS_KEPT_MAX: Final = 4_096
SPECS_KEPT_BYTES_MAX: Final = 32_000_000
SECRETS_FRESH_MS: Final = 5_000  # a rotation is seen within this; the old secret is valid for a day
SECRETS_KEPT_MAX: Final = 10_000
PROGRESS_WAIT_S: Final = 5.0
RETRY_FIRST_MS: Final = 50
RETRY_MAX_MS: Final = 2_000

# Errors of a call that is not made.
SPEC_MISSING: Final = "spec_missing"  # the tables are folded past the event and do not have the job
SPEC_SHREDDED: Final = "spec_shredded"  # the key that sealed it was deleted: nobody can open it any more
SPEC_BROKEN: Final = "integrity"  # somebody changed it, or put it in the place of another one
SECRET_MISSING: Final = "signing_secret_missing"  # noqa: S105 - an error's name; the account cannot sign, and unsigned calls are not made


class SpecCache:
    """The specs of schedules, bounded by their number and their bytes."""

    def __init__(self, *, count_max: int = SPECS_KEPT_MAX, bytes_max: int = SPECS_KEPT_BYTES_MAX) -> None:
        """Keep at most *count_max* specs of *bytes_max* in all."""
        self._count_max = count_max
        self._bytes_max = bytes_max
        self._specs: OrderedDict[str, StoredSpec] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        """How many specs are kept."""
        return len(self._specs)

    def get(self, spec_id: str) -> StoredSpec | None:
        """Return the spec if it is kept."""
        stored = self._specs.get(spec_id)
        if stored is not None:
            self._specs.move_to_end(spec_id)
        return stored

    def put(self, spec_id: str, stored: StoredSpec) -> None:
        """Keep *stored*; specs never change, so the first one stays."""
        if spec_id in self._specs:
            return
        self._specs[spec_id] = stored
        self._bytes += len(stored.spec or b"")
        while self._specs and (len(self._specs) > self._count_max or self._bytes > self._bytes_max):
            _, oldest = self._specs.popitem(last=False)
            self._bytes -= len(oldest.spec or b"")


class Loader(Generic[C]):
    """Brings calls from `loading` to ready."""

    def __init__(
        self,
        role: str,
        ports: FollowingPorts,
        *,
        read_specs: ReadSpecs,
        held_calls: HeldCalls[C],
        lane_of: Callable[[C, bytes], str | None],
        on_ready: Callable[[Sequence[C]], None],
        on_failed: Callable[[C, str], None],
    ) -> None:
        """
        Prepare to load; nothing happens before `run`.

        Args:
            role: the name of the service's logger.
            lane_of: returns the lane of a call, which has this stored spec, or None if that names no URL.
            on_ready: gets the calls that are loaded.
            on_failed: gets those that lack a spec or a secret for good, and which of the two.
        """
        self._read_specs = read_specs
        self._progress = ports.progress
        self._secrets = ports.secrets
        self._keyring = ports.keyring
        self._clock = ports.clock
        self._held_calls = held_calls
        self._lane_of = lane_of
        self._on_ready = on_ready
        self._on_failed = on_failed
        self._arrived: dict[str, deque[C]] = {}  # by account
        self._has_arrived = asyncio.Event()
        self._is_idle = True
        self._batch_ended = asyncio.Event()  # another one for each batch
        self._cache = SpecCache()
        self._kept_secrets: dict[str, tuple[int, tuple[str, ...]]] = {}
        self._reads = AccountTurns(READS_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._logger = structlog.get_logger(role)
        self.trouble: str | None = None

    def put(self, calls: Sequence[C]) -> None:
        """Load what *calls* need."""
        for call in calls:
            self._arrived.setdefault(call.account, deque()).append(call)
        self._is_idle = False
        self._has_arrived.set()

    async def read(self, call: C) -> bytes | None:
        """
        Return the spec of a call whose turn has come, asking until the tables answer; None if they do not have it.

        Note its lane, too. If the call is dropped meanwhile, what is returned says nothing.
        """
        retry_ms = RETRY_FIRST_MS
        spec, is_folded = call.spec, False
        while spec is None and call.stage is Stage.QUEUED:
            forgotten_count = self._progress.forgotten_count
            try:
                stored = await self._read_one(call)
            except Exception as error:  # noqa: BLE001 - whatever the store raises, the call stays and is tried again
                self._note_trouble(error)
                await self._clock.pause(retry_ms)
                retry_ms = min(retry_ms * 2, RETRY_MAX_MS)
                continue
            self.trouble = None
            if stored is None and call.stage is Stage.QUEUED:
                if is_folded and forgotten_count == self._progress.forgotten_count:
                    return None
                # They had it when the call was loaded. A server that crashed may have lost it: it is folded again from the log.
                is_folded = await self._is_folded(call.partition, call.position)
                continue
            if stored is None or stored.spec is None:
                return None
            spec = stored.spec
            call.lane = call.lane or self._lane_of(call, spec)
        return spec

    async def _read_one(self, call: C) -> StoredSpec | None:
        """Return what the tables have; None, too, if the call was dropped before its account's turn came."""
        async with self._reads.turn(call.account):
            if call.stage is not Stage.QUEUED:
                return None
            return (await self._read_specs([call.spec_id], size_max=None)).get(call.spec_id)

    async def open(self, call: C, spec: Spec) -> Spec | str:
        """
        Return *spec* as its caller gave it, asking until the keys can be had, or why it can never be opened.

        If the call is dropped meanwhile, what is returned says nothing.
        """
        retry_ms = RETRY_FIRST_MS
        while call.stage is Stage.QUEUED:
            try:
                await self._keyring.load([spec])
                break
            except Exception as error:  # noqa: BLE001 - as above
                self._note_trouble(error)
                await self._clock.pause(retry_ms)
                retry_ms = min(retry_ms * 2, RETRY_MAX_MS)
        else:
            return spec
        self.trouble = None
        try:
            return self._keyring.opened(spec, call.signer, call.spec_id)
        except Shredded:
            return SPEC_SHREDDED
        except Broken:
            self._logger.error("spec_broken", job_id=call.job_id, partition=call.partition)
            return SPEC_BROKEN

    async def wait_batch(self) -> None:
        """Wait until the next batch of calls is loaded; not at all if there is nothing to load."""
        if not self._is_idle:
            await self._batch_ended.wait()

    async def stop(self) -> None:
        """Stop waiting for late specs; calls that are not loaded stay as they are."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def run(self) -> None:
        """Load until cancelled."""
        while True:
            await self._has_arrived.wait()
            self._has_arrived.clear()
            while self._arrived:
                await self._load_on_time(self._next_batch())
                self._is_idle = not self._arrived
                self._batch_ended.set()
                self._batch_ended = asyncio.Event()

    def _next_batch(self) -> list[C]:
        batch: list[C] = []
        while self._arrived and len(batch) < BATCH_MAX:
            account, waiting = next(iter(self._arrived.items()))
            batch.append(waiting.popleft())
            del self._arrived[account]
            if waiting:
                self._arrived[account] = waiting  # goes to the back
        return batch

    def _spawn(self, coroutine: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _load_on_time(self, batch: Sequence[C]) -> None:
        """Load *batch*; tasks of their own wait for what is not in the tables yet."""
        missing = await self._load(batch)
        # By partition: one whose tables do not move on must not keep the calls of the others.
        for partition in {call.partition for call in missing}:
            self._spawn(self._load_late(partition, [call for call in missing if call.partition == partition]))

    async def _load(self, batch: Sequence[C]) -> list[C]:
        """Load *batch*, trying until the tables answer; return the calls whose spec is not in the tables."""
        retry_ms = RETRY_FIRST_MS
        while True:
            batch = [call for call in batch if call.stage is Stage.LOADING]
            try:
                specs, secrets = await asyncio.gather(
                    self._fetch_specs(batch), self._fetch_secrets({call.signer for call in batch})
                )
                lanes = {
                    call.spec_id: self._lane_of(call, found.spec)
                    for call in {each.spec_id: each for each in batch}.values()  # calls of one spec have one lane
                    if (found := specs.get(call.spec_id)) is not None and found.spec is not None
                }
                unsigned = {
                    call.key: await self._why_unsigned(call, specs.get(call.spec_id))
                    for call in batch
                    if not secrets[call.signer]
                }
                break
            except Exception as error:  # noqa: BLE001 - whatever the store raises, the calls stay and are tried again
                self._note_trouble(error)
                if len(batch) > 1 and not isinstance(error, StoreUnavailable):
                    # Perhaps one spec cannot be read: load each call alone, so that it holds up no other.
                    for call in batch:
                        self._spawn(self._load_on_time([call]))
                    return []
                await self._clock.pause(retry_ms)
                retry_ms = min(retry_ms * 2, RETRY_MAX_MS)
        self.trouble = None
        return self._equip(batch, specs, lanes, secrets, unsigned)

    def _equip(
        self,
        batch: Sequence[C],
        specs: Mapping[str, StoredSpec],
        lanes: Mapping[str, str | None],
        secrets: Mapping[str, tuple[str, ...]],
        unsigned: Mapping[str, str],
    ) -> list[C]:
        ready: list[C] = []
        missing: list[C] = []
        for call in batch:
            if call.stage is not Stage.LOADING:  # dropped while the query was under way
                continue
            stored = specs.get(call.spec_id)
            if stored is None:
                missing.append(call)
            elif not secrets[call.signer]:
                self._on_failed(call, unsigned[call.key])
            else:
                call.secrets = secrets[call.signer]
                call.lane = lanes.get(call.spec_id)
                self._held_calls.loaded(call, stored)
                ready.append(call)
        if ready:
            self._on_ready(ready)
        return missing

    async def _why_unsigned(self, call: C, stored: StoredSpec | None) -> str:
        """Return why *call*, whose account has no secret, is not made: a new one is no help to a spec whose key is gone, too."""
        if stored is not None and stored.spec is not None and call.signer == call.account:
            spec = decode_spec(stored.spec)
            await self._keyring.load([spec])
            if self._keyring.is_shredded(spec):
                return SPEC_SHREDDED
        return SECRET_MISSING

    async def _fetch_specs(self, batch: Sequence[C]) -> dict[str, StoredSpec]:
        specs: dict[str, StoredSpec] = {}
        wanted: set[str] = set()
        for call in batch:
            kept = self._cache.get(call.spec_id)
            if kept is None:
                wanted.add(call.spec_id)
            else:
                specs[call.spec_id] = kept
        if wanted:
            specs.update(await self._read_specs(sorted(wanted), size_max=SPEC_MAX))
            for spec_id in wanted:
                if spec_id.startswith(SCHEDULE_PREFIX) and spec_id in specs:
                    self._cache.put(spec_id, specs[spec_id])
        return specs

    async def _fetch_secrets(self, accounts: set[str]) -> dict[str, tuple[str, ...]]:
        # By the steady clock: if the wall clock is put back, secrets must not stay fresh for longer.
        now = self._clock.steady()
        found: dict[str, tuple[str, ...]] = {}
        stale: list[str] = []
        for account in accounts:
            kept = self._kept_secrets.get(account)
            if kept is None or now - kept[0] > SECRETS_FRESH_MS:
                stale.append(account)
            else:
                found[account] = kept[1]
        if stale:
            fetched = await self._secrets.signing_secrets(stale)
            if len(self._kept_secrets) + len(stale) > SECRETS_KEPT_MAX:
                self._kept_secrets.clear()
            for account in stale:
                found[account] = tuple(fetched.get(account, ()))
                if found[account]:
                    self._kept_secrets[account] = (now, found[account])
        return found

    async def _load_late(self, partition: int, calls: list[C]) -> None:
        """Load *calls*, all of *partition*, once the tables are folded far enough."""
        position = max(call.position for call in calls)
        forgotten_count = -1
        while forgotten_count != self._progress.forgotten_count:  # what tables do not have that went back says nothing
            while not await self._is_folded(partition, position):
                if all(call.stage is not Stage.LOADING for call in calls):
                    return
            forgotten_count = self._progress.forgotten_count
            calls = await self._load(calls)
        for call in calls:
            self._logger.error("spec_missing", job_id=call.job_id, partition=partition, position=call.position)
            self._on_failed(call, SPEC_MISSING)

    async def _is_folded(self, partition: int, position: int) -> bool:
        try:
            return await self._progress.wait(partition, position, PROGRESS_WAIT_S)
        except Exception as error:  # noqa: BLE001 - as above: the calls wait for the store to come back
            self._note_trouble(error)
            await self._clock.pause(RETRY_MAX_MS)
            return False

    def _note_trouble(self, error: Exception) -> None:
        if self.trouble is None:
            self._logger.warning("tables_unreachable", reason=str(error))
        self.trouble = f"tables: {error}"
