"""
Webhook calls: a POST from the moment the end of its job is read until its outcome is in the log.

Each POST is made once: a failure is recorded, and not repeated. The POSTs of an account take turns by endpoint: origin and path. If
an account holds as many as it may, or one of its endpoints does, the others are left in the tables until there is room.
"""

from collections.abc import Sequence
from logging import DEBUG
from typing import Final

import msgspec
import structlog

from libs.egress.caller_headers import INTERNAL_ERROR, endpoint_of, host_of
from libs.egress.outcome import Outcome
from libs.events import Spec, WebhookFinished
from libs.following.calls import CallContext, Calls, traced
from libs.following.held_calls import Call
from libs.following.left_calls import Place
from libs.runtime.crashpoint import crash_at
from libs.store.reads.partition_tables import decode_spec
from libs.store.reads.pending_webhooks import TerminalEvent
from services.webhooks.payload import finished, not_made, outgoing
from services.webhooks.ports import Meter, PendingTables

TIMEOUT_S: Final = 10.0  # docs/api.md, "Webhooks"

_log = structlog.get_logger("webhooks")


class WebhookCall(Call):
    """One POST, for the end of a job that the tables have once they are folded up to *position*."""

    __slots__ = ("event",)

    def __init__(self, partition: int, event: TerminalEvent, position: int) -> None:
        super().__init__(
            partition,
            event.job_id,
            job_id=event.job_id,
            account=event.account,
            spec_id=event.spec_id,
            position=position,
        )
        self.event = event

    @property
    def place(self) -> Place:
        """Its place among the webhooks of its account."""
        return self.event.at, self.event.job_id


class WebhookCalls(Calls[WebhookCall]):
    """All POSTs of this process."""

    def __init__(self, context: CallContext, tables: PendingTables, *, meter: Meter) -> None:
        """Hold nothing."""
        super().__init__(context, tables.webhook_specs)
        self._meter = meter
        self._logs_each_call = _log.is_enabled_for(DEBUG)  # preparing a line that is not written costs something, too

    def take(self, calls: Sequence[WebhookCall]) -> None:
        """Hold these POSTs and load what they need, but for those that are held already, and those for which there is no room."""
        held, taken = self.held, []
        for call in calls:
            if held.knows(call.partition, call.key):
                continue
            if held.left.has_left(call.partition, call.account, None, call.place) or not held.has_room(call.account):
                held.left.leave(call.partition, call.account, None, call.place)
                continue
            held.add(call)
            taken.append(call)
        if taken:
            self.loader.put(taken)

    def put(self, calls: Sequence[WebhookCall]) -> None:
        """Make these POSTs, which are loaded, as soon as slots are free for them; leave those whose endpoint holds its share."""
        held = self.held
        for call in calls:
            if (lane := call.lane) is not None:
                if held.left.has_left(call.partition, call.account, lane, call.place) or not held.has_room_in_lane(
                    call.account, lane
                ):
                    held.drop(call)
                    held.left.leave(call.partition, call.account, lane, call.place)
                    continue
                held.enter_lane(call)
            self.submit(call)
        self.start_waiting()

    def lane_of(self, spec: bytes) -> str | None:
        """Return the endpoint that is told."""
        url = decode_spec(spec).webhook_url
        return None if url is None else endpoint_of(url)

    def decode(self, spec: bytes) -> Spec:
        """Return a stored spec without the job's own body and headers."""
        return msgspec.structs.replace(decode_spec(spec), body=None, headers=None)

    async def make(self, call: WebhookCall, spec: Spec) -> WebhookFinished:
        """Make the POST and return its outcome."""
        event, tracing = call.event, self._ports.tracing
        host = host_of(spec.webhook_url or "").partition("://")[2]
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
