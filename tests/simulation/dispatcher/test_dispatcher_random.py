"""
Two dispatchers, one owner and a faulty log under random fates: what must hold whatever happens.

    every admitted due event is called at least once, never before its instant, and has an outcome in the log
    without a crash or a change of hands it is called exactly once
"""

from __future__ import annotations

import random
from collections import Counter

import pytest

from libs.egress.caller_headers import host_of
from libs.log.memory import LATE, LOST, REPLY_LOST, WRITTEN
from services.dispatcher.service import DispatcherService
from tests.fakes.partition import Owner
from tests.fakes.targets import HandKeeper
from tests.simulation.dispatcher.harness import Harness, harness

FATES = [WRITTEN] * 6 + [LOST, REPLY_LOST, LATE]
SLOW = "http://slow.example"


async def hand_over(here: Harness, to: DispatcherService, *, crash: bool) -> None:
    """Take the partition from the present dispatcher, by a crash or by a lost lease, and give it to *to*."""
    if crash:
        await here.die()
    else:
        await here.keeper.take_away()
    here.service = to
    await here.begin()


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("changes_hands", [False, True])
async def test_every_due_attempt_is_made(seed: int, changes_hands: bool) -> None:
    """At least once always; exactly once where nobody crashed and nothing changed hands."""
    chance = random.Random(seed)
    async with harness(slots=10, per_lane=4) as here:
        dispatchers = [here.service]
        await here.begin()
        instants: dict[str, int] = {}
        for _ in range(60):
            what = chance.random()
            # The owner's own appends are left whole: its resigning is the scheduler's business.
            here.log.faults.draw = None
            if what < 0.6:
                url = chance.choice([SLOW, "http://fast.example"]) + "/x"
                job = await here.owner.schedule(here.clock.now() + chance.choice([-50, 0, 5, 75, 200]), url=url)
                due = await here.owner.due(job)
                instants[due.execution_id] = due.not_before
                if chance.random() < 0.2:
                    await Owner(here.log, epoch=1, nonce="zombie0001").due(job)
            elif what < 0.7:
                here.tables.freeze()
            elif what < 0.8:
                here.tables.thaw()
            elif what < 0.85:
                here.egress.hang(SLOW)
            elif what < 0.9 and SLOW in here.egress._held:
                here.egress.answer(SLOW)
            elif changes_hands and what > 0.93:
                other = here.new_service()
                dispatchers.append(other)
                await hand_over(here, other, crash=chance.random() < 0.5)
            here.log.faults.draw = lambda *_: chance.choice(FATES)
            await here.clock.advance(chance.choice([0, 1, 10, 50]))
        here.log.faults.heal()
        here.log.land_late()
        here.tables.thaw()
        if SLOW in here.egress._held:
            here.egress.answer(SLOW)
        await here.clock.advance(40_000)

        calls = Counter(here.egress.execution_ids)
        assert set(calls) == set(instants)
        assert all(call.at >= instants[str(call.header("X-Fliq-Execution-Id"))] for call in here.egress.calls)
        assert {event.execution_id for event in await here.finished()} == set(instants)
        if not changes_hands:
            assert set(calls.values()) == {1}
        assert here.egress.most_active[host_of(SLOW)] <= 4 * len(dispatchers)
        assert here.service.held_count == 0
        assert here.service.ready() is None
        for dispatcher in dispatchers:
            assert isinstance(dispatcher.keeper, HandKeeper)
            await dispatcher.stop()
