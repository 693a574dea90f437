"""
Vitals: observes this process and the whole of Fliq every few seconds, for the metrics and for `/readyz`.

Theory of operation

    observe    ask for the ends of the log's partitions and the positions of the tables and of this process's readers; no wait is
               longer than `ANSWER_TIMEOUT_S`
    standing   a reader stands if there is something to read and its position has not moved since the observation before

A process is not ready if one of these has lasted for `STUCK_MS`: the log does not answer; a reader stands; the tables of a
partition that it owns stand; a lease that it holds is not renewed; no observation was made. Each is a question about progress, not
about tasks: a loop that hangs, one that died, and one that runs without effect are found in the same way. An idle Fliq is ready: it
has nothing to do.

A reader that waits because no more work can be held does not stand. A slow process is ready as long as it moves.

Source: docs/adr/0008-telemetry.md; incident Uploadcare 2024 (health green, nothing delivered).
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import structlog

from libs.log.ends import ends_of
from libs.log.port import Log
from libs.runtime.clock import Clock
from libs.runtime.lifecycle import StartStop
from libs.runtime.telemetry.metrics import Metrics
from libs.store.errors import StoreUnavailable
from libs.store.health.installation_status import InstallationStatus
from libs.store.leases.keeper_port import Keeper

OBSERVE_EVERY_MS: Final = 5_000
ANSWER_TIMEOUT_S: Final = 4.0
STUCK_MS: Final = 30_000  # with an observation every 5 s, and probes every 10 s, unready well within 60 s
DELAY_EVERY_MS: Final = 250

_log = structlog.get_logger("process")


@runtime_checkable
class Reading(Protocol):
    """How far a role's service has read."""

    def positions(self) -> Mapping[int, int]:
        """Return the last position read, by partition; without partitions that wait until more work can be held."""

    def halted_count(self) -> int:
        """Return how many partitions cannot be read on."""


class ReadsStatus(Protocol):
    """What asks the database."""

    async def read(self) -> InstallationStatus:
        """Return the status of this moment; raises `StoreUnavailable`."""


class Role:
    """One role of this process."""

    def __init__(self, name: str, reading: Reading, keeper: Keeper) -> None:
        self.name = name
        self.reading = reading
        self.keeper = keeper


class Standing:
    """Since when something makes no progress although it could, by partition; what is not observed any more is forgotten."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[int, int]] = {}

    def observe(self, positions: Mapping[int, int], ends: Mapping[int, int], now: int) -> None:
        """Note *positions* (last one read) while the log goes up to *ends* (first one unwritten)."""
        seen: dict[int, tuple[int, int]] = {}
        for partition, position in positions.items():
            before = self._seen.get(partition)
            is_standing = before is not None and before[0] == position and position < ends.get(partition, 0) - 1
            seen[partition] = before if is_standing and before is not None else (position, now)
        self._seen = seen

    def longest(self, now: int) -> tuple[int, int, int]:
        """Return (for how many ms, partition, position) of the one that stands for longest."""
        return max(
            ((now - since, part, position) for part, (position, since) in self._seen.items()), default=(0, -1, -1)
        )


class Behind:
    """For how long the tables have been behind the log, by marks: an end seen, and not reached since."""

    def __init__(self) -> None:
        self._marks: dict[int, tuple[int, int]] = {}

    def observe(self, positions: Mapping[int, int], ends: Mapping[int, int], now: int) -> int:
        """Return for how many ms the partition that is furthest behind has been."""
        for partition, end in ends.items():
            position = positions.get(partition, -1)
            mark = self._marks.get(partition)
            if mark is not None and position >= mark[0]:
                del self._marks[partition]
                mark = None
            if mark is None and position < end - 1:
                self._marks[partition] = end - 1, now
        return max((now - at for _, at in self._marks.values()), default=0)


class Vitals(StartStop):
    """The observations of one process."""

    def __init__(
        self,
        *,
        log: Log,
        status: ReadsStatus,
        partitions: int,
        roles: Sequence[Role],
        clock: Clock,
        metrics: Metrics,
        data_dir: Path | None = None,
    ) -> None:
        """Observe *log*, *status* and *roles*; nothing happens before `start`."""
        super().__init__()
        self._log = log
        self._status = status
        self._partitions = range(partitions)
        self._roles = roles
        self._clock = clock
        self._metrics = metrics
        self._data_dir = data_dir
        self._readers = {role.name: Standing() for role in roles}
        self._renewals = {role.name: Standing() for role in roles}
        self._tables = Standing()
        self._behind = Behind()
        self._ends: dict[int, int] = {}
        self._answers: dict[str, bool] = {}
        self._observed_at = self._log_at = clock.steady()

    async def on_start(self) -> None:
        """Observe once, then again and again."""
        metrics = self._metrics
        metrics.partitions.set(len(self._partitions))
        for role in self._roles:
            metrics.leases_held.labels(role.name).set_function(partial(_held_count, role.keeper))
            metrics.partitions_halted.labels(role.name).set_function(role.reading.halted_count)
        self._observed_at = self._log_at = self._clock.steady()
        self.spawn(self._observe_forever(), name="vitals")
        self.spawn(self._measure_delay(), name="loop delay")

    def log_reason(self) -> str | None:
        """Return None while the log answers, else since when it does not."""
        age_ms = self._clock.steady() - self._log_at
        return None if age_ms < STUCK_MS else f"the log has not answered for {age_ms // 1000} s"

    def progress_reason(self) -> str | None:
        """Return None while everything that has work makes progress, else what stands."""
        now = self._clock.steady()
        if now - self._observed_at >= STUCK_MS:
            return f"nobody has looked for {(now - self._observed_at) // 1000} s"
        for role, standing in self._readers.items():
            age_ms, partition, position = standing.longest(now)
            if age_ms >= STUCK_MS:
                end = self._ends.get(partition, 0)
                return (
                    f"{role}: partition {partition} stands at {position} for {age_ms // 1000} s, the log ends at {end}"
                )
        age_ms, partition, position = self._tables.longest(now)
        if age_ms >= STUCK_MS:
            return f"the tables of partition {partition} stand at {position} for {age_ms // 1000} s"
        return None

    def leases_reason(self) -> str | None:
        """Return None while the leases held are renewed, else which are not."""
        now = self._clock.steady()
        for role, standing in self._renewals.items():
            age_ms, partition, _ = standing.longest(now)
            if age_ms >= STUCK_MS:
                return f"{role}: the lease of partition {partition} was not renewed for {age_ms // 1000} s"
        return None

    async def observe(self) -> None:
        """Observe once; what does not answer in time counts as not answering."""
        await asyncio.gather(self._ask_log(), self._ask_database())
        now = self._clock.steady()
        for role in self._roles:
            positions = role.reading.positions()
            self._readers[role.name].observe(positions, self._ends, now)
            lag = sum(max(0, self._ends.get(part, 0) - 1 - position) for part, position in positions.items())
            self._metrics.log_lag_records.labels(role.name).set(lag)
            # An uncertain lease "stands"; a certain one has always just been renewed.
            held = role.keeper.held
            uncertain = {part: 0 for part in held if not role.keeper.holds(part)}
            self._renewals[role.name].observe(uncertain, dict.fromkeys(uncertain, 2), now)
        self._measure_disk()
        self._observed_at = now

    async def _observe_forever(self) -> None:
        while True:
            try:
                await self.observe()
            except Exception:  # noqa: BLE001 - the next round may succeed: `progress_reason` says that none did
                _log.exception("observation_failed")
            await self._clock.beat(OBSERVE_EVERY_MS)

    async def _ask_log(self) -> None:
        """Ask for every partition's end. One that does not answer is its readers' trouble; the log is gone when none does."""
        ends, trouble = await ends_of(self._log, self._partitions, ANSWER_TIMEOUT_S)
        if not ends and trouble is not None:
            self._note("log", trouble)
            return
        self._ends |= ends
        self._log_at = self._clock.steady()
        self._note("log", None)

    async def _ask_database(self) -> None:
        asked_at = self._clock.now()
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                status = await self._status.read()
        except (StoreUnavailable, OSError, TimeoutError) as error:
            self._note("database", error)
            return
        now, steady, metrics = self._clock.now(), self._clock.steady(), self._metrics
        self._note("database", None)
        metrics.clock_skew_seconds.set(_skew_ms(asked_at, status.at, now) / 1000)
        due_at = status.oldest_due_at
        metrics.oldest_due_age_seconds.set(max(0, now - due_at) / 1000 if due_at is not None else 0)
        for role, count in status.unassigned.items():
            metrics.partitions_unassigned.labels(role).set(count)
        ends = self._ends
        metrics.fold_lag_records.set(
            sum(max(0, end - 1 - status.positions.get(part, -1)) for part, end in ends.items())
        )
        metrics.projection_lag_seconds.set(self._behind.observe(status.positions, ends, steady) / 1000)
        owned = next((role.keeper.held for role in self._roles if role.name == "scheduler"), {})
        self._tables.observe({p: at for p, at in status.positions.items() if p in owned}, ends, steady)

    def _note(self, what: str, error: BaseException | None) -> None:
        """Show whether *what* answers; say so once when that changes for the worse."""
        if error is not None and self._answers.get(what, True):
            _log.warning("does_not_answer", name=what, reason=f"{type(error).__name__}: {error}"[:200])
        self._answers[what] = error is None
        (self._metrics.log_up if what == "log" else self._metrics.database_up).set(error is None)

    def _measure_disk(self) -> None:
        if self._data_dir is None:
            return
        try:
            usage = shutil.disk_usage(self._data_dir)
        except OSError:
            return  # no local state yet: nothing to run out of
        self._metrics.data_dir_free_bytes.set(usage.free)
        self._metrics.data_dir_size_bytes.set(usage.total)

    async def _measure_delay(self) -> None:
        while True:
            self._metrics.loop_delay_seconds.observe(await self._clock.beat(DELAY_EVERY_MS))


def _held_count(keeper: Keeper) -> int:
    return len(keeper.held)


def _skew_ms(asked_at: int, theirs: int, answered_at: int) -> float:
    """Return our clock minus theirs as far as it is certain: they read theirs at some moment while we waited."""
    ours, unsure = (asked_at + answered_at) / 2, (answered_at - asked_at) / 2
    return max(0.0, abs(ours - theirs) - unsure) * (1 if ours > theirs else -1)
