"""
An older build of the webhooks service beside a newer one, as in a rolling upgrade.

What the older one does not understand is neither lost nor sent twice. That it does not get such a partition again is a matter of
leases, which have tests of their own.
"""

from __future__ import annotations

import pytest

from libs.domain.endpoints import endpoint
from libs.domain.endpoints.webhook_event import EVENTS
from libs.events.ids import delivery_id, new_schedule_id
from tests.fakes import events
from tests.simulation.first_build import reading
from tests.simulation.webhooks import fan_out
from tests.simulation.webhooks.harness import HOST, harness
from tests.simulation.webhooks.test_webhook_retries import FIXED, answer, attempts, pass_seconds

MINUTE_MS = 60_000


async def test_a_webhook_that_is_repeated_waits_for_the_newer_build() -> None:
    """The older one sends what stands before it, then leaves the partition; each try is made once, by the newer one."""
    is_first = True
    with reading(lambda: is_first):
        async with harness() as here:
            await here.begin()
            plain = await here.ended_job()
            await here.settle()
            here.egress.answers[HOST] = answer(500)
            durable = await here.ended_job(webhook_retry=FIXED)
            await pass_seconds(here, 5)
            assert here.keeper.given_up == {0: 30.0}
            assert "job.scheduled v" in (here.service.ready() or "")
            assert here.posted == [plain.job_id]

            is_first = False
            await here.die()
            await here.begin_anew()
            assert here.posted == [plain.job_id, delivery_id(durable.job_id)]
            del here.egress.answers[HOST]
            await pass_seconds(here, 15)

            assert here.posted == [plain.job_id, *[delivery_id(durable.job_id)] * 2]
            assert [(each.attempt, each.outcome) for each in await attempts(here)] == [(1, "failure"), (2, "success")]


async def test_an_event_that_an_older_build_does_not_know_waits_for_the_newer_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It fans nothing out while an endpoint asks for such an event; the newer one begins where it stopped, and tells all, once."""
    older = {name: means for name, means in EVENTS.items() if not name.startswith("schedule.")}
    async with fan_out.harness() as here:
        await here.endpoint("job.failed")
        monkeypatch.setattr(endpoint, "EVENTS", older)
        await here.begin()
        first = await here.ended_job()
        await here.pass_time(2_000)
        assert await here.told() == [("job.failed", first.job_id)]

        await here.endpoint("schedule.missed")
        now = here.clock.now()
        schedule_id = new_schedule_id(now, 0, bytes(8))
        await here.owner.append(events.created(schedule_id, now, account="default"))
        await here.owner.decide(events.ticked(schedule_id, now + MINUTE_MS, at=now, missed_count=1))
        second = await here.ended_job()
        await here.pass_time(5_000)
        assert len(await here.told()) == 1
        assert here.fan_outs is not None
        assert "newer build" in (here.fan_outs.ready() or "")

        await here.die()
        monkeypatch.setattr(endpoint, "EVENTS", EVENTS)
        await here.begin()
        await here.pass_time(5_000)

        told = [("job.failed", first.job_id), ("job.failed", second.job_id), ("schedule.missed", None)]
        assert sorted(await here.told(), key=str) == sorted(told, key=str)
        assert len({each.job_id for each in await here.facts()}) == 3


async def test_a_partition_whose_events_need_a_newer_build_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease goes back, as it does at a record that must be understood."""
    async with harness() as here:
        here.endpoints.table.add(
            endpoint.Endpoint(
                endpoint_id="whe_01m8ymky3t002j3dd0kk9q5xsw",
                account="default",
                config=endpoint.EndpointConfig(url=f"{HOST}/all", events=("flow.held",)),
                version=1,
                created_at=0,
                changed_at=0,
            ),
            "whsec_" + "C" * 32,
        )
        await here.begin()
        await here.ended_job(webhook_url=None)
        await pass_seconds(here, 5)

        assert here.keeper.given_up == {0: 30.0}
        assert "newer build" in (here.service.ready() or "")
