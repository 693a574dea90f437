"""
Webhook calls: the POSTs that wait for a slot, those under way, and their outcomes on the way into the log.

Each POST is made once, as a best effort. If very many POSTs of one account wait for one host, the newer ones are given up, so
that a host that never answers neither fills the memory nor holds up the others.
"""

from collections.abc import Callable
from logging import DEBUG
from typing import Final, NamedTuple

import structlog

from libs.egress.caller_headers import INTERNAL_ERROR, host_of
from libs.egress.fair_queue import FairQueue
from libs.egress.outcome import Outcome
from libs.events import Spec, WebhookFinished
from libs.events.ids import partition_of
from libs.following.calls import Calls, traced
from libs.following.ports import FollowingPorts
from libs.runtime.crashpoint import crash_at
from libs.runtime.telemetry.trace_context import trace_id
from services.webhooks.payload import TerminalEvent, finished, not_made, outgoing
from services.webhooks.ports import Meter

TIMEOUT_S: Final = 10.0  # docs/api.md, "Webhooks"
OVERLOADED: Final = "too_many_waiting"

_log = structlog.get_logger("webhooks")


class Limits(NamedTuple):
    """
    How many POSTs there may be.

    Args:
        total: under way at once.
        per_host: under way to one host.
        waiting: of one account, waiting for one host.
    """

    total: int = 200
    per_host: int = 20
    waiting: int = 1_000


LIMITS: Final = Limits()


class WebhookCall:
    """One POST to be made, for the end of a job."""

    __slots__ = ("event", "host", "is_waiting", "on_done", "partition", "secrets", "spec")

    def __init__(
        self,
        partition: int,
        event: TerminalEvent,
        on_done: Callable[[], None],
        spec: Spec | None = None,
        secrets: tuple[str, ...] = (),
    ) -> None:
        """Call *on_done* once the outcome is in the log."""
        self.partition = partition
        self.event = event
        self.spec = spec
        self.secrets = secrets
        self.on_done = on_done
        self.host = host_of((spec and spec.webhook_url) or "")
        self.is_waiting = True

    @property
    def account(self) -> str:
        """Whose job it is."""
        return self.event.account


class WebhookCalls(Calls[WebhookCall]):
    """All POSTs of this process."""

    def __init__(
        self,
        ports: FollowingPorts,
        *,
        meter: Meter,
        may_start: Callable[[int], bool],
        on_recorded: Callable[[], None],
        limits: Limits = LIMITS,
    ) -> None:
        """Start nothing of a partition for which *may_start* is false; call *on_recorded* when an outcome is in the log."""
        super().__init__(
            ports,
            fair_queue=FairQueue(total=limits.total, per_host=limits.per_host),
            may_start=may_start,
            on_recorded=on_recorded,
        )
        self._meter = meter
        self._waiting_max = limits.waiting
        self._logs_each_call = _log.is_enabled_for(DEBUG)  # preparing a line that is not written costs something, too
        self._waiting: dict[str, WebhookCall] = {}
        self._started: set[str] = set()
        self._joined: dict[str, list[Callable[[], None]]] = {}

    @property
    def held_count(self) -> int:
        """How many jobs' POSTs are waiting, under way or being recorded."""
        return len(self._waiting) + len(self._started)

    def is_held(self, job_id: str) -> bool:
        """Whether the job's POST is waiting, under way or being recorded."""
        return job_id in self._waiting or job_id in self._started

    def join(self, job_id: str, on_done: Callable[[], None]) -> None:
        """Also call *on_done* once the outcome of a POST that is held already is in the log."""
        self._joined.setdefault(job_id, []).append(on_done)

    def put(self, call: WebhookCall) -> None:
        """Make this POST as soon as a slot is free for it."""
        if self._fair_queue.backlog_length(account=call.account, host=call.host) >= self._waiting_max:
            self.give_up(call, OVERLOADED)
            return
        self._waiting[call.event.job_id] = call
        self.submit(call)
        self.start_waiting()

    def give_up(self, call: WebhookCall, error: str) -> None:
        """Record that no POST is made."""
        self._meter.webhook_ended(error)
        self._started.add(call.event.job_id)
        self.record(call, not_made(call.event, error, at=self._clock.now()))

    def drop_unstarted(self, partition: int) -> int:
        """Drop the POSTs of *partition* that wait, and return how many; the next holder of its lease finds them in the log."""
        dropped = [call for call in self._waiting.values() if call.partition == partition]
        for call in dropped:
            call.is_waiting = False
            del self._waiting[call.event.job_id]
        return len(dropped)

    def open_count_of(self, partition: int) -> int:
        """Return how many POSTs of *partition* are under way or being recorded. O(POSTs under way)."""
        return sum(partition_of(job_id) == partition for job_id in self._started)

    def on_started(self, call: WebhookCall) -> None:
        """The POST is under way."""
        del self._waiting[call.event.job_id]
        self._started.add(call.event.job_id)

    async def make(self, call: WebhookCall) -> WebhookFinished:
        """Make the POST and return its outcome."""
        event, spec = call.event, call.spec
        if spec is None:
            raise RuntimeError("a webhook was started without its spec")
        tracing = self._ports.tracing
        host = call.host.partition("://")[2]
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

    def ended_by_cancel(self, call: WebhookCall) -> None:
        """No outcome: the POST is made again."""
        self._started.discard(call.event.job_id)

    def ended_by_defect(self, call: WebhookCall) -> WebhookFinished:
        """Return an internal error."""
        traceparent = None if call.spec is None else call.spec.traceparent
        _log.error("webhook_broken", job_id=call.event.job_id, trace_id=trace_id(traceparent), exc_info=True)
        self._meter.webhook_ended(INTERNAL_ERROR)
        return not_made(call.event, INTERNAL_ERROR, at=self._clock.now())

    def on_appended(self, call: WebhookCall, position: int) -> None:
        """The outcome is in the log."""
        crash_at("webhooks.after_append")
        job_id = call.event.job_id
        self._started.discard(job_id)
        call.on_done()
        for joined in self._joined.pop(job_id, ()):
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
