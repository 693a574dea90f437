"""
Calls: one service's calls from the moment they are held until their outcomes are in the log.

    held_calls  what is held, and which account may hold more
    loader      fetches specs and secrets
    fair queue  decides whose call starts next

If a lease is not certain (the process stood still for seconds), no call of its partition starts. The call waits until the lease
is renewed, or is dropped when it is lost.

A spec that was not fetched ahead is fetched when the call has its slot. If its lane is not known yet, the call waits under the name
of its account, and takes its slot along to the lane once the spec was read; if the lane is full, it queues again.
"""

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Final, Generic, NamedTuple

from libs.egress.address_pace import CallLater
from libs.egress.caller_headers import INTERNAL_ERROR
from libs.egress.fair_queue import FairQueue
from libs.egress.outcome import Outcome
from libs.events import Event, Spec, encode
from libs.following.held_calls import C, HeldCalls, Stage
from libs.following.loader import SPEC_MISSING, Loader
from libs.following.ports import FollowingPorts, ReadSpecs
from libs.following.round_portion import RoundPortion
from libs.log.fact_appender import FactAppender
from libs.runtime.clock import Timer
from libs.runtime.pace import Pace
from libs.runtime.telemetry.tracing import Span
from libs.store.reads.partition_tables import decode_spec

LEASE_RECHECK_MS: Final = 50
ASIDE_COST: Final = 0.1  # of a call that may not start, as a part of what one costs that does
BLOCKED_MS: Final = 30_000  # after this a process that starts no call says that it is not ready


class CallLimits(NamedTuple):
    """
    What all accounts share; one account alone has at most half of places and slots.

    Args:
        places: calls held, each with a small spec.
        slots: calls under way at once.
        per_lane: calls under way of one lane (see `Call`).
        per_round: calls that start in one round of the loop, 0.2 to 0.3 ms each (see `RoundPortion`).
    """

    places: int
    slots: int
    per_lane: int
    per_round: int


class CallContext(NamedTuple):
    """
    What a service's calls need of it.

    Args:
        role: the service's name: that of its logger.
        may_start: whether the lease of a partition is certain.
    """

    role: str
    ports: FollowingPorts
    limits: CallLimits
    may_start: Callable[[int], bool]


class Calls(ABC, Generic[C]):
    """All calls of one service in one process. A subclass says how a call is made, and what its outcome is in the log."""

    def __init__(self, context: CallContext, read_specs: ReadSpecs) -> None:
        """Hold nothing; specs are read with *read_specs*."""
        ports, limits = context.ports, context.limits
        self.held: HeldCalls[C] = HeldCalls(limits.places)
        self.loader = Loader(
            context.role,
            ports,
            read_specs=read_specs,
            held_calls=self.held,
            lane_of=self.lane_of,
            on_ready=self.put,
            on_failed=self.fail,
        )
        self._ports = ports
        self._clock = ports.clock
        self._fair_queue: FairQueue[C] = FairQueue(total=limits.slots, per_host=limits.per_lane)
        self._may_start = context.may_start
        self._user_agent = f"Fliq/{ports.version}"
        self._unsure: dict[int, list[C]] = {}  # by partition
        self._recheck_timer: Timer | None = None
        self._blocked_since: int | None = None
        self._calling: dict[asyncio.Task[None], C] = {}
        self._portion = RoundPortion(limits.per_round, ports.clock, self.start_waiting)
        self._put_off: dict[C, Timer] = {}
        self._appenders: dict[int, FactAppender] = {}
        self._pace = Pace(ports.clock, ports.append_gather_ms)

    @abstractmethod
    def lane_of(self, call: C, spec: bytes) -> str | None:
        """Return the lane of *call*, which has this stored spec; None if it names no URL. Raise if the spec cannot be read."""

    @abstractmethod
    async def make(self, call: C, spec: Spec) -> Event:
        """Make the call and return its outcome, for the log."""

    @abstractmethod
    def not_made(self, call: C, error: str) -> Event:
        """Count a call that ended without an answer, and return the outcome."""

    @abstractmethod
    def log_defect(self, call: C) -> None:
        """Say in the log of the process what `make` raised. A defect costs one call, not the partition."""

    @abstractmethod
    def on_appended(self, call: C, position: int) -> None:
        """The outcome is in the log at *position*."""

    def needed(self, spec: Spec) -> Spec:
        """Return *spec* as far as it is needed while the call is under way."""
        return spec

    def weight_of(self, call: C) -> int:
        """Return how many slots the call takes."""
        return 1

    def ended_by_cancel(self, call: C) -> Event | None:
        """Return the outcome of a call whose task was cancelled; None if the service is breaking off what is under way."""
        return None

    @property
    def trouble(self) -> str | None:
        """Why due calls cannot leave at the moment; None if they can."""
        if failing := [partition for partition, appender in self._appenders.items() if appender.failing]:
            return f"partition {failing[0]}: outcomes cannot be appended"
        if self._blocked_since is not None and self._clock.steady() - self._blocked_since >= BLOCKED_MS:
            return f"no call has left for {BLOCKED_MS // 1000} s, and calls are due"
        return self.loader.trouble

    @property
    def active_count(self) -> int:
        """How many calls are under way."""
        return self._fair_queue.active_count

    @property
    def waiting_count(self) -> int:
        """How many calls wait for a slot."""
        return self._fair_queue.waiting_count

    def put(self, calls: Sequence[C]) -> None:
        """Start these calls, which are loaded, as slots become free."""
        for call in calls:
            self.submit(call)
        self.start_waiting()

    def fail(self, call: C, error: str) -> None:
        """Record that a call ended without being made."""
        self._record(call, self.not_made(call, error))

    def submit(self, call: C) -> None:
        """Queue a call; `start_waiting` starts it in its turn."""
        call.stage = Stage.QUEUED
        self._fair_queue.submit(call, account=call.account, host=_queued_at(call), weight=self.weight_of(call))

    def start_waiting(self) -> None:
        """Start the calls that may start: some now, the others in the next rounds of the loop."""
        while not self._portion.is_used_up:
            call = self._fair_queue.take()
            if call is None:
                if not self._unsure and not self._fair_queue.is_starving():
                    self._blocked_since = None
                elif self._blocked_since is None:
                    self._blocked_since = self._clock.steady()
                return
            if not self._is_startable(call):
                self._portion.use(ASIDE_COST)
                continue
            self._portion.use(1)
            task = asyncio.create_task(self._serve(call))
            self._calling[task] = call
            task.add_done_callback(self._calling.pop)

    def _is_startable(self, call: C) -> bool:
        """Return whether *call*, which the fair queue gave a slot, may start; if not, take the slot back."""
        if call.stage is Stage.QUEUED and self._may_start(call.partition):
            self._blocked_since = None
            return True
        self._fair_queue.release(account=call.account, host=_queued_at(call), weight=self.weight_of(call))
        if call.stage is Stage.QUEUED:
            self._wait_for_lease(call)
        return False

    async def wait_idle(self) -> None:
        """Return once no call is under way and every outcome is in the log; the caller bounds the wait."""
        while self._calling:
            await asyncio.wait(list(self._calling))
        for appender in list(self._appenders.values()):
            await appender.wait_idle()

    async def stop(self) -> None:
        """Break off what is under way: the next holder of the lease finds it again."""
        await self.loader.stop()
        if self._recheck_timer is not None:
            self._recheck_timer.cancel()
            self._recheck_timer = None
        self._unsure.clear()
        self._portion.stop()
        for timer in self._put_off.values():
            timer.cancel()
        self._put_off.clear()
        tasks = list(self._calling)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for appender in self._appenders.values():
            await appender.stop()

    def _wait_for_lease(self, call: C) -> None:
        self._unsure.setdefault(call.partition, []).append(call)
        self._recheck_soon()

    def _recheck_soon(self) -> None:
        if self._recheck_timer is None and self._unsure:
            self._recheck_timer = self._clock.call_at(self._clock.now() + LEASE_RECHECK_MS, self._recheck)

    def _recheck(self) -> None:
        """Queue the calls again whose lease is certain; the others stay where they are, since queueing thousands takes long."""
        self._recheck_timer = None
        unsure, self._unsure = self._unsure, {}
        for partition, calls in unsure.items():
            waiting = [call for call in calls if call.stage is Stage.QUEUED]
            if self._may_start(partition):
                for call in waiting:
                    self.submit(call)
            elif waiting:
                self._unsure[partition] = waiting
        self._recheck_soon()
        self.start_waiting()

    def _wait_for_address(self, call: C, wait_s: float) -> None:
        """Give the slot back until the account may call the address again; a call that waits so may be dropped at any time."""
        call.stage = Stage.WAITING
        call.put_off_until = at = self._clock.now() + math.ceil(wait_s * 1000)
        self._put_off[call] = self._clock.call_at(at, partial(self._come_again, call))

    def _come_again(self, call: C) -> None:
        del self._put_off[call]
        if call.stage is Stage.WAITING:
            self.submit(call)
            self.start_waiting()

    async def _serve(self, call: C) -> None:
        """
        Make *call*, then the calls that may start because it has ended, one after the other.

        So the next request leaves before other answers of the same moment are handled, and needs no task of its own.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in one
        next_call: C | None = call
        while next_call is not None:
            await self._run(next_call)
            turn: asyncio.Future[None] | None = None
            # A task that was cancelled is not used again.
            next_call = None if task.cancelling() else self._fair_queue.take()
            if next_call is not None:
                if self._is_startable(next_call):
                    self._calling[task] = next_call
                    turn = self._portion.turn()
                else:
                    next_call = None
            self.start_waiting()  # what else may start now
            if turn is not None:
                await turn

    async def _run(self, call: C) -> None:
        """Make *call*, which has its slot, and give the slot back."""
        lane, weight = _queued_at(call), self.weight_of(call)
        outcome: Event | None = None
        try:
            spec = await self._read(call)
            if call.stage is not Stage.QUEUED:
                pass  # dropped meanwhile
            elif not self._may_start(call.partition):
                self._wait_for_lease(call)
            elif isinstance(spec, str):
                outcome = self.not_made(call, spec)
            elif lane != (to := _queued_at(call)) and not self._fair_queue.move(from_host=lane, to_host=to):
                self.submit(call)
            else:
                lane = to
                call.stage = Stage.CALLING
                call.started_at = self._clock.now()
                making = self.make(call, self.needed(spec))
                del spec  # a large one must not be kept for as long as the call takes
                outcome = await making
        except asyncio.CancelledError:
            outcome = self.ended_by_cancel(call)
            if outcome is None:
                raise
        except CallLater as later:
            self._wait_for_address(call, later.wait_s)
        except Exception:  # noqa: BLE001 - the subclass logs it
            self.log_defect(call)
            outcome = self.not_made(call, INTERNAL_ERROR)
        finally:
            self._fair_queue.release(account=call.account, host=lane, weight=weight)
        if outcome is not None:
            self._record(call, outcome)

    async def _read(self, call: C) -> Spec | str:
        """Return what *call* sends, opened, or why it cannot be made. If it is dropped meanwhile, what is returned says nothing."""
        stored = await self.loader.read(call)
        if stored is None or call.lane is None:
            return SPEC_MISSING
        spec = decode_spec(stored)
        return spec if spec.sealed is None else await self.loader.open(call, spec)

    def _record(self, call: C, outcome: Event) -> None:
        call.stage = Stage.RECORDING
        appender = self._appenders.get(call.partition)
        if appender is None:
            appender = self._appenders[call.partition] = FactAppender(
                self._ports.event_log, call.partition, clock=self._clock, pace=self._pace
            )
        appender.put(encode(outcome), lambda position: self._appended(call, position))

    def _appended(self, call: C, position: int) -> None:
        self.held.recorded(call, position)
        self.on_appended(call, position)


def _queued_at(call: C) -> str:
    """Return the lane in which a call is counted: one of its account's own as long as its lane is not known."""
    return call.lane or f"unread {call.account}"


async def traced(span: Span, calling: Coroutine[None, None, Outcome]) -> Outcome:
    """Return what *calling* returns, and end *span* with it."""
    outcome: Outcome | None = None
    try:
        outcome = await calling
    finally:
        if outcome is None:  # put off, or broken
            span.end(error=INTERNAL_ERROR)
        else:
            span.end(error=outcome.error, http__response__status_code=outcome.status_code)
    return outcome
