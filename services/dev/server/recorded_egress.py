"""Recorded egress: keeps every call that leaves, and answers in the place of targets that are not there."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from libs.domain.instants import rfc3339
from libs.egress.client import EgressClient
from libs.egress.outcome import TIMEOUT, Outcome, error_of_status
from libs.egress.request import OutgoingRequest
from libs.runtime.clock import Clock

CALLS_MAX: Final = 10_000  # the oldest go first
DELAY_MAX_MS: Final = 60_000
ANSWERS_MAX: Final = 100


class TargetAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a target answers: *status* after *delay_ms* of real time, at most a minute."""

    status: int = 200
    delay_ms: int = 0


class Calls:
    """The calls that were made, oldest first, and the answers that hosts have to give."""

    def __init__(self) -> None:
        self.made: deque[dict[str, Any]] = deque(maxlen=CALLS_MAX)
        self.count = 0
        self.answers: dict[str, list[TargetAnswer]] = {}
        self._under_way = 0
        self._busy_s = 0.0
        self._busy_since = 0.0

    @property
    def busy_s(self) -> float:
        """For how many seconds calls were under way so far; two at the same time count once."""
        return self._busy_s + (time.monotonic() - self._busy_since if self._under_way else 0.0)

    def since(self, count: int) -> list[dict[str, Any]]:
        """Return the calls that were made since there were *count*."""
        return list(self.made)[max(0, len(self.made) - (self.count - count)) :]

    def forget(self) -> None:
        """Forget calls and answers."""
        self.made.clear()
        self.answers.clear()

    def answer_of(self, host: str) -> TargetAnswer | None:
        """Return what *host* has to answer now; the last of its answers stays."""
        answers = self.answers.get(host)
        if not answers:
            return None
        return answers[0] if len(answers) == 1 else answers.pop(0)

    def begin(self) -> None:
        """A call leaves."""
        if not self._under_way:
            self._busy_since = time.monotonic()
        self._under_way += 1

    def end(self) -> None:
        """A call has ended."""
        self._under_way -= 1
        if not self._under_way:
            self._busy_s += time.monotonic() - self._busy_since


class RecordedEgress(EgressClient):
    """The way out, with *calls* written down; arguments as of `EgressClient`."""

    def __init__(self, *, calls: Calls, clock: Clock, **given: Any) -> None:
        super().__init__(**given)
        self._calls = calls
        self._clock = clock

    async def call(self, request: OutgoingRequest, *, timeout_s: float) -> Outcome:
        calls, sent_at = self._calls, self._clock.now()
        answer = calls.answer_of(urlsplit(request.url).hostname or "")
        calls.begin()
        try:
            if answer is None:
                outcome = await super().call(request, timeout_s=timeout_s)
            else:
                outcome = await _answered(answer, sent_at, timeout_s)
        finally:
            calls.end()
        headers = dict(request.headers)
        calls.made.append(
            {
                "at": rfc3339(sent_at),
                "method": request.method,
                "url": request.url,
                "headers": headers,
                "body": None if request.body is None else request.body.decode("utf-8", "replace"),
                "job_id": headers.get("X-Fliq-Job-Id"),
                "schedule_id": headers.get("X-Fliq-Schedule-Id"),
                "attempt": int(headers["X-Fliq-Attempt"]) if "X-Fliq-Attempt" in headers else None,
                "status_code": outcome.status_code,
                "error": outcome.error,
            }
        )
        calls.count += 1
        return outcome


async def _answered(answer: TargetAnswer, sent_at: int, timeout_s: float) -> Outcome:
    delay_s = answer.delay_ms / 1_000
    await asyncio.sleep(min(delay_s, timeout_s))
    error = TIMEOUT if delay_s >= timeout_s else error_of_status(answer.status)
    return Outcome(
        ok=error is None,
        status_code=None if error == TIMEOUT else answer.status,
        error=error,
        duration_ms=round(min(delay_s, timeout_s) * 1_000),
        retry_after_ms=None,
        sent_at=sent_at,
    )
