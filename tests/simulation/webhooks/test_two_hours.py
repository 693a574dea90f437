"""Two hours in which a receiver is down, while the webhooks service is killed at each of its crash points, over and over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import pytest

from libs.domain.jobs.delivery import DeliveryState, DeliveryStatus
from libs.events import WebhookAttempted, WebhookFinished
from libs.events.ids import delivery_id
from libs.events.retry_policy import RetryPolicy
from services.webhooks import reader, webhook_calls
from tests.simulation.webhooks.harness import HOST, harness
from tests.simulation.webhooks.test_webhook_retries import answer

POINTS = ("webhooks.after_snapshot", "webhooks.before_send", "webhooks.after_send", "webhooks.after_append")
POLICY = RetryPolicy(max_retries=20, delay_ms=60_000, max_delay_ms=900_000)
STEP_MS = 30_000
DOWN_STEPS = 2 * 3_600_000 // STEP_MS
COUNT = 4


class Mortal(Protocol):
    """What can be killed."""

    async def die(self) -> None:
        """End as a crash would."""

    async def begin_anew(self) -> None:
        """Begin another life."""


class Killed(BaseException):
    """The process ends here: no handler of `Exception` runs."""


class Killer:
    """Ends the service at one point after the other, each time it comes to it."""

    def __init__(self, points: Sequence[str] = POINTS) -> None:
        self._points = points
        self.kills: Counter[str] = Counter()
        self.armed: str | None = None
        self.has_struck = False

    def crash_at(self, name: str) -> None:
        """Stand in for the function of that name; what still runs in the dead process ends as well."""
        if self.has_struck:
            raise Killed(name)
        if name == self.armed:
            self.has_struck = True
            self.kills[name] += 1
            raise Killed(name)

    async def live_on(self, here: Mortal) -> None:
        """If the process has died, start another one, which is to die at the next point."""
        if self.has_struck:
            await here.die()
            self.has_struck = False
            self.armed = self._points[sum(self.kills.values()) % len(self._points)]
            await here.begin_anew()


async def test_every_delivery_arrives_and_the_first_contracts_webhook_was_tried_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All under one id each; no try is charged twice or made before its instant; none is made after it was taken."""
    killer = Killer()
    for module in (reader, webhook_calls):
        monkeypatch.setattr(module, "crash_at", killer.crash_at)
    async with harness() as here:
        await here.begin()
        here.egress.answers[HOST] = answer(503)
        plain = [(await here.ended_job()).job_id for _ in range(COUNT)]
        await here.settle()
        killer.armed = POINTS[0]
        durable = [(await here.ended_job(webhook_retry=POLICY)).job_id for _ in range(COUNT)]
        await here.die()
        await here.begin_anew()
        for _ in range(DOWN_STEPS):
            await killer.live_on(here)
            await here.clock.advance(STEP_MS)
        del here.egress.answers[HOST]
        killer.armed = None
        await killer.live_on(here)
        killer.armed = None
        for _ in range(40):
            await here.clock.advance(STEP_MS)

        print(dict(killer.kills))
        assert min(killer.kills[point] for point in POINTS) >= 2
        states = (await here.tables.fold(0)).states.of(DeliveryState)
        assert {each.status for each in states.values()} == {DeliveryStatus.DELIVERED}
        assert set(states) == {delivery_id(job_id) for job_id in durable}
        tries = await here.facts(WebhookAttempted)
        for state in states.values():
            mine = {each.attempt: each for each in reversed(tries) if each.delivery_id == state.delivery_id}
            assert sorted(mine) == list(range(1, state.attempt + 1))
            assert [each.outcome for each in mine.values()].count("success") == 1
            assert state.charged == len(mine) - 1
        assert set(here.posted) == {*plain, *states}
        assert Counter(each for each in here.posted if each in plain) == Counter(plain)
        assert Counter(each.job_id for each in await here.facts(WebhookFinished)) == Counter(plain)
