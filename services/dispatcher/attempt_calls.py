"""
Attempt calls: an attempt from the moment its due event is read until its outcome is in the log.

An attempt waits for its instant, then for its slots. Then its request is built, signed and sent. One timer serves all attempts of
one millisecond. When it fires, the wall clock is read again, so that no call leaves early.

An attempt takes a slot for every 32 KiB of its spec, since its body is in memory, up to three times, while the call is under way.
"""

from collections.abc import Sequence
from functools import partial
from logging import DEBUG
from typing import Final

import structlog

from libs.domain.endpoints.delivery import NOT_SENT
from libs.domain.endpoints.order import LOOK_MS, WAITS, Wait, ordered_subject, wait_of
from libs.egress.address_pace import CallLater
from libs.egress.caller_headers import endpoint_of, host_of
from libs.egress.outcome import TIMEOUT, Outcome
from libs.events import AttemptDue, AttemptFinished, Response, Spec
from libs.events.ids import share_of
from libs.events.retry_policy import Outcome as OutcomeWord
from libs.following.calls import CallContext, Calls, traced
from libs.following.held_calls import Call, Stage
from libs.following.loader import SECRET_MISSING, SPEC_BROKEN, SPEC_SHREDDED
from libs.runtime.clock import Timer
from libs.runtime.crashpoint import crash_at
from libs.sealing.sealed_spec import stored_url
from libs.store.errors import StoreUnavailable
from services.dispatcher.answers import Answers
from services.dispatcher.attempt import (
    STOPPED,
    TOO_LATE,
    finished,
    not_made,
    outgoing,
    span_attributes,
    too_late,
    waits,
)
from services.dispatcher.endpoints import EndpointHealth
from services.dispatcher.ports import DueTables, Meter

SLOT_BYTES: Final = 32_768
STUCK_MS: Final = 120_000  # a call that is so far beyond its own deadline does not end by itself

_log = structlog.get_logger("dispatcher")


class AttemptCall(Call):
    """One attempt; *position* is where the tables have its job. *response* is what was kept of the answer."""

    __slots__ = ("due", "response", "trace_id")

    def __init__(self, partition: int, due: AttemptDue, position: int) -> None:
        super().__init__(
            partition,
            due.execution_id,
            job_id=due.job_id,
            account=share_of(due.account),
            spec_id=due.spec_id,
            position=position,
            signer=due.account,
        )
        self.due = due
        self.trace_id: str | None = None
        self.response: Response | None = None


class AttemptCalls(Calls[AttemptCall]):
    """All attempts of this process."""

    def __init__(
        self, context: CallContext, *, tables: DueTables, meter: Meter, health: EndpointHealth, answers: Answers
    ) -> None:
        """Hold nothing; *health* is told how calls of webhook endpoints end, *answers* keeps answers of others."""
        super().__init__(context, tables.stored_specs)
        self._tables = tables
        self._meter = meter
        self._health = health
        self._answers = answers
        # Preparing a line that is not written costs one per cent of an attempt.
        self._logs_each_call = _log.is_enabled_for(DEBUG)
        self._due_at: dict[int, list[AttemptCall]] = {}
        self._timers: dict[int, Timer] = {}
        self._stuck: set[AttemptCall] = set()
        self._cut_off: set[AttemptCall] = set()

    def take(self, partition: int, due: Sequence[tuple[int, AttemptDue]]) -> None:
        """
        Hold attempts that were found due, each with a position at which the tables have its job, and load what they need.

        Those whose account's share is full are left in the tables.
        """
        held = self.held
        taken = []
        for position, event in due:
            if held.knows(partition, event.execution_id):
                continue
            call = AttemptCall(partition, event, position)
            if held.left.has_left(partition, call.account) or not held.has_room(call.account):
                held.left.leave(partition, call.account)
                continue
            held.add(call)
            taken.append(call)
        if taken:
            self.loader.put(taken)
            self._meter.in_flight(held.open_count)

    def put(self, calls: Sequence[AttemptCall]) -> None:
        """Make these calls at their instants."""
        now = self._clock.now()
        for call in calls:
            not_before = call.due.not_before
            if not_before <= now:
                self.submit(call)
                continue
            call.stage = Stage.WAITING
            together = self._due_at.get(not_before)
            if together is None:
                self._due_at[not_before] = [call]
                self._timers[not_before] = self._clock.call_at(not_before, partial(self._fire, not_before))
            else:
                together.append(call)
        self.start_waiting()

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
        for task, call in self._calling.items():
            is_stuck = call.stage is Stage.CALLING and now > call.started_at + call.due.timeout_ms + STUCK_MS
            if is_stuck and call not in self._stuck:
                _log.error("call_stuck", **_names(call))
                self._stuck.add(call)
                task.cancel()
                count += 1
        return count

    def cut_off(self, partition: int, execution_id: str) -> None:
        """Drop the attempt of a job that was stopped; if its call is under way, close the connection."""
        call = self.held.find(partition, execution_id)
        if call is None:
            return
        if call.stage < Stage.CALLING:
            self.held.drop(call)
            return
        for task, calling in self._calling.items():
            if calling is call and call.stage is Stage.CALLING:
                self._cut_off.add(call)
                task.cancel()

    def weight_of(self, call: AttemptCall) -> int:
        """Return how many slots the call takes."""
        return 1 + call.spec_bytes // SLOT_BYTES

    def lane_of(self, call: AttemptCall, spec: bytes) -> str:
        """Return the host that is called; of what tells a webhook endpoint that endpoint, so that one that hangs is alone."""
        url = stored_url(spec)
        return host_of(url) if call.signer == call.account else endpoint_of(url)

    async def make(self, call: AttemptCall, spec: Spec) -> AttemptFinished:
        """Make the call and return its outcome."""
        due, tracing = call.due, self._ports.tracing
        if due.too_late_at is not None and (now := self._clock.now()) >= due.too_late_at:
            self._meter.call_not_made(TOO_LATE)
            return too_late(due, at=now)
        if call.signer != call.account and (wait := await self._wait(due, spec)) is not None:
            if wait.is_kept:
                raise CallLater(wait.ms / 1_000)
            self._meter.call_not_made(WAITS)
            return waits(due, wait.ms, at=self._clock.now())
        attributes = span_attributes(due, spec, host_of(call.lane or "")) if tracing.is_on else {}
        span = tracing.start("attempt", "client", parent=spec.traceparent, seed=due.execution_id, attributes=attributes)
        call.trace_id = span.trace_id
        sending = self._send(call, spec, span.traceparent)
        del spec  # its body is in the request
        outcome = await traced(span, sending)
        lateness_ms = outcome.sent_at - max(due.not_before, call.put_off_until)
        if call.signer != call.account:
            self._health.note(call.signer, outcome)
            self._meter.delivery_ended(outcome)
        else:
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
        return finished(due, outcome, at=self._clock.now(), response=call.response)

    async def _wait(self, due: AttemptDue, spec: Spec) -> Wait | None:
        """Return for how long a delivery waits for earlier ones about its job; None if it is sent now."""
        subject = ordered_subject(spec.headers)
        if subject is None:
            return None
        try:
            pending = await self._tables.pending_about(due.account, subject)
        except StoreUnavailable:
            return Wait(LOOK_MS, is_kept=True)
        return wait_of(due, spec.headers, pending, self._clock.now())

    def not_made(self, call: AttemptCall, error: str) -> AttemptFinished:
        """Count an attempt that ended without an answer, and return the outcome."""
        if error == SECRET_MISSING and call.signer != call.account:
            # The endpoint is disabled, or deleted: what is kept for it is sent when somebody asks for that.
            self._meter.call_not_made(NOT_SENT)
            return not_made(call.due, NOT_SENT, at=self._clock.now(), outcome="not_retryable")
        self._meter.call_not_made(error)
        is_final = error in (SPEC_SHREDDED, SPEC_BROKEN)  # no later try opens it
        outcome: OutcomeWord | None = "not_retryable" if is_final else None
        return not_made(call.due, error, at=self._clock.now(), outcome=outcome)

    def ended_by_cancel(self, call: AttemptCall) -> AttemptFinished | None:
        """Return a timeout if the call was stuck, and that its job was stopped if it was cut off."""
        if call in self._cut_off:
            self._cut_off.discard(call)
            return self.not_made(call, STOPPED)
        if call not in self._stuck:
            return None
        self._stuck.discard(call)
        return not_made(call.due, TIMEOUT, at=self._clock.now())

    def log_defect(self, call: AttemptCall) -> None:
        """Say what `make` raised."""
        _log.error("attempt_broken", **_names(call), exc_info=True)

    def on_appended(self, call: AttemptCall, position: int) -> None:
        """The outcome is in the log."""
        crash_at("dispatcher.after_append")
        self._meter.in_flight(self.held.open_count)

    def _fire(self, at: int) -> None:
        if self._clock.now() < at:  # the event loop counts monotonic time and may be a moment ahead of the wall clock
            self._timers[at] = self._clock.call_at(at, partial(self._fire, at))
            return
        del self._timers[at]
        for call in self._due_at.pop(at):
            if call.stage is Stage.WAITING:
                self.submit(call)
        self.start_waiting()

    async def _send(self, call: AttemptCall, spec: Spec, traceparent: str | None) -> Outcome:
        due, capture = call.due, spec.capture
        keeper = self._answers.keeper(due, capture) if call.signer == call.account else None
        request = outgoing(
            due,
            spec,
            secrets=call.secrets,
            timestamp_s=self._clock.signed_at_s(),
            user_agent=self._user_agent,
            traceparent=traceparent,
            keeper=keeper,
        )
        del spec
        crash_at("dispatcher.before_send")
        outcome = await self._ports.egress.call(request, timeout_s=due.timeout_ms / 1000)
        crash_at("dispatcher.after_send")
        if keeper is not None and keeper.answer is not None:
            call.response = await self._answers.response(due, capture, request, keeper.answer)
        return outcome


def _names(call: AttemptCall) -> dict[str, str | int | None]:
    """Return the fields that name an attempt in a log line."""
    return {
        "job_id": call.job_id,
        "execution_id": call.key,
        "attempt_num": call.due.attempt,
        "trace_id": call.trace_id,
    }
