"""
Webhook calls: a POST from the moment the end of its job is read until its outcome is in the log.

A webhook without `webhook_retry` has one POST: a failure is recorded (`webhook.finished`), and not repeated. With it, each try is
recorded (`webhook.attempted`), and the next one is found in the tables when it is due (libs/domain/jobs/delivery.py).

The POSTs of an account take turns by endpoint: origin and path. If an account holds as many as it may, or one of its endpoints
does, the others are left in the tables until there is room.
"""

from collections.abc import Sequence
from logging import DEBUG
from typing import Final

import msgspec
import structlog

from libs.domain.jobs.delivery import DeliveryState, DeliveryStatus, create, evolve
from libs.domain.jobs.ends import TerminalEvent
from libs.egress.caller_headers import INTERNAL_ERROR, endpoint_of, host_of
from libs.egress.outcome import Outcome
from libs.events import Spec, WebhookAttempted, WebhookFinished
from libs.events.ids import delivery_id
from libs.events.retry_policy import RetryPolicy
from libs.following.calls import CallContext, Calls, traced
from libs.following.held_calls import Call
from libs.following.left_calls import Place
from libs.runtime.crashpoint import crash_at
from libs.store.reads.partition_tables import decode_spec
from services.webhooks.payload import attempted, finished, not_attempted, not_made, outgoing
from services.webhooks.ports import Meter, PendingTables

TIMEOUT_S: Final = 10.0  # docs/api.md, "Webhooks"

_log = structlog.get_logger("webhooks")


class WebhookCall(Call):
    """
    One POST, for the end of a job that the tables have once they are folded up to *position*.

    Args:
        delivery: what is known of it after its earlier tries; None for the first try.

    Attributes:
        policy: when it is tried again; None if it is not, or as long as its spec was not read.
    """

    __slots__ = ("delivery", "event", "policy")

    def __init__(
        self, partition: int, event: TerminalEvent, position: int, delivery: DeliveryState | None = None
    ) -> None:
        super().__init__(
            partition,
            event.job_id if delivery is None else f"{delivery.delivery_id}#{delivery.attempt + 1}",
            job_id=event.job_id,
            account=event.account,
            spec_id=event.spec_id,
            position=position,
        )
        self.event = event
        self.delivery = delivery
        self.policy = None if delivery is None else delivery.policy

    @property
    def attempt(self) -> int:
        """The ordinal of the try."""
        return 1 if self.delivery is None else self.delivery.attempt + 1

    @property
    def delivery_id(self) -> str:
        """The id of the delivery that the try belongs to."""
        event, delivery = self.event, self.delivery
        return delivery_id(event.job_id) if delivery is None else delivery.delivery_id

    @property
    def group(self) -> str:
        """Under which name it is left: its account's, or that of the account's deliveries."""
        return self.account if self.delivery is None else deliveries_of(self.account)

    @property
    def place(self) -> Place:
        """Its place among those of its group."""
        event, delivery = self.event, self.delivery
        return (event.at, event.job_id) if delivery is None else (delivery.next_at or 0, delivery.delivery_id)


def deliveries_of(account: str) -> str:
    """Return the name under which deliveries of *account* are left. No account has a name with a slash."""
    return f"{account}/deliveries"


class WebhookCalls(Calls[WebhookCall]):
    """All POSTs of this process."""

    def __init__(
        self, context: CallContext, tables: PendingTables, *, meter: Meter, retries: int, retry_base_s: float
    ) -> None:
        """Hold nothing; see `WebhooksService` for *retries* and *retry_base_s*."""
        super().__init__(context, tables.webhook_specs)
        self._default_policy = RetryPolicy(max_retries=retries) if retries else None
        self._base_ms = round(retry_base_s * 1000)
        self._meter = meter
        self._logs_each_call = _log.is_enabled_for(DEBUG)  # preparing a line that is not written costs something, too

    def take(self, calls: Sequence[WebhookCall]) -> None:
        """Hold these POSTs and load what they need, but for those that are held already, and those for which there is no room."""
        held, taken = self.held, []
        for call in calls:
            if held.knows(call.partition, call.key):
                continue
            if held.left.has_left(call.partition, call.group, None, call.place) or not held.has_room(call.account):
                held.left.leave(call.partition, call.group, None, call.place)
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
                if held.left.has_left(call.partition, call.group, lane, call.place) or not held.has_room_in_lane(
                    call.account, lane
                ):
                    held.drop(call)
                    held.left.leave(call.partition, call.group, lane, call.place)
                    continue
                held.enter_lane(call)
            self.submit(call)
        self.start_waiting()

    def lane_of(self, call: WebhookCall, spec: bytes) -> str | None:
        """Return the endpoint that is told."""
        url = decode_spec(spec).webhook_url
        return None if url is None else endpoint_of(url)

    def needed(self, spec: Spec) -> Spec:
        """Return *spec* without the job's own body and headers."""
        return msgspec.structs.replace(spec, body=None, headers=None)

    async def make(self, call: WebhookCall, spec: Spec) -> WebhookFinished | WebhookAttempted:
        """Make the POST and return its outcome."""
        event, tracing = call.event, self._ports.tracing
        if call.delivery is None:
            call.policy = self._policy_of(spec)
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
        at, policy = self._clock.now(), call.policy
        if policy is None:
            return finished(event, outcome, at=at)
        return self._counted(call, attempted(event, policy, call.attempt, outcome, delivery_id=call.delivery_id, at=at))

    def not_made(self, call: WebhookCall, error: str) -> WebhookFinished | WebhookAttempted:
        """Count a POST that ended without an answer, and return the outcome."""
        self._meter.webhook_ended(error)
        at, policy = self._clock.now(), call.policy
        if policy is None:
            return not_made(call.event, error, at=at)
        return self._counted(
            call, not_attempted(call.event, policy, call.attempt, error, delivery_id=call.delivery_id, at=at)
        )

    def _policy_of(self, spec: Spec) -> RetryPolicy | None:
        """Return when the webhook of *spec* is tried again, every delay filled in; None if it is not."""
        policy = spec.webhook_retry or self._default_policy
        if policy is None or policy.delay_ms is not None:
            return policy
        return msgspec.structs.replace(policy, delay_ms=self._base_ms)

    def _counted(self, call: WebhookCall, event: WebhookAttempted) -> WebhookAttempted:
        """Count a delivery that *event* ends without success, and return *event*."""
        before = call.delivery
        after = create(event, 0) if before is None else evolve(before, event, 0)
        if after is not None and after.status is DeliveryStatus.EXHAUSTED and (before is None or before.is_pending):
            self._meter.delivery_exhausted("webhook_url")
        return event

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
            message_id=call.event.job_id if call.policy is None else call.delivery_id,
            timestamp_s=self._clock.signed_at_s(),
            user_agent=self._user_agent,
            traceparent=traceparent,
        )
        crash_at("webhooks.before_send")
        outcome = await self._ports.egress.call(request, timeout_s=TIMEOUT_S)
        crash_at("webhooks.after_send")
        return outcome
