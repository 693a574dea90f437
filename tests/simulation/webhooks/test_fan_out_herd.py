"""Many jobs that end together: how long they hold up what comes behind them, and that nobody is missed meanwhile."""

from __future__ import annotations

from services.webhooks.fan_out.directory import GAP_MS
from tests.simulation.webhooks.fan_out import harness


async def test_a_herd_is_told_with_three_looks_at_the_endpoints() -> None:
    """Three hundred jobs that end together hold up what comes behind them in their partition for three looks, not for a dozen."""
    async with harness() as here:
        mine, other = await here.endpoint("job.failed"), await here.endpoint("job.failed", account="other")
        await here.begin()
        for _ in range(300):
            job = await here.owner.schedule(here.clock.now())
            await here.owner.finish(job, status="failed")
        behind = await here.owner.schedule(here.clock.now(), account="other")
        await here.owner.finish(behind, status="failed")
        # One for what was there when the reader was woken, one for the herd, one for what came meanwhile.
        for _ in range(3):
            await here.clock.advance(GAP_MS)
            await here.clock.settle(2_000)

        told = [each.account for each in await here.deliveries()]
        assert told == [mine.endpoint_id] * 300 + [other.endpoint_id]


async def test_an_endpoint_made_while_a_herd_is_told_is_told_of_what_follows() -> None:
    """Also one that the look under way does not see any more: what was appended since that look began needs another one."""
    async with harness() as here:
        await here.endpoint("job.failed")
        await here.begin()
        look, looks, late = here.endpoints.changes, [], []

        async def herd(count: int, account: str = "default") -> None:
            for _ in range(count):
                await here.owner.finish(await here.owner.schedule(here.clock.now(), account=account), status="failed")

        async def look_while_one_is_made() -> int:
            seen = await look()
            looks.append(seen)
            if len(looks) == 2:  # the first look is for the records that were there when the reader was woken
                late.append(await here.endpoint("job.failed", account="late"))
                await herd(1, "late")
                await herd(150)
            return seen

        await herd(150)
        here.endpoints.changes = look_while_one_is_made  # type: ignore[method-assign]
        for _ in range(6):
            await here.clock.advance(GAP_MS)
            await here.clock.settle(2_000)

        told = [each.account for each in await here.deliveries()]
        assert told[150] == late[0].endpoint_id
        assert len(told) == 301
