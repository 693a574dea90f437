"""
Targets: whatever is called, and what calls it. A path says how the target answers; what arrives is written down at the true time.

    /ok/NAME  /slow/MS/NAME  /flaky/N/NAME (the first N calls fail)  /failing/NAME  /hang/NAME (never answers)  /hook/NAME
    /endpoint/NAME (a webhook endpoint)
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import orjson

from libs.egress.outcome import CONNECTION_ERROR, TIMEOUT, Outcome, error_of_status
from libs.egress.request import OutgoingRequest
from tests.chaos.judging.history import Call, Hook
from tests.fakes.running.topologies import instant_ms
from tests.simulation.fleet.chronicle import Chronicle, SimClock
from tests.simulation.fleet.loop import Process, SimLoop, never_if_dead
from tests.simulation.fleet.stories.responses import tell

RESET = -1  # the target hung up after it had read the request


class Answer:
    """What a target does: *status* (None: it never answers), after *after_s*, asking for *retry_after_ms*."""

    __slots__ = ("after_s", "retry_after_ms", "status")

    def __init__(self, status: int | None, after_s: float, retry_after_ms: int | None = None) -> None:
        self.status = status
        self.after_s = after_s
        self.retry_after_ms = retry_after_ms


class Targets:
    """All targets and webhook receivers."""

    def __init__(self, loop: SimLoop, chronicle: Chronicle, *, seed: str) -> None:
        """Answer as *seed* says."""
        self.calls: list[Call] = []
        self.hooks: list[Hook] = []
        self.deliveries: list[str] = []
        self.callers: list[str] = []
        self.hook_callers: list[str] = []
        self._loop = loop
        self._chronicle = chronicle
        self._draw = random.Random(f"{seed} targets")
        self._seen: Counter[str] = Counter()

    def way_s(self) -> float:
        """Return how long a request is on its way."""
        return self._draw.uniform(0.0002, 0.004)

    def is_sent_all_the_same(self) -> bool:
        """Whether what a process that has died was about to send was on the wire already."""
        return self._draw.random() < 0.5

    def receive(self, request: OutgoingRequest, process: Process) -> Answer:
        """Write a request down and say what becomes of it."""
        path = request.url.split("/", 3)[3]
        self._seen[path] += 1
        kind, *rest = path.split("/")
        answer = self._answer(kind, rest, self._seen[path])
        at = self._chronicle.now_exact()
        self._chronicle.note(f"target {path} from {process} -> {answer.status}")
        status = None if answer.status == RESET else answer.status
        if kind == "hook":
            told = orjson.loads(request.body or b"")
            self.hook_callers.append(process.name)
            self.hooks.append(
                Hook(at=at, **{name: told[name] for name in ("job_id", "status", "attempt_num", "status_code")})
            )
            return answer
        headers = dict(request.headers)
        if kind == "endpoint":
            self.deliveries.append(headers["webhook-id"])
            return answer
        self.callers.append(process.name)
        self.calls.append(
            Call(
                at=at,
                name=(request.body or b"").decode(),
                job_id=headers["X-Fliq-Job-Id"],
                execution_id=headers["X-Fliq-Execution-Id"],
                attempt=int(headers["X-Fliq-Attempt"]),
                scheduled_at=instant_ms(headers["X-Fliq-Scheduled-At"]),
                answer=status,
                schedule_id=headers.get("X-Fliq-Schedule-Id"),
            )
        )
        return answer

    def _answer(self, kind: str, rest: list[str], nth: int) -> Answer:
        draw = self._draw
        quick_s = draw.uniform(0.001, 0.03)
        if kind == "slow":
            return Answer(200, int(rest[0]) / 1000)
        if kind == "flaky" and nth <= int(rest[0]):
            # What is asked for takes the place of the back-off, and is longer than any that is due here.
            asked = Answer(429, quick_s, 4_000)
            return draw.choice((Answer(500, quick_s), Answer(RESET, quick_s), asked, Answer(302, quick_s)))
        if kind == "failing":
            return Answer(503, quick_s)
        if kind == "hang":
            return Answer(None, 0.0)
        if kind == "endpoint":
            return draw.choice((Answer(200, quick_s), Answer(500, quick_s), Answer(RESET, quick_s)))
        if kind == "hook":
            return draw.choice((Answer(200, quick_s), Answer(200, quick_s), Answer(500, quick_s), Answer(None, 0.0)))
        return Answer(200, quick_s)


class SimEgress:
    """The way out of one life of a process."""

    def __init__(self, targets: Targets, loop: SimLoop, process: Process, clock: SimClock) -> None:
        """Call *targets* from *process*."""
        self._targets = targets
        self._loop = loop
        self._process = process
        self._clock = clock

    async def call(self, request: OutgoingRequest, *, timeout_s: float) -> Outcome:
        """Make one call; whatever the target does comes back as an outcome."""
        await never_if_dead(self._loop, self._process)
        loop, sent_at, began_at = self._loop, self._clock.now(), self._loop.time()
        future = loop.create_future()
        loop.outside(began_at + self._targets.way_s(), self._arrive, request, future)
        timer = loop.outside(began_at + timeout_s, _settle, future, Answer(None, 0.0))
        try:
            answer: Answer = await future
        finally:
            timer.cancel()
        duration_ms = int((loop.time() - began_at) * 1000)
        status = answer.status
        if status is None or status == RESET:
            error: str | None = TIMEOUT if status is None else CONNECTION_ERROR
            status = None
        else:
            error = error_of_status(status)
            tell(request, status)
        return Outcome(
            ok=error is None,
            status_code=status,
            error=error,
            duration_ms=duration_ms,
            retry_after_ms=answer.retry_after_ms,
            sent_at=sent_at,
        )

    def _arrive(self, request: OutgoingRequest, future: Any) -> None:
        if (self._process.is_dead or future.done()) and not self._targets.is_sent_all_the_same():
            return
        answer = self._targets.receive(request, self._process)
        if answer.status is not None:
            self._loop.outside(self._loop.time() + answer.after_s, _settle, future, answer)


def _settle(future: Any, answer: Answer) -> None:
    if not future.done():
        future.set_result(answer)
