"""A record that must be understood and is not: dispatchers and webhooks leave its partition to a newer build, and say so."""

from __future__ import annotations

from libs.events import Envelope
from tests.simulation.dispatcher import harness as dispatcher_harness
from tests.simulation.dispatcher.harness import HOST
from tests.simulation.webhooks import harness as webhooks_harness

NEWER = Envelope("fleet.widened", 1, True, None, "owner", b"{}")
SKIPPED = NEWER._replace(must_understand=False)


async def test_a_dispatcher_leaves_the_partition_once_its_calls_have_ended() -> None:
    """What it has begun it ends and records; then the lease goes back for half a minute, and /readyz names the record."""
    async with dispatcher_harness.harness() as here:
        await here.begin()
        here.egress.hang(HOST)
        await here.owner.due(await here.owner.schedule(here.clock.now()))
        await here.settle()
        await here.log.append(0, [NEWER])
        await here.clock.advance(5_000)
        assert here.keeper.given_up == {}
        here.egress.answer(HOST)
        await here.clock.advance(1_000)

        assert here.keeper.given_up == {0: 30.0}
        assert len(await here.finished()) == 1
        assert "fleet.widened" in (here.service.ready() or "")
        assert here.service.halted_count() == 1
        assert here.service.positions() == {}

        await here.clock.advance(40_000)
        assert here.service.ready() is None
        assert here.service.halted_count() == 0


async def test_webhooks_leave_it_too() -> None:
    """What was told before the record is saved, so that its next holder does not tell it again."""
    async with webhooks_harness.harness() as here:
        await here.begin()
        await here.owner.finish(await here.job())
        await here.settle()
        await here.log.append(0, [NEWER])
        await here.clock.advance(1_000)

        assert here.keeper.given_up == {0: 30.0}
        assert len(here.posted) == 1
        assert "fleet.widened" in (here.service.ready() or "")
        assert here.service.halted_count() == 1


async def test_a_record_that_may_be_skipped_keeps_nobody() -> None:
    """Both go on behind it."""
    async with dispatcher_harness.harness() as here:
        await here.begin()
        await here.log.append(0, [SKIPPED])
        await here.owner.due(await here.owner.schedule(here.clock.now()))
        await here.clock.advance(1_000)
        assert len(here.egress.calls) == 1
        assert here.keeper.given_up == {}
    async with webhooks_harness.harness() as there:
        await there.begin()
        await there.log.append(0, [SKIPPED])
        await there.owner.finish(await there.job())
        await there.clock.advance(1_000)
        assert len(there.posted) == 1
        assert there.keeper.given_up == {}
