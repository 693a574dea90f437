"""
Mutations: the product with one of its rules taken out, by a patch of the running code. The fleet must find each of them, or the
rule, or the simulation, is not worth its place.

Each is found by one seed in ten or more often, but for those in `RARE`. The decider's rules (the barrier, the overlay) are taken
out in tests/simulation/model, which plays the same decider. One rule guards what no fleet lives through, tables that are restored
to an older point: claims with a nonce (tests/simulation/model).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

from libs.domain.job import JobState, JobStatus
from libs.domain.jobs import decisions
from libs.domain.reader_fold import ReaderFold
from libs.domain.state_registry import State
from libs.events import Claim, Envelope, Event, JobRetryScheduled
from libs.following.calls import Calls
from libs.following.held_calls import HeldCalls
from libs.log.fact_appender import FactAppender
from libs.log.port import AppendFailed, LogError
from libs.store.control.idempotency import Reservation
from libs.store.projection.changes import Flush
from services.api.handlers.jobs.job_creation import JobCreation
from services.api.handlers.jobs.jobs import Jobs
from services.api.state.account_use import Room
from services.api.state.consistency import ReadIndex
from services.dispatcher.attempt_calls import AttemptCalls
from services.dispatcher.reader import DueReader
from services.scheduler.daily.daily_permits import DailyPermits
from services.scheduler.fenced_tables import FencedTables
from services.scheduler.flusher import Flusher
from services.scheduler.partition_owner import PartitionOwner
from services.scheduler.timer_wheel import TimerWheel
from tests.fakes.control.lease_statements import LeaseStatements
from tests.fakes.database import Database
from tests.simulation.fleet.stories.keeping_mutations import KEEPING_MUTATIONS
from tests.simulation.fleet.stories.labels import labels_lost_at_the_end, labels_not_written
from tests.simulation.fleet.stories.responses import responses_not_written
from tests.simulation.fleet.stories.schedule_mutations import (
    changes_overwritten,
    grace_ignored,
    overlap_ignored,
    replaced_run_lives_on,
    slot_fired_twice,
    tick_before_a_change_counts_after_it,
    tick_skipped,
    ticks_far_ahead,
    ticks_in_utc,
)
from tests.simulation.webhooks.mutations import (
    deliveries_forgotten,
    patched,
    pending_webhooks_forgotten,
    webhooks_retried_early,
)

nothing = contextlib.nullcontext


def cancel_acked_early() -> AbstractContextManager[None]:
    """A cancel is acknowledged once it is asked for."""

    async def decided(*_: Any, **__: Any) -> JobStatus:
        return JobStatus.CANCELLED

    return patched((Jobs, "_decided", decided))


def fires_when_told() -> AbstractContextManager[None]:
    """The dispatcher calls when it hears of an attempt, ahead of its instant by the lead."""

    return patched((AttemptCalls, "put", Calls.put))


def forgets_in_flight() -> AbstractContextManager[None]:
    """A dispatcher that starts does not look for what is running."""

    async def pass_over(self: DueReader, _: Any) -> None:
        return

    return patched((DueReader, "take_snapshot", pass_over))


def starts_on_old_tables() -> AbstractContextManager[None]:
    """A dispatcher that starts does not wait until the tables know of every outcome in the log."""
    begin = DueReader.begin

    async def begin_at_once(self: DueReader) -> tuple[int, Claim | None]:
        log, progress = self._log, self._progress
        self._log, self._progress = _Ended(log), _Ready()  # type: ignore[assignment]
        try:
            return await begin(self)
        finally:
            self._log, self._progress = log, progress

    return patched((DueReader, "begin", begin_at_once))


class _Ended:
    def __init__(self, log: Any) -> None:
        self._log = log

    async def end(self, _: int) -> int:
        return 0


class _Ready:
    forgotten_count = 0

    async def wait(self, *_: Any) -> bool:
        return True


def flush_not_fenced() -> AbstractContextManager[None]:
    """The tables take a flush from whoever comes, wherever they stand."""
    flush = Database.flush

    def take(self: Database, flushes: Sequence[Flush]) -> set[int]:
        fitted = [
            each._replace(
                lease_nonce=self.nonces.get(each.partition, ""), from_position=self.progress(each.partition)[0]
            )
            for each in flushes
        ]
        return flush(self, fitted)

    return patched((Database, "flush", take))


def reads_not_fenced() -> AbstractContextManager[None]:
    """An owner takes whatever it reads back for what it saved."""

    async def trust(*_: Any) -> None:
        return

    return patched((FencedTables, "_check", trust))


def wheel_drops_a_slot() -> AbstractContextManager[None]:
    """One slot of the timer wheel in sixteen is lost when it falls due."""
    take = TimerWheel._take

    def lose(self: Any, number: int, first_offset: int, last_offset: int) -> list[Any]:
        keys = take(self, number, first_offset, last_offset)
        return [] if number % 16 == 0 else keys

    return patched((TimerWheel, "_take", lose))


def horizon_skips_a_row() -> AbstractContextManager[None]:
    """The last row of a load is left out."""
    load = FencedTables.load_due

    async def skip(self: FencedTables, *args: Any, **options: Any) -> list[State]:
        return (await load(self, *args, **options))[:-1]

    return patched((FencedTables, "load_due", skip))


def fan_out_begins_at_the_tables() -> AbstractContextManager[None]:
    """Fan-out that begins goes on from where the tables are, and not from where the facts of the life before were in the log."""
    return patched((Database, "fanned_out", Database.progress))


def reservation_forgotten() -> AbstractContextManager[None]:
    """A key that was taken is given out again."""
    reserve = JobCreation._reserve

    async def anew(
        self: JobCreation, job: Any, now: int, account: str, room: Room, replay_of: str | None = None
    ) -> Any:
        held = await reserve(self, job, now, account, room, replay_of)
        partition = self._c.mint.partition(now)
        return Reservation(self._c.mint.job_id(now, partition), held.request_hash, now, True)

    return patched((JobCreation, "_reserve", anew))


def names_forgotten() -> AbstractContextManager[None]:
    """The key of a job that waits, or has not ended, is given to the next one that asks for it."""

    def anew(self: Database, account: str, kind: str, name: str, new_id: str) -> str:
        return self.pass_name_on(account, kind, name, self.name_holder(account, kind, name, ""), new_id)

    return patched((Database, "take_name", anew))


def retries_a_success() -> AbstractContextManager[None]:
    """An attempt that succeeded is followed by another while there are any left."""
    after = decisions._after_attempt

    def again(state: JobState, now: int, jitter: float, retry_base_s: float) -> Event:
        if state.last_ok and state.attempt <= state.max_retries:
            return JobRetryScheduled(job_id=state.job_id, at=now, attempt=state.attempt + 1, fire_at=now)
        return after(state, now, jitter, retry_base_s)

    return patched((decisions, "_after_attempt", again))


def retries_at_once() -> AbstractContextManager[None]:
    """A retry does not wait."""
    return patched((decisions, "delay_ms", lambda *_, **__: 0))


def owner_lives_on() -> AbstractContextManager[None]:
    """An owner whose append failed goes on as if nothing had been."""

    async def append_forever(self: PartitionOwner) -> None:
        while True:
            await self._outbox_filled.wait()
            self._outbox_filled.clear()
            batch, self._outbox = self._outbox, []
            if batch:
                with contextlib.suppress(LogError):
                    await self._log.append(self.partition, batch)

    return patched((PartitionOwner, "_append_forever", append_forever))


def append_made_again() -> AbstractContextManager[None]:
    """An owner whose append failed makes it again, under the same claim."""
    append_forever = PartitionOwner._append_forever

    async def again(self: PartitionOwner) -> None:
        log = self._log
        self._log = _Stubborn(log)  # type: ignore[assignment]
        await append_forever(self)

    return patched((PartitionOwner, "_append_forever", again))


class _Stubborn:
    def __init__(self, log: Any) -> None:
        self._log = log

    async def append(self, *args: Any, **options: Any) -> int:
        for _ in range(3):
            try:
                first: int = await self._log.append(*args, **options)
                return first
            except AppendFailed:
                continue
        return 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


def outcome_dropped() -> AbstractContextManager[None]:
    """A fact whose append failed is taken for written."""
    begin = FactAppender.__init__

    def stubborn(self: FactAppender, log: Any, *args: Any, **options: Any) -> None:
        begin(self, _Careless(log), *args, **options)  # type: ignore[arg-type]

    return patched((FactAppender, "__init__", stubborn))


class _Careless:
    def __init__(self, log: Any) -> None:
        self._log = log

    async def append(self, *args: Any, **options: Any) -> int:
        try:
            first: int = await self._log.append(*args, **options)
        except LogError:
            return 0
        return first


def void_dues_called() -> AbstractContextManager[None]:
    """The dispatcher calls whatever is due, whoever decided it."""
    take = ReaderFold.take

    def admit(self: ReaderFold, position: int, envelope: Envelope) -> Event | None:
        if envelope.type == "attempt.due":
            envelope = envelope._replace(claim=str(self.claim))
        return take(self, position, envelope)

    return patched((ReaderFold, "take", admit))


def attempts_not_remembered() -> AbstractContextManager[None]:
    """A recorded attempt is forgotten at once, before the reader has passed its outcome."""
    recorded = HeldCalls.recorded

    def forget(self: HeldCalls[Any], call: Any, position: int) -> None:
        recorded(self, call, position)
        self.passed(call.partition, position)

    return patched((HeldCalls, "recorded", forget))


def reads_do_not_wait() -> AbstractContextManager[None]:
    """A read takes the tables as they are."""

    async def at_once(*_: Any) -> bool:
        return True

    return patched((ReadIndex, "partition", at_once))


def policy_ignored_by_an_older_build() -> AbstractContextManager[None]:
    """A build of the first contract takes partitions over whose rows it does not understand."""
    return patched((LeaseStatements, "_may_serve", lambda *_: True))


def flush_left_behind() -> AbstractContextManager[None]:
    """What was folded while a flush was tried again waits for the next record (a defect that this simulation found)."""
    flush = Flusher._flush

    async def forget(self: Flusher, taken: Any) -> bool:
        done = await flush(self, taken)
        if done:
            self._wake.clear()
        return done

    return patched((Flusher, "_flush", forget))


def due_without_permit() -> AbstractContextManager[None]:
    """An owner decides what is due without a permit of the account's day."""
    return patched((DailyPermits, "may_decide", lambda *_: True))


def used_is_forgotten() -> AbstractContextManager[None]:
    """An owner that takes a partition over does not know what was decided there today."""
    return patched((DailyPermits, "load", lambda *_: None))


MUTATIONS: Final[dict[str, Callable[[], AbstractContextManager[None]]]] = {
    each.__name__: each
    for each in (
        cancel_acked_early,
        fires_when_told,
        forgets_in_flight,
        starts_on_old_tables,
        flush_not_fenced,
        reads_not_fenced,
        wheel_drops_a_slot,
        horizon_skips_a_row,
        pending_webhooks_forgotten,
        fan_out_begins_at_the_tables,
        deliveries_forgotten,
        webhooks_retried_early,
        reservation_forgotten,
        names_forgotten,
        retries_a_success,
        retries_at_once,
        owner_lives_on,
        append_made_again,
        outcome_dropped,
        void_dues_called,
        attempts_not_remembered,
        reads_do_not_wait,
        tick_skipped,
        ticks_in_utc,
        slot_fired_twice,
        ticks_far_ahead,
        policy_ignored_by_an_older_build,
        grace_ignored,
        overlap_ignored,
        replaced_run_lives_on,
        tick_before_a_change_counts_after_it,
        changes_overwritten,
        labels_lost_at_the_end,
        labels_not_written,
        responses_not_written,
        flush_left_behind,
        due_without_permit,
        used_is_forgotten,
        *KEEPING_MUTATIONS,
    )
}
KEEPING: Final = frozenset(each.__name__ for each in KEEPING_MUTATIONS)  # found only by fleets that forget and trim
# Found about once in thirty seeds or more rarely: for the nights.
RARE: Final = (
    "starts_on_old_tables",
    "flush_not_fenced",
    "reads_not_fenced",
    "owner_lives_on",
    "append_made_again",
    "outcome_dropped",
    "void_dues_called",
    "attempts_not_remembered",
    "flush_left_behind",
)
