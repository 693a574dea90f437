"""Targets without a network: an egress client that follows a script, and a keeper whose leases the test hands out."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from libs.egress.caller_headers import endpoint_of, host_of
from libs.egress.outcome import Outcome
from libs.egress.request import OutgoingRequest
from libs.runtime.clock import Clock
from libs.store.leases.lease_table import Lease


class Call(NamedTuple):
    """One call as the target saw it."""

    at: int
    request: OutgoingRequest
    timeout_s: float

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.request.headers if key.lower() == name.lower()), None)


class ScriptedEgress:
    """Answers 200 at once, unless the host or the endpoint is told to take its time, to hang, to answer otherwise, or to break."""

    def __init__(self, clock: Clock) -> None:
        self.calls: list[Call] = []
        self.active: Counter[str] = Counter()
        self.most_active: Counter[str] = Counter()
        self.answers: dict[str, Outcome | Exception] = {}
        self.takes_ms: dict[str, int] = {}
        self._clock = clock
        self._held: dict[str, asyncio.Event] = {}

    def hang(self, host: str) -> None:
        """Answer no call to *host*, or to the endpoint of that name, until `answer`."""
        self._held.setdefault(host, asyncio.Event())

    def answer(self, host: str) -> None:
        """Let the calls to *host* end."""
        self._held.pop(host).set()

    async def call(self, request: OutgoingRequest, *, timeout_s: float) -> Outcome:
        host = host_of(request.url)
        sent_at = self._clock.now()
        self.calls.append(Call(sent_at, request, timeout_s))
        self.active[host] += 1
        self.most_active[host] = max(self.most_active[host], self.active[host])
        try:
            held = self._held.get(host) or self._held.get(endpoint_of(request.url))
            if held is not None:
                await held.wait()
            if host in self.takes_ms:
                await self._clock.pause(self.takes_ms[host])
        finally:
            self.active[host] -= 1
        answer = self.answers.get(host)
        if isinstance(answer, Exception):
            raise answer
        duration_ms = self._clock.now() - sent_at
        return answer or Outcome(
            ok=True, status_code=200, error=None, duration_ms=duration_ms, retry_after_ms=None, sent_at=sent_at
        )

    @property
    def execution_ids(self) -> list[str | None]:
        return [call.header("X-Fliq-Execution-Id") for call in self.calls]


class HandKeeper:
    """Leases given and taken by the test."""

    def __init__(self, on_gained: Callable[[Any], Awaitable[None]], on_lost: Callable[[int], Awaitable[None]]) -> None:
        self._on_gained = on_gained
        self._on_lost = on_lost
        self.held: set[int] = set()
        self.is_certain = True
        self.asked_count = 0  # how often somebody asked whether a lease is held
        self.released_at_stop: set[int] | None = None
        self.ended_within_s: float | None = None
        self.given_up: dict[int, float] = {}

    async def start(self) -> None:
        self.released_at_stop = None

    async def end(self, timeout_s: float) -> None:
        self.ended_within_s = timeout_s

    async def give_up(self, partition: int, *, pause_s: float = 0.0) -> None:
        self.held.discard(partition)
        self.given_up[partition] = pause_s

    async def stop(self) -> None:
        self.released_at_stop = set(self.held)
        self.held.clear()

    def holds(self, partition: int) -> bool:
        self.asked_count += 1
        return self.is_certain and partition in self.held

    async def give(self, partition: int = 0) -> None:
        self.held.add(partition)
        await self._on_gained(Lease(partition, f"lease{partition}", 1))

    async def take_away(self, partition: int = 0) -> None:
        self.held.discard(partition)
        await self._on_lost(partition)


class Tally:
    """Measurements, kept for the test: meets the meters of the dispatcher and of the webhooks service."""

    def __init__(self) -> None:
        self.lateness_ms: list[int] = []
        self.counts: Counter[str] = Counter()

    def call_ended(self, *, lateness_ms: int, lead_ms: int, outcome: Outcome) -> None:
        self.lateness_ms.append(lateness_ms)
        self.counts["ok" if outcome.ok else str(outcome.error)] += 1

    def delivery_ended(self, outcome: Outcome) -> None:
        self.counts["delivered" if outcome.ok else "not delivered"] += 1

    def endpoint_disabled(self, reason: str) -> None:
        self.counts[f"disabled: {reason}"] += 1

    def call_not_made(self, error: str) -> None:
        self.counts[error] += 1

    def webhook_ended(self, outcome: str, duration_ms: int | None = None) -> None:
        self.counts[outcome] += 1

    def delivery_exhausted(self, told_by: str) -> None:
        self.counts[f"exhausted: {told_by}"] += 1

    def poison(self, count: int) -> None:
        self.counts["poison"] += count

    def overdue(self, count: int) -> None:
        self.counts["overdue"] += count

    def in_flight(self, count: int) -> None:
        self.counts["in_flight"] = count
