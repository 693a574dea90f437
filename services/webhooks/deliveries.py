"""
Deliveries: the POSTs under way, those that wait for a slot, and their outcomes on the way into the log.

Each POST is made once, as a best effort. If very many POSTs of one account wait for one host, the newer ones are given up, so
that a host that never answers neither fills the memory nor holds up the others.
"""

import asyncio
from collections.abc import Callable
from logging import DEBUG
from typing import Final

import structlog

from libs.egress.caller_headers import INTERNAL_ERROR, host_of
from libs.egress.fair_queue import FairQueue
from libs.egress.outcome import Outcome
from libs.events import Envelope, Spec, encode
from libs.events.ids import partition_of
from libs.following.ports import Egress
from libs.log.fact_appender import FactAppender
from libs.log.port import Log
from libs.runtime.clock import Clock
from libs.runtime.crashpoint import crash_at
from libs.runtime.telemetry.trace_context import trace_id
from libs.runtime.telemetry.tracing import NO_TRACING, Tracing
from services.webhooks.payload import TerminalEvent, finished, not_made, outgoing
from services.webhooks.ports import Meter

TIMEOUT_S: Final = 10.0  # docs/api.md, "Webhooks"
TOTAL: Final = 200
PER_HOST: Final = 20
WAITING_MAX: Final = 1_000  # POSTs of one account that may wait for one host
OVERLOADED: Final = "too_many_waiting"

_log = structlog.get_logger("webhooks")


class Delivery:
    """One POST to be made."""

    __slots__ = ("event", "host", "is_dropped", "on_done", "partition", "secrets", "spec")

    def __init__(
        self,
        partition: int,
        event: TerminalEvent,
        spec: Spec,
        secrets: tuple[str, ...],
        on_done: Callable[[], None],
    ) -> None:
        self.partition = partition
        self.event = event
        self.spec = spec
        self.secrets = secrets
        self.on_done = on_done
        self.host = host_of(spec.webhook_url or "")
        self.is_dropped = False


class Deliveries:
    """All POSTs of this process."""

    def __init__(
        self,
        *,
        event_log: Log,
        egress: Egress,
        clock: Clock,
        meter: Meter,
        user_agent: str,
        may_start: Callable[[int], bool],
        on_recorded: Callable[[], None],
        total: int = TOTAL,
        per_host: int = PER_HOST,
        waiting_max: int = WAITING_MAX,
        gather_ms: int = 0,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        """Start nothing of a partition for which *may_start* is false; call *on_recorded* when an outcome is in the log."""
        self._log = event_log
        self._egress = egress
        self._clock = clock
        self._meter = meter
        self._user_agent = user_agent
        self._may_start = may_start
        self._on_recorded = on_recorded
        self._waiting_max = waiting_max
        self._gather_ms = gather_ms
        self._tracing = tracing
        self._logs_each_call = _log.is_enabled_for(DEBUG)  # preparing a line that is not written costs something, too
        self._fair_queue: FairQueue[Delivery] = FairQueue(total=total, per_host=per_host)
        self._held: dict[str, Delivery] = {}
        self._under_way: set[asyncio.Task[None]] = set()
        self._recording: set[str] = set()
        self._joined: dict[str, list[Callable[[], None]]] = {}
        self._appenders: dict[int, FactAppender] = {}

    @property
    def held_count(self) -> int:
        """How many jobs' POSTs are waiting, under way or being recorded."""
        return len(self._held) + len(self._recording)

    @property
    def failing_partitions(self) -> list[int]:
        """The partitions whose outcomes cannot be appended at the moment."""
        return [partition for partition, appender in self._appenders.items() if appender.failing]

    def holds(self, job_id: str) -> bool:
        """Whether the job's POST is waiting, under way or being recorded."""
        return job_id in self._held or job_id in self._recording

    def join(self, job_id: str, on_done: Callable[[], None]) -> None:
        """Also call *on_done* once the outcome of a POST that is held already is in the log."""
        self._joined.setdefault(job_id, []).append(on_done)

    def put(self, delivery: Delivery) -> None:
        """Make this POST as soon as a slot is free for it."""
        account = delivery.event.account
        if self._fair_queue.backlog_length(account=account, host=delivery.host) >= self._waiting_max:
            self.give_up(delivery.partition, delivery.event, OVERLOADED, delivery.on_done)
            return
        self._held[delivery.event.job_id] = delivery
        self._fair_queue.submit(delivery, account=account, host=delivery.host)
        self._start()

    def give_up(self, partition: int, event: TerminalEvent, error: str, on_done: Callable[[], None]) -> None:
        """Record that no POST is made."""
        self._meter.webhook_ended(error)
        self._record(partition, event.job_id, encode(not_made(event, error, at=self._clock.now())), on_done)

    def drop_unstarted(self, partition: int) -> int:
        """Drop the POSTs of *partition* that wait, and return how many; the next holder of its lease finds them in the log."""
        dropped = [delivery for delivery in self._held.values() if delivery.partition == partition]
        for delivery in dropped:
            delivery.is_dropped = True
            del self._held[delivery.event.job_id]
        return len(dropped)

    def open_count_of(self, partition: int) -> int:
        """Return how many POSTs of *partition* are under way or being recorded. O(POSTs under way)."""
        return sum(partition_of(job_id) == partition for job_id in self._recording)

    async def wait_idle(self) -> None:
        """Return once no POST is under way and every outcome is in the log; the caller bounds the wait."""
        while self._under_way:
            await asyncio.wait(list(self._under_way))
        for appender in list(self._appenders.values()):
            await appender.wait_idle()

    async def stop(self) -> None:
        """Break off what is under way."""
        tasks = list(self._under_way)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for appender in self._appenders.values():
            await appender.stop()

    def start_waiting(self) -> None:
        """Start the POSTs that may start; a lease may have become certain."""
        self._start()

    def _start(self) -> None:
        fair_queue = self._fair_queue
        unsure: list[Delivery] = []
        while (delivery := fair_queue.take()) is not None:
            if not delivery.is_dropped and self._may_start(delivery.partition):
                del self._held[delivery.event.job_id]
                self._recording.add(delivery.event.job_id)
                task = asyncio.create_task(self._post(delivery))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
                continue
            fair_queue.release(account=delivery.event.account, host=delivery.host)
            if not delivery.is_dropped:
                unsure.append(delivery)
        for delivery in unsure:
            fair_queue.submit(delivery, account=delivery.event.account, host=delivery.host)

    async def _post(self, delivery: Delivery) -> None:
        event = delivery.event
        try:
            outcome = await self._send(delivery)
            self._meter.webhook_ended("ok" if outcome.ok else outcome.error or INTERNAL_ERROR, outcome.duration_ms)
            fact = finished(event, outcome, at=self._clock.now())
        except asyncio.CancelledError:
            self._recording.discard(event.job_id)
            raise
        except Exception:  # noqa: BLE001 - a defect costs one webhook, not the partition
            _log.error(
                "webhook_broken", job_id=event.job_id, trace_id=trace_id(delivery.spec.traceparent), exc_info=True
            )
            self._meter.webhook_ended(INTERNAL_ERROR)
            fact = not_made(event, INTERNAL_ERROR, at=self._clock.now())
        finally:
            self._fair_queue.release(account=event.account, host=delivery.host)
        self._record(delivery.partition, event.job_id, encode(fact), delivery.on_done)
        self._start()

    async def _send(self, delivery: Delivery) -> Outcome:
        event, spec = delivery.event, delivery.spec
        host = delivery.host.partition("://")[2]
        attributes = {"server.address": host, "fliq.job_id": event.job_id} if self._tracing.is_on else {}
        span = self._tracing.start(
            "webhook", "client", parent=spec.traceparent, seed=f"{event.job_id}#webhook", attributes=attributes
        )
        outcome: Outcome | None = None
        try:
            request = outgoing(
                event,
                spec,
                secrets=delivery.secrets,
                timestamp_s=self._clock.now() // 1000,
                user_agent=self._user_agent,
                traceparent=span.traceparent,
            )
            crash_at("webhooks.before_send")
            outcome = await self._egress.call(request, timeout_s=TIMEOUT_S)
            crash_at("webhooks.after_send")
        finally:
            if outcome is None:
                span.end(error=INTERNAL_ERROR)
            else:
                span.end(error=outcome.error, http__response__status_code=outcome.status_code)
        if self._logs_each_call:
            _log.debug(
                "webhook_ended",
                job_id=event.job_id,
                trace_id=span.trace_id,
                outcome=outcome.error or "ok",
                status_code=outcome.status_code,
                duration_ms=outcome.duration_ms,
            )
        return outcome

    def _record(self, partition: int, job_id: str, envelope: Envelope, on_done: Callable[[], None]) -> None:
        self._recording.add(job_id)
        appender = self._appenders.get(partition)
        if appender is None:
            appender = self._appenders[partition] = FactAppender(
                self._log, partition, clock=self._clock, gather_ms=self._gather_ms
            )
        appender.put(envelope, lambda _: self._recorded(job_id, on_done))

    def _recorded(self, job_id: str, on_done: Callable[[], None]) -> None:
        crash_at("webhooks.after_append")
        self._recording.discard(job_id)
        on_done()
        for joined in self._joined.pop(job_id, ()):
            joined()
        self._on_recorded()
