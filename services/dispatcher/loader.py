"""
Loader: fetches what an attempt needs before its instant, in batches: its spec, and the secrets that sign its call.

One query serves all attempts that arrived while the last query was under way. If the tables do not have a spec yet (a job that
is due at once may be read here before its row is written), a task of its own waits for it, so that no other attempt waits. If
the tables are folded past the due event and still do not have it, it is missing for good.

Specs of schedules are cached, because all jobs of a schedule share one; the least recently used one leaves first. Secrets are
kept for a few seconds.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from libs.egress.caller_headers import host_of
from libs.events import Spec
from libs.following.calls import SECRET_MISSING, SPEC_MISSING
from libs.following.ports import FollowingPorts
from libs.store.errors import StoreUnavailable
from services.dispatcher.held_attempts import HeldAttempt, HeldAttempts, Stage
from services.dispatcher.ports import DueTables

BATCH_MAX: Final = 500  # attempts in one query
SPECS_KEPT_MAX: Final = 4_096
SPECS_KEPT_BYTES_MAX: Final = 32_000_000
SECRETS_FRESH_MS: Final = 5_000  # a rotation is seen within this; the old secret is valid for a day
SECRETS_KEPT_MAX: Final = 10_000
PROGRESS_WAIT_S: Final = 5.0
RETRY_FIRST_MS: Final = 50
RETRY_MAX_MS: Final = 2_000

_log = structlog.get_logger("dispatcher")


class SpecCache:
    """The specs of schedules, bounded by number and by the size of their bodies."""

    def __init__(self, *, count_max: int = SPECS_KEPT_MAX, bytes_max: int = SPECS_KEPT_BYTES_MAX) -> None:
        """Keep at most *count_max* specs with bodies of *bytes_max* in all."""
        self._count_max = count_max
        self._bytes_max = bytes_max
        self._specs: OrderedDict[str, Spec] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        """How many specs are kept."""
        return len(self._specs)

    def get(self, spec_id: str) -> Spec | None:
        """Return the spec if it is kept."""
        spec = self._specs.get(spec_id)
        if spec is not None:
            self._specs.move_to_end(spec_id)
        return spec

    def put(self, spec_id: str, spec: Spec) -> None:
        """Keep *spec*; specs never change, so the first one stays."""
        if spec_id in self._specs:
            return
        self._specs[spec_id] = spec
        self._bytes += len(spec.body or "")
        while self._specs and (len(self._specs) > self._count_max or self._bytes > self._bytes_max):
            _, oldest = self._specs.popitem(last=False)
            self._bytes -= len(oldest.body or "")


class Loader:
    """Brings attempts from `loading` to ready."""

    def __init__(
        self,
        ports: FollowingPorts,
        *,
        tables: DueTables,
        held_attempts: HeldAttempts,
        on_ready: Callable[[Sequence[HeldAttempt]], None],
        on_failed: Callable[[HeldAttempt, str], None],
    ) -> None:
        """Hand attempts that are loaded to *on_ready*, and those that lack a spec or a secret for good to *on_failed*."""
        self._tables = tables
        self._progress = ports.progress
        self._secrets = ports.secrets
        self._clock = ports.clock
        self._held_attempts = held_attempts
        self._on_ready = on_ready
        self._on_failed = on_failed
        self._arrived: deque[HeldAttempt] = deque()
        self._has_arrived = asyncio.Event()
        self._cache = SpecCache()
        self._kept_secrets: dict[str, tuple[int, tuple[str, ...]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.trouble: str | None = None

    def put(self, held_attempts: Sequence[HeldAttempt]) -> None:
        """Load what *held_attempts* need."""
        self._arrived.extend(held_attempts)
        self._has_arrived.set()

    async def stop(self) -> None:
        """Stop waiting for late specs; attempts that are not loaded stay as they are."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _spawn(self, coroutine: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def run(self) -> None:
        """Load until cancelled."""
        while True:
            await self._has_arrived.wait()
            self._has_arrived.clear()
            while self._arrived:
                batch = [self._arrived.popleft() for _ in range(min(len(self._arrived), BATCH_MAX))]
                await self._load_on_time(batch)

    async def _load_on_time(self, batch: Sequence[HeldAttempt]) -> None:
        """Load *batch*; tasks of their own wait for what is not in the tables yet."""
        missing = await self._load(batch)
        # By partition: one whose tables do not move on must not keep the attempts of the others.
        for partition in {held_attempt.partition for held_attempt in missing}:
            late = [held_attempt for held_attempt in missing if held_attempt.partition == partition]
            self._spawn(self._load_late(partition, late))

    async def _load(self, batch: Sequence[HeldAttempt]) -> list[HeldAttempt]:
        """Load *batch*, trying until the tables answer; return the attempts whose spec is not in the tables."""
        retry_ms = RETRY_FIRST_MS
        while True:
            batch = [held_attempt for held_attempt in batch if held_attempt.stage is Stage.LOADING]
            try:
                specs = await self._fetch_specs(batch)
                secrets = await self._fetch_secrets({held_attempt.due.account for held_attempt in batch})
                break
            except Exception as error:  # noqa: BLE001 - whatever the store raises, the attempts stay and are tried again
                self._note_trouble(error)
                if len(batch) > 1 and not isinstance(error, StoreUnavailable):
                    # Perhaps one spec cannot be read: load each attempt alone, so that it holds up no other.
                    for held_attempt in batch:
                        self._spawn(self._load_on_time([held_attempt]))
                    return []
                await self._clock.pause(retry_ms)
                retry_ms = min(retry_ms * 2, RETRY_MAX_MS)
        self.trouble = None
        return self._equip(batch, specs, secrets)

    def _equip(
        self, batch: Sequence[HeldAttempt], specs: Mapping[str, Spec], secrets: Mapping[str, tuple[str, ...]]
    ) -> list[HeldAttempt]:
        ready: list[HeldAttempt] = []
        missing: list[HeldAttempt] = []
        for held_attempt in batch:
            if held_attempt.stage is not Stage.LOADING:  # dropped while the query was under way
                continue
            due = held_attempt.due
            spec = specs.get(due.spec_id)
            if spec is None:
                missing.append(held_attempt)
            elif not secrets[due.account]:
                self._on_failed(held_attempt, SECRET_MISSING)
            else:
                held_attempt.secrets = secrets[due.account]
                self._held_attempts.loaded(held_attempt, spec, host_of(spec.url))
                ready.append(held_attempt)
        if ready:
            self._on_ready(ready)
        return missing

    async def _fetch_specs(self, batch: Sequence[HeldAttempt]) -> dict[str, Spec]:
        specs: dict[str, Spec] = {}
        wanted: set[str] = set()
        for held_attempt in batch:
            spec_id = held_attempt.due.spec_id
            kept = None if held_attempt.due.schedule_id is None else self._cache.get(spec_id)
            if kept is None:
                wanted.add(spec_id)
            else:
                specs[spec_id] = kept
        if wanted:
            specs.update(await self._tables.specs(sorted(wanted)))
            for held_attempt in batch:
                spec_id = held_attempt.due.spec_id
                if held_attempt.due.schedule_id is not None and spec_id in wanted and spec_id in specs:
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

    async def _load_late(self, partition: int, held_attempts: list[HeldAttempt]) -> None:
        """Load *held_attempts*, all of *partition*, once the tables are folded far enough."""
        position = max(held_attempt.position for held_attempt in held_attempts)
        while not await self._is_folded(partition, position):
            if all(held_attempt.stage is not Stage.LOADING for held_attempt in held_attempts):
                return
        for held_attempt in await self._load(held_attempts):
            _log.error(
                "spec_missing",
                job_id=held_attempt.due.job_id,
                partition=held_attempt.partition,
                position=held_attempt.position,
            )
            self._on_failed(held_attempt, SPEC_MISSING)

    async def _is_folded(self, partition: int, position: int) -> bool:
        try:
            return await self._progress.wait(partition, position, PROGRESS_WAIT_S)
        except Exception as error:  # noqa: BLE001 - as above: the attempts wait for the store to come back
            self._note_trouble(error)
            await self._clock.pause(RETRY_MAX_MS)
            return False

    def _note_trouble(self, error: Exception) -> None:
        if self.trouble is None:
            _log.warning("tables_unreachable", reason=str(error))
        self.trouble = f"tables: {error}"
