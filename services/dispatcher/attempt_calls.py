"""
Attempt calls: an attempt from the moment it is loaded until its outcome is in the log.

An attempt waits for its instant, then for a slot. Then its request is built, signed and sent. One timer serves all attempts of
one millisecond. When it fires, the wall clock is read again, so that no call leaves early.
"""

from collections.abc import Callable, Sequence
from functools import partial
from logging import DEBUG
from typing import Final

import structlog

from libs.egress.caller_headers import INTERNAL_ERROR
from libs.egress.fair_queue import FairQueue
from libs.egress.outcome import TIMEOUT, Outcome
from libs.events import AttemptFinished, Spec
from libs.following.calls import Calls, traced
from libs.following.ports import FollowingPorts
from libs.runtime.clock import Timer
from libs.runtime.crashpoint import crash_at
from services.dispatcher.attempt import finished, not_made, outgoing, span_attributes
from services.dispatcher.held_attempts import HeldAttempt, HeldAttempts, Stage
from services.dispatcher.ports import Meter

STUCK_MS: Final = 120_000  # a call that is so far beyond its own deadline does not end by itself

_log = structlog.get_logger("dispatcher")


class AttemptCalls(Calls[HeldAttempt]):
    """The attempts that are loaded and whose outcome is not in the log."""

    def __init__(
        self,
        ports: FollowingPorts,
        *,
        held_attempts: HeldAttempts,
        meter: Meter,
        fair_queue: FairQueue[HeldAttempt],
        may_start: Callable[[int], bool],
        on_recorded: Callable[[], None],
    ) -> None:
        """Start nothing of a partition for which *may_start* is false; call *on_recorded* when an outcome is in the log."""
        super().__init__(ports, fair_queue=fair_queue, may_start=may_start, on_recorded=on_recorded)
        self._held_attempts = held_attempts
        self._meter = meter
        # Preparing a line that is not written costs one per cent of an attempt.
        self._logs_each_call = _log.is_enabled_for(DEBUG)
        self._due_at: dict[int, list[HeldAttempt]] = {}
        self._timers: dict[int, Timer] = {}
        self._stuck: set[HeldAttempt] = set()

    def put(self, held_attempts: Sequence[HeldAttempt]) -> None:
        """Make these calls at their instants."""
        now = self._clock.now()
        for held_attempt in held_attempts:
            not_before = held_attempt.due.not_before
            if not_before <= now:
                self.submit(held_attempt)
                continue
            held_attempt.stage = Stage.WAITING
            together = self._due_at.get(not_before)
            if together is None:
                self._due_at[not_before] = [held_attempt]
                self._timers[not_before] = self._clock.call_at(not_before, partial(self._fire, not_before))
            else:
                together.append(held_attempt)
        self.start_waiting()

    def fail(self, held_attempt: HeldAttempt, error: str) -> None:
        """Record that an attempt ended without a call."""
        self._meter.call_not_made(error)
        self.record(held_attempt, not_made(held_attempt.due, error, at=self._clock.now()))

    async def stop(self) -> None:
        """Forget what waits for its instant, and break off what is under way: the next holder of the lease finds it running."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._due_at.clear()
        await super().stop()

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

    def submit(self, call: HeldAttempt) -> None:
        """Queue an attempt whose instant has come."""
        call.stage = Stage.QUEUED
        super().submit(call)

    def on_started(self, call: HeldAttempt) -> None:
        """The request is under way."""
        call.stage = Stage.CALLING

    async def make(self, call: HeldAttempt) -> AttemptFinished:
        """Make the call and return its outcome."""
        due, spec = call.due, call.spec
        if spec is None:
            raise RuntimeError("an attempt was started without its spec")
        tracing = self._ports.tracing
        attributes = span_attributes(due, spec, call.host) if tracing.is_on else {}
        span = tracing.start("attempt", "client", parent=spec.traceparent, seed=due.execution_id, attributes=attributes)
        call.trace_id = span.trace_id
        outcome = await traced(span, self._send(call, spec, span.traceparent))
        lateness_ms = outcome.sent_at - due.not_before
        self._meter.call_ended(lateness_ms=lateness_ms, lead_ms=outcome.sent_at - due.at, outcome=outcome)
        if self._logs_each_call:
            _log.debug(
                "attempt_ended",
                **_names(call),
                outcome=outcome.error or "ok",
                status_code=outcome.status_code,
                duration_ms=outcome.duration_ms,
                lateness_ms=lateness_ms,
            )
        return finished(due, outcome, at=self._clock.now())

    def ended_by_cancel(self, call: HeldAttempt) -> AttemptFinished | None:
        """Return a timeout if the call was stuck."""
        if call not in self._stuck:
            return None
        self._stuck.discard(call)
        return not_made(call.due, TIMEOUT, at=self._clock.now())

    def ended_by_defect(self, call: HeldAttempt) -> AttemptFinished:
        """Return an internal error."""
        _log.error("attempt_broken", **_names(call), exc_info=True)
        self._meter.call_not_made(INTERNAL_ERROR)
        return not_made(call.due, INTERNAL_ERROR, at=self._clock.now())

    def on_outcome(self, call: HeldAttempt) -> None:
        """The outcome is on its way into the log."""
        call.stage = Stage.RECORDING

    def on_appended(self, call: HeldAttempt, position: int) -> None:
        """The outcome is in the log."""
        crash_at("dispatcher.after_append")
        self._held_attempts.recorded(call, position)

    def _fire(self, at: int) -> None:
        if self._clock.now() < at:  # the event loop counts monotonic time and may be a moment ahead of the wall clock
            self._timers[at] = self._clock.call_at(at, partial(self._fire, at))
            return
        del self._timers[at]
        for held_attempt in self._due_at.pop(at):
            if held_attempt.stage is Stage.WAITING:
                self.submit(held_attempt)
        self.start_waiting()

    async def _send(self, held_attempt: HeldAttempt, spec: Spec, traceparent: str | None) -> Outcome:
        request = outgoing(
            held_attempt.due,
            spec,
            secrets=held_attempt.secrets,
            timestamp_s=self._clock.now() // 1000,
            user_agent=self._user_agent,
            traceparent=traceparent,
        )
        crash_at("dispatcher.before_send")
        outcome = await self._ports.egress.call(request, timeout_s=held_attempt.due.timeout_ms / 1000)
        crash_at("dispatcher.after_send")
        return outcome


def _names(held_attempt: HeldAttempt) -> dict[str, str | int | None]:
    """Return the fields that name an attempt in a log line."""
    due = held_attempt.due
    return {
        "job_id": due.job_id,
        "execution_id": due.execution_id,
        "attempt_num": due.attempt,
        "trace_id": held_attempt.trace_id,
    }
