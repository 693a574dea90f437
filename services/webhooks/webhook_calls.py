"""
Webhook calls: a POST from the moment the end of its job is read until its outcome is in the log.

Each POST is made once, as a best effort. If an account holds as many as it may, or very many of its POSTs wait for one host, its
newer ones are given up, so that a host that never answers neither fills the memory nor holds up the others.
"""

from collections.abc import Callable, Sequence
from logging import DEBUG
from typing import Final

import msgspec
import structlog

from libs.egress.caller_headers import INTERNAL_ERROR, host_of
from libs.egress.outcome import Outcome
from libs.events import Spec, WebhookFinished
from libs.following.calls import CallContext, Calls, traced
from libs.following.held_calls import Call
from libs.following.ports import SpecTables
from libs.runtime.crashpoint import crash_at
from libs.store.reads.partition_tables import decode_spec
from services.webhooks.payload import TerminalEvent, finished, not_made, outgoing
from services.webhooks.ports import Meter

TIMEOUT_S: Final = 10.0  # docs/api.md, "Webhooks"
OVERLOADED: Final = "too_many_waiting"

_log = structlog.get_logger("webhooks")


class WebhookCall(Call):
    """One POST, for the end of a job that stands at *position*; *on_done* is called once its outcome is in the log."""

    __slots__ = ("event", "on_done")

    def __init__(self, partition: int, event: TerminalEvent, position: int, on_done: Callable[[], None]) -> None:
        super().__init__(
            partition,
            event.job_id,
            job_id=event.job_id,
            account=event.account,
            spec_id=event.spec_id,
            position=position,
        )
        self.event = event
        self.on_done = on_done


class WebhookCalls(Calls[WebhookCall]):
    """All POSTs of this process."""

    def __init__(self, context: CallContext, tables: SpecTables, *, meter: Meter, waiting_max: int) -> None:
        """Hold nothing; at most *waiting_max* POSTs of one account wait for one host."""
        super().__init__(context, tables)
        self._meter = meter
        self._waiting_max = waiting_max
        self._logs_each_call = _log.is_enabled_for(DEBUG)  # preparing a line that is not written costs something, too
        self._joined: dict[str, list[Callable[[], None]]] = {}

    def take(self, calls: Sequence[WebhookCall]) -> None:
        """Make these POSTs; one that is held already, from a lease that was lost meanwhile, is not made twice."""
        taken = []
        for call in calls:
            if self.held.knows(call.partition, call.key):
                self._joined.setdefault(call.key, []).append(call.on_done)
            elif self.held.has_room(call.account):
                self.held.add(call)
                taken.append(call)
            else:
                self.held.add(call, places=0)
                self.fail(call, OVERLOADED)
        if taken:
            self.loader.put(taken)

    def put(self, calls: Sequence[WebhookCall]) -> None:
        """Make these POSTs, which are loaded, as soon as slots are free for them."""
        for call in calls:
            waiting_count = self._fair_queue.backlog_length(account=call.account, host=call.host or "")
            if waiting_count >= self._waiting_max:
                self.fail(call, OVERLOADED)
            else:
                self.submit(call)
        self.start_waiting()

    def host_of(self, spec: bytes) -> str | None:
        """Return the host that is told."""
        url = decode_spec(spec).webhook_url
        return None if url is None else host_of(url)

    def decode(self, spec: bytes) -> Spec:
        """Return a stored spec without the job's own body and headers."""
        return msgspec.structs.replace(decode_spec(spec), body=None, headers=None)

    async def make(self, call: WebhookCall, spec: Spec) -> WebhookFinished:
        """Make the POST and return its outcome."""
        event, tracing = call.event, self._ports.tracing
        host = (call.host or "").partition("://")[2]
        attributes = {"server.address": host, "fliq.job_id": event.job_id} if tracing.is_on else {}
        span = tracing.start(
            "webhook", "client", parent=spec.traceparent, seed=f"{event.job_id}#webhook", attributes=attributes
        )
        outcome = await traced(span, self._send(call, spec, span.traceparent))
        if self._logs_each_call:
            _log.debug(
                "webhook_ended",
                job_id=event.job_id,
                trace_id=span.trace_id,
                outcome=outcome.error or "ok",
                status_code=outcome.status_code,
                duration_ms=outcome.duration_ms,
            )
        self._meter.webhook_ended("ok" if outcome.ok else outcome.error or INTERNAL_ERROR, outcome.duration_ms)
        return finished(event, outcome, at=self._clock.now())

    def not_made(self, call: WebhookCall, error: str) -> WebhookFinished:
        """Count a POST that ended without an answer, and return the outcome."""
        self._meter.webhook_ended(error)
        return not_made(call.event, error, at=self._clock.now())

    def log_defect(self, call: WebhookCall) -> None:
        """Say what `make` raised."""
        _log.error("webhook_broken", job_id=call.job_id, exc_info=True)

    def on_appended(self, call: WebhookCall, position: int) -> None:
        """The outcome is in the log."""
        crash_at("webhooks.after_append")
        self.held.passed(call.partition, position)
        call.on_done()
        for joined in self._joined.pop(call.key, ()):
            joined()

    async def _send(self, call: WebhookCall, spec: Spec, traceparent: str | None) -> Outcome:
        request = outgoing(
            call.event,
            spec,
            secrets=call.secrets,
            timestamp_s=self._clock.now() // 1000,
            user_agent=self._user_agent,
            traceparent=traceparent,
        )
        crash_at("webhooks.before_send")
        outcome = await self._ports.egress.call(request, timeout_s=TIMEOUT_S)
        crash_at("webhooks.after_send")
        return outcome
