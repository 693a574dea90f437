"""
Calls: the HTTP calls that wait for a slot, those under way, and their outcomes on the way into the log.

If a lease is not certain (the process stood still for seconds), no call of its partition starts. The call waits until the lease
is renewed, or is dropped when it is lost.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from typing import Final, Generic, Protocol, TypeVar

from libs.egress.caller_headers import INTERNAL_ERROR
from libs.egress.fair_queue import FairQueue
from libs.egress.outcome import Outcome
from libs.events import Event, encode
from libs.following.ports import FollowingPorts
from libs.log.fact_appender import FactAppender
from libs.runtime.clock import Timer
from libs.runtime.telemetry.tracing import Span

LEASE_RECHECK_MS: Final = 50

# Errors of a call that is not made.
SPEC_MISSING: Final = "spec_missing"  # the tables are folded past the event and do not have the job
SECRET_MISSING: Final = "signing_secret_missing"  # noqa: S105 - an error's name; the account cannot sign, and unsigned calls are not made


class Call(Protocol):
    """One call to be made."""

    host: str

    @property
    def partition(self) -> int:
        """Where its job lives."""

    @property
    def account(self) -> str:
        """Whose call it is."""

    @property
    def is_waiting(self) -> bool:
        """Whether it is to be made: false once it was dropped."""


C = TypeVar("C", bound=Call)


class Calls(ABC, Generic[C]):
    """All calls of one service in one process. A subclass says how a call is made, and what its outcome is in the log."""

    def __init__(
        self,
        ports: FollowingPorts,
        *,
        fair_queue: FairQueue[C],
        may_start: Callable[[int], bool],
        on_recorded: Callable[[], None],
    ) -> None:
        """Start nothing of a partition for which *may_start* is false; call *on_recorded* when an outcome is in the log."""
        self._ports = ports
        self._clock = ports.clock
        self._fair_queue = fair_queue
        self._may_start = may_start
        self._on_recorded = on_recorded
        self._user_agent = f"Fliq/{ports.version}"
        self._unsure: list[C] = []
        self._recheck_timer: Timer | None = None
        self._calling: dict[asyncio.Task[None], tuple[C, int]] = {}
        self._appenders: dict[int, FactAppender] = {}

    @abstractmethod
    def on_started(self, call: C) -> None:
        """The call is under way from here on."""

    @abstractmethod
    async def make(self, call: C) -> Event:
        """Make the call and return its outcome, for the log."""

    @abstractmethod
    def ended_by_cancel(self, call: C) -> Event | None:
        """Return the outcome of a call whose task was cancelled; None if the service is breaking off what is under way."""

    @abstractmethod
    def ended_by_defect(self, call: C) -> Event:
        """Say in the log of the process what `make` raised, and return the outcome. A defect costs one call, not the partition."""

    def on_outcome(self, call: C) -> None:
        """The outcome is on its way into the log."""

    @abstractmethod
    def on_appended(self, call: C, position: int) -> None:
        """The outcome is in the log at *position*."""

    @property
    def failing_partitions(self) -> Sequence[int]:
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

    def submit(self, call: C) -> None:
        """Queue a call; `start_waiting` starts it in its turn."""
        self._fair_queue.submit(call, account=call.account, host=call.host)

    def start_waiting(self) -> None:
        """Start the calls that may start."""
        while (call := self._fair_queue.take()) is not None:
            if call.is_waiting and self._may_start(call.partition):
                self.on_started(call)
                task = asyncio.create_task(self._run(call))
                self._calling[task] = call, self._clock.now()
                task.add_done_callback(self._calling.pop)
                continue
            self._fair_queue.release(account=call.account, host=call.host)
            if call.is_waiting:
                self._unsure.append(call)
        if self._unsure and self._recheck_timer is None:
            self._recheck_timer = self._clock.call_at(self._clock.now() + LEASE_RECHECK_MS, self._recheck)

    def record(self, call: C, outcome: Event) -> None:
        """Append *outcome* until it is in the log."""
        self.on_outcome(call)
        appender = self._appenders.get(call.partition)
        if appender is None:
            appender = self._appenders[call.partition] = FactAppender(
                self._ports.event_log, call.partition, clock=self._clock, gather_ms=self._ports.gather_ms
            )
        appender.put(encode(outcome), lambda position: self._appended(call, position))

    async def wait_idle(self) -> None:
        """Return once no call is under way and every outcome is in the log; the caller bounds the wait."""
        while self._calling:
            await asyncio.wait(list(self._calling))
        for appender in list(self._appenders.values()):
            await appender.wait_idle()

    async def stop(self) -> None:
        """Break off what is under way: the next holder of the lease finds it again."""
        if self._recheck_timer is not None:
            self._recheck_timer.cancel()
            self._recheck_timer = None
        self._unsure.clear()
        tasks = list(self._calling)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for appender in self._appenders.values():
            await appender.stop()

    def _recheck(self) -> None:
        self._recheck_timer = None
        unsure, self._unsure = self._unsure, []
        for call in unsure:
            if call.is_waiting:
                self.submit(call)
        self.start_waiting()

    async def _run(self, call: C) -> None:
        outcome: Event | None
        try:
            outcome = await self.make(call)
        except asyncio.CancelledError:
            outcome = self.ended_by_cancel(call)
            if outcome is None:
                raise
        except Exception:  # noqa: BLE001 - the subclass logs it
            outcome = self.ended_by_defect(call)
        finally:
            self._fair_queue.release(account=call.account, host=call.host)
        self.record(call, outcome)
        self.start_waiting()

    def _appended(self, call: C, position: int) -> None:
        self.on_appended(call, position)
        self._on_recorded()


async def traced(span: Span, calling: Coroutine[None, None, Outcome]) -> Outcome:
    """Return what *calling* returns, and end *span* with it."""
    outcome: Outcome | None = None
    try:
        outcome = await calling
    finally:
        if outcome is None:
            span.end(error=INTERNAL_ERROR)
        else:
            span.end(error=outcome.error, http__response__status_code=outcome.status_code)
    return outcome
