"""Nobody hurts a neighbour: the webhooks of an innocent account leave in time, whatever up to five hostile ones do."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.simulation.neighbours import BODY, HEALTHY, HOSTILE, INNOCENT, black_holes, know, let_pass
from tests.simulation.webhooks.harness import Harness, harness

SLOTS = 300
PLACES = 300


async def flood(
    here: Harness, accounts: Sequence[str], count: int, hosts: Sequence[str], body: str | None = None
) -> None:
    """Let *count* jobs of each of *accounts* end whose webhooks go to *hosts* that never answer."""
    for account in accounts:
        for number in range(count):
            await here.ended_job(account=account, webhook_url=f"{hosts[number % len(hosts)]}/me", body=body)
        await here.settle()


async def innocent_lateness(here: Harness) -> list[int]:
    """Let a job of the innocent account end each half second, and return how late it was told, in ms."""
    ended_at = {}
    for _ in range(10):
        job = await here.ended_job(account=INNOCENT, webhook_url=f"{HEALTHY}/me")
        ended_at[job.job_id] = here.clock.now()
        await here.clock.settle(300)  # pages of what hostile accounts left may be read first
        await here.clock.advance(500)
    await let_pass(here.clock, 5)
    told_at = {call.header("webhook-id"): call.at for call in here.egress.calls}
    return [told_at[job_id] - at for job_id, at in ended_at.items()]


@pytest.mark.parametrize("hostile", [1, 5])
@pytest.mark.parametrize("hole_count", [1, 200])
async def test_receivers_that_never_answer_hold_up_no_webhook_of_another(hostile: int, hole_count: int) -> None:
    """What an account's share does not hold is left in the tables; another's webhooks leave at once; in the end all are sent."""
    async with harness(slots=SLOTS, places=PLACES) as here:
        know(here.tables)
        await here.begin()
        holes = black_holes(here.egress, hole_count)
        await flood(here, HOSTILE[:hostile], 200, holes)

        assert max(await innocent_lateness(here)) <= 100
        assert here.service.held_count <= PLACES
        assert here.service.ready() is None
        for hole in holes:
            here.egress.answer(hole)
        await let_pass(here.clock, 60)
        assert len(here.posted) == len(set(here.posted)) == len(await here.told()) == 200 * hostile + 10


@pytest.mark.parametrize("hostile", [1, 5])
async def test_webhooks_hold_no_bodies(hostile: int) -> None:
    """The bodies of the jobs that ended are read for the URL of the webhook, and kept nowhere."""
    async with harness(slots=SLOTS, places=PLACES) as here:
        know(here.tables)
        await here.begin()
        await flood(here, HOSTILE[:hostile], 60, black_holes(here.egress, 60), BODY)

        assert max(await innocent_lateness(here)) <= 100
        calls = here.service._calls
        assert sum(len(call.spec or b"") for held in calls.held._held.values() for call in held.values()) < 50_000
        assert {len(call.request.body or b"") < 1_000 for call in here.egress.calls} == {True}
        assert len([call for call in here.egress.calls if INNOCENT not in call.request.account]) >= 60
