"""
Calls: an attempt from the moment it is loaded until its outcome is in the log.

An attempt waits for its instant, then for a slot. Then its request is built, signed and sent. One timer serves all attempts of
one millisecond. When it fires, the wall clock is read again, so that no call leaves early.

If a lease is not certain (the process stood still for seconds), no call of its partition starts. The attempt waits until the
lease is renewed, or is dropped when it is lost.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from logging import DEBUG
from typing import Final

import structlog

from libs.egress.caller_headers import INTERNAL_ERROR
from libs.egress.fair_queue import FairQueue
from libs.egress.outcome import TIMEOUT, Outcome
from libs.events import AttemptFinished, encode
from libs.following.ports import Egress
from libs.log.fact_appender import FactAppender
from libs.log.port import Log
from libs.runtime.clock import Clock, Timer
from libs.runtime.crashpoint import crash_at
from libs.runtime.telemetry.tracing import NO_TRACING, Tracing
from services.dispatcher.attempt import finished, not_made, outgoing, span_attributes
from services.dispatcher.held_attempts import HeldAttempt, HeldAttempts, Stage
from services.dispatcher.ports import Meter

LEASE_RECHECK_MS: Final = 50
STUCK_MS: Final = 120_000  # a call that is so far beyond its own deadline does not end by itself

_log = structlog.get_logger("dispatcher")


class Calls:
    """The attempts that are loaded and whose outcome is not in the log."""

    def __init__(
        self,
        *,
        event_log: Log,
        egress: Egress,
        clock: Clock,
        held_attempts: HeldAttempts,
        meter: Meter,
        fair_queue: FairQueue[HeldAttempt],
        user_agent: str,
        may_start: Callable[[int], bool],
        on_recorded: Callable[[], None],
        gather_ms: int = 0,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        """Start nothing of a partition for which *may_start* is false; call *on_recorded* when an outcome is in the log."""
        self._log = event_log
        self._egress = egress
        self._clock = clock
        self._held_attempts = held_attempts
        self._meter = meter
        self._fair_queue = fair_queue
        self._user_agent = user_agent
        self._may_start = may_start
        self._on_recorded = on_recorded
        self._gather_ms = gather_ms
        self._tracing = tracing
        self._logs_each_call = _log.is_enabled_for(
            DEBUG
        )  # preparing a line that is not written costs one per cent of an attempt
        self._due_at: dict[int, list[HeldAttempt]] = {}
        self._timers: dict[int, Timer] = {}
        self._unsure: list[HeldAttempt] = []
        self._recheck_timer: Timer | None = None
        self._calling: dict[asyncio.Task[None], tuple[HeldAttempt, int]] = {}
        self._appenders: dict[int, FactAppender] = {}
        self._stuck: set[HeldAttempt] = set()

    @property
    def failing_partitions(self) -> list[int]:
        """The partitions whose outcomes cannot be appended at the moment."""
        return [partition for partition, appender in self._appenders.items() if appender.failing]

    @property
    def active_count(self) -> int:
        """How many calls are under way."""
        return self._fair_queue.active_count

    @property
    def waiting_count(self) -> int:
        """How many calls wait for a slot."""
        return self._fair_queue.waiting_count

    def put(self, held_attempts: Sequence[HeldAttempt]) -> None:
        """Make these calls at their instants."""
        now = self._clock.now()
        for held_attempt in held_attempts:
            not_before = held_attempt.due.not_before
            if not_before <= now:
                self._queue(held_attempt)
                continue
            held_attempt.stage = Stage.WAITING
            together = self._due_at.get(not_before)
            if together is None:
                self._due_at[not_before] = [held_attempt]
                self._timers[not_before] = self._clock.call_at(not_before, partial(self._fire, not_before))
            else:
                together.append(held_attempt)
        self._start_calls()

    def fail(self, held_attempt: HeldAttempt, error: str) -> None:
        """Record that an attempt ended without a call."""
        self._meter.call_not_made(error)
        self._record(held_attempt, not_made(held_attempt.due, error, at=self._clock.now()))

    def forget_waiting(self) -> None:
        """Forget what waits for its instant or its lease; those attempts were dropped."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if self._recheck_timer is not None:
            self._recheck_timer.cancel()
            self._recheck_timer = None
        self._due_at.clear()
        self._unsure.clear()

    async def wait_idle(self) -> None:
        """Return once no call is under way and every outcome is in the log; the caller bounds the wait."""
        while self._calling:
            await asyncio.wait(list(self._calling))
        for appender in list(self._appenders.values()):
            await appender.wait_idle()

    async def stop(self) -> None:
        """Break off what is under way: the next holder of the lease finds it running in the tables."""
        self.forget_waiting()
        tasks = list(self._calling)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for appender in self._appenders.values():
            await appender.stop()

    def end_stuck(self) -> int:
        """Break off, as timeouts, calls that should have ended long ago (a defect of the client), and return how many."""
        now = self._clock.now()
        count = 0
        for task, (held_attempt, started_at) in self._calling.items():
            if now > started_at + held_attempt.due.timeout_ms + STUCK_MS and held_attempt not in self._stuck:
                _log.error("call_stuck", **_names(held_attempt))
                self._stuck.add(held_attempt)
                task.cancel()
                count += 1
        return count

    def _fire(self, at: int) -> None:
        if self._clock.now() < at:  # the event loop counts monotonic time and may be a moment ahead of the wall clock
            self._timers[at] = self._clock.call_at(at, partial(self._fire, at))
            return
        del self._timers[at]
        for held_attempt in self._due_at.pop(at):
            if held_attempt.stage is Stage.WAITING:
                self._queue(held_attempt)
        self._start_calls()

    def _queue(self, held_attempt: HeldAttempt) -> None:
        held_attempt.stage = Stage.QUEUED
        self._fair_queue.submit(held_attempt, account=held_attempt.due.account, host=held_attempt.host)

    def _start_calls(self) -> None:
        fair_queue = self._fair_queue
        while (held_attempt := fair_queue.take()) is not None:
            if held_attempt.stage is Stage.QUEUED and self._may_start(held_attempt.partition):
                held_attempt.stage = Stage.CALLING
                task = asyncio.create_task(self._call(held_attempt))
                self._calling[task] = (held_attempt, self._clock.now())
                task.add_done_callback(self._calling.pop)
                continue
            fair_queue.release(account=held_attempt.due.account, host=held_attempt.host)
            if held_attempt.stage is Stage.QUEUED:
                self._unsure.append(held_attempt)
        if self._unsure and self._recheck_timer is None:
            self._recheck_timer = self._clock.call_at(self._clock.now() + LEASE_RECHECK_MS, self._recheck)

    def _recheck(self) -> None:
        self._recheck_timer = None
        unsure, self._unsure = self._unsure, []
        for held_attempt in unsure:
            if held_attempt.stage is Stage.QUEUED:
                self._queue(held_attempt)
        self._start_calls()

    async def _call(self, held_attempt: HeldAttempt) -> None:
        due = held_attempt.due
        event: AttemptFinished
        try:
            outcome = await self._send(held_attempt)
            event = finished(due, outcome, at=self._clock.now())
        except asyncio.CancelledError:
            if held_attempt not in self._stuck:
                raise
            self._stuck.discard(held_attempt)
            event = not_made(due, TIMEOUT, at=self._clock.now())
        except Exception:  # noqa: BLE001 - a defect costs one attempt, not the partition
            _log.error("attempt_broken", **_names(held_attempt), exc_info=True)
            self._meter.call_not_made(INTERNAL_ERROR)
            event = not_made(due, INTERNAL_ERROR, at=self._clock.now())
        finally:
            self._fair_queue.release(account=due.account, host=held_attempt.host)
        self._record(held_attempt, event)
        self._start_calls()

    async def _send(self, held_attempt: HeldAttempt) -> Outcome:
        due, spec = held_attempt.due, held_attempt.spec
        if spec is None:
            raise RuntimeError("an attempt was started without its spec")
        tracing = self._tracing
        attributes = span_attributes(due, spec, held_attempt.host) if tracing.is_on else {}
        span = tracing.start("attempt", "client", parent=spec.traceparent, seed=due.execution_id, attributes=attributes)
        held_attempt.trace_id = span.trace_id
        outcome: Outcome | None = None
        try:
            request = outgoing(
                due,
                spec,
                secrets=held_attempt.secrets,
                timestamp_s=self._clock.now() // 1000,
                user_agent=self._user_agent,
                traceparent=span.traceparent,
            )
            crash_at("dispatcher.before_send")
            outcome = await self._egress.call(request, timeout_s=due.timeout_ms / 1000)
            crash_at("dispatcher.after_send")
        finally:
            if outcome is None:
                span.end(error=INTERNAL_ERROR)
            else:
                span.end(error=outcome.error, http__response__status_code=outcome.status_code)
        lateness_ms = outcome.sent_at - due.not_before
        self._meter.call_ended(lateness_ms=lateness_ms, lead_ms=outcome.sent_at - due.at, outcome=outcome)
        if self._logs_each_call:
            _log.debug(
                "attempt_ended",
                **_names(held_attempt),
                outcome=outcome.error or "ok",
                status_code=outcome.status_code,
                duration_ms=outcome.duration_ms,
                lateness_ms=lateness_ms,
            )
        return outcome

    def _record(self, held_attempt: HeldAttempt, event: AttemptFinished) -> None:
        held_attempt.stage = Stage.RECORDING
        appender = self._appenders.get(held_attempt.partition)
        if appender is None:
            appender = FactAppender(self._log, held_attempt.partition, clock=self._clock, gather_ms=self._gather_ms)
            self._appenders[held_attempt.partition] = appender
        appender.put(encode(event), lambda position: self._recorded(held_attempt, position))

    def _recorded(self, held_attempt: HeldAttempt, position: int) -> None:
        crash_at("dispatcher.after_append")
        self._held_attempts.recorded(held_attempt, position)
        self._on_recorded()


def _names(held_attempt: HeldAttempt) -> dict[str, str | int | None]:
    """Return the fields that name an attempt in a log line."""
    due = held_attempt.due
    return {
        "job_id": due.job_id,
        "execution_id": due.execution_id,
        "attempt_num": due.attempt,
        "trace_id": held_attempt.trace_id,
    }
