"""Every end is told, however many wait: what finds no room stays in the tables, by endpoint, and is recalled."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from services.webhooks import reader
from tests.simulation.webhooks.harness import HOST, SLOTS_OF_AN_ENDPOINT, Harness, harness

OTHER = "http://other.example"


async def ended_jobs(here: Harness, count: int, **spec: object) -> list[str]:
    """Let *count* jobs end at once, and return their ids."""
    return [(await here.ended_job(**spec)).job_id for _ in range(count)]


async def pass_until_told(here: Harness, count: int, *, steps: int, step_ms: int = 100) -> int:
    """Move the clock until *count* webhooks were sent, and return how many ms that took; fail after *steps*."""
    began_at = here.clock.now()
    for _ in range(steps):
        if len(set(here.posted)) >= count:
            return here.clock.now() - began_at
        await here.clock.advance(step_ms)
    raise AssertionError(f"{len(set(here.posted))} of {count} after {here.clock.now() - began_at} ms")


@pytest.mark.parametrize(("count", "places"), [(600, 20_000), (1_500, 1_500)])
async def test_jobs_that_end_in_one_second_are_all_told_once_at_the_pace_of_their_receiver(
    count: int, places: int
) -> None:
    """A receiver of 100 ms: as many webhooks as jobs, in the time that its slots need and two seconds, also with little memory."""
    async with harness(places=places) as here:
        await here.begin()
        here.egress.takes_ms[HOST] = 100
        jobs = await ended_jobs(here, count)
        took_ms = await pass_until_told(here, count, steps=200)
        await here.clock.advance(2_000)

        assert sorted(here.posted) == sorted(str(job) for job in jobs)
        assert len(await here.told()) == count
        assert took_ms <= count / (SLOTS_OF_AN_ENDPOINT * 10) * 1000 + 2_000
        assert here.egress.most_active[HOST] <= SLOTS_OF_AN_ENDPOINT


async def test_no_slot_of_a_receiver_is_free_while_a_webhook_for_it_is_pending() -> None:
    """Neither while webhooks come from memory nor while they are recalled: a hundredth of the slots' time at most."""
    step_ms, count = 20, 600
    async with harness(places=300) as here:
        await here.begin()
        here.egress.takes_ms[HOST] = 100
        await ended_jobs(here, count)
        idle = total = 0
        while len(here.posted) < count:
            await here.clock.advance(step_ms)
            idle += min(count - len(here.posted), SLOTS_OF_AN_ENDPOINT - here.egress.active[HOST])
            total += SLOTS_OF_AN_ENDPOINT
            assert total * step_ms <= count * 200, (
                f"{len(here.posted)} were sent, slots were free {idle} of {total} times"
            )

        assert idle <= total / 100


async def test_no_end_is_lost_when_the_service_dies_ten_times() -> None:
    """Each is told at least once, always under the same id; only what was under way is told twice."""
    async with harness(places=600) as here:
        await here.begin()
        here.egress.takes_ms[HOST] = 100
        jobs = await ended_jobs(here, 400)
        for _ in range(10):
            await here.clock.advance(150)
            await here.die()
            await here.begin_anew()
        await pass_until_told(here, 400, steps=200)
        await here.clock.advance(2_000)

        times = Counter(here.posted)
        assert set(times) == set(jobs)
        assert sum(times.values()) <= 400 + 10 * SLOTS_OF_AN_ENDPOINT
        assert {event.job_id for event in await here.told()} == set(jobs)


@pytest.mark.parametrize("hanging", [30, 300])
@pytest.mark.parametrize("places", [20_000, 90])
async def test_an_endpoint_that_hangs_delays_no_other_endpoint(hanging: int, places: int) -> None:
    """Neither another path of its host, nor another account; whether what hangs fits into its share or not."""
    async with harness(places=places) as here:
        await here.begin()
        here.egress.hang(f"{HOST}/slow")
        await ended_jobs(here, hanging, webhook_url=f"{HOST}/slow?key=1")
        await here.settle()
        began_at = here.clock.now()
        mine = await here.ended_job(webhook_url=f"{HOST}/fast")
        others = await here.ended_job(webhook_url=f"{HOST}/fast", account="other")
        await pass_until_told(here, SLOTS_OF_AN_ENDPOINT + 2, steps=10)

        told_at = {call.header("webhook-id"): call.at for call in here.egress.calls}
        assert max(told_at[mine.job_id], told_at[others.job_id]) - began_at <= 1_000
        assert here.service.held_count <= places // 3 + 2
        here.egress.answer(f"{HOST}/slow")
        await pass_until_told(here, hanging + 2, steps=200)


async def test_a_service_that_starts_finds_what_stands_behind_an_endpoint_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its pending webhooks are passed over, however many; the others' are sent."""
    monkeypatch.setattr(reader, "PAGE", 10)
    async with harness(places=90) as here:
        here.egress.hang(f"{HOST}/slow")
        await ended_jobs(here, 300, webhook_url=f"{HOST}/slow")
        behind = await here.ended_job(webhook_url=f"{HOST}/fast")
        others = [
            (await here.ended_job(webhook_url=f"{HOST}/fast", account=account)).job_id for account in ("other", "third")
        ]
        here.tables.secrets["third"] = here.tables.secrets["other"]
        await here.begin()
        for _ in range(100):
            await here.clock.advance(10)

        assert {behind.job_id, *others} <= set(here.posted)
        here.egress.answer(f"{HOST}/slow")
        await pass_until_told(here, 303, steps=200)
        assert len(here.posted) == len(set(here.posted)) == 303


async def test_the_oldest_that_is_left_is_recalled_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The webhooks of one endpoint leave in the order of their ends, in memory or not."""
    monkeypatch.setattr(reader, "PAGE", 10)
    async with harness(places=120, per_lane=1) as here:
        await here.begin()
        here.egress.takes_ms[HOST] = 50
        jobs = await ended_jobs(here, 100)
        await pass_until_told(here, 100, steps=200)

        assert here.posted == jobs


async def test_pending_webhooks_are_counted() -> None:
    """How many there are, and for how long the oldest has waited, as the tables had it half a minute ago at the most."""
    async with harness(places=90) as here:
        here.egress.hang(HOST)
        await ended_jobs(here, 5)
        await here.clock.advance(10_000)
        await here.begin()
        assert here.service.pending_count == 5
        assert 9.0 <= here.service.oldest_pending_s <= 11.0

        here.egress.answer(HOST)
        await here.clock.advance(32_000)
        assert (here.service.pending_count, here.service.oldest_pending_s) == (0, 0.0)


async def test_a_pending_webhook_that_nobody_knows_of_is_found() -> None:
    """A defect somewhere else costs two minutes, and not the webhook."""
    async with harness() as here:
        await here.begin()
        take, here.service._calls.take = here.service._calls.take, lambda calls: None  # type: ignore[method-assign]
        job = await here.ended_job()
        await here.settle()
        here.service._calls.take = take  # type: ignore[method-assign]
        await here.clock.advance(121_000)
        assert here.posted == []
        await here.clock.advance(32_000)

        assert here.posted == [job.job_id]
        assert here.tally.counts["overdue"] == 1


async def test_a_page_of_tables_that_went_back_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that crashed shows webhooks as pending that were sent: they are not sent again."""
    async with harness(places=120) as here:
        await here.begin()
        pending_page, first, crashes = here.tables.pending_page, [], []

        async def page_of(*asked: Any) -> list[Any]:
            page = await pending_page(*asked)
            if not first:
                first.extend(page)
            elif not crashes and len(await here.told()) >= 300:
                crashes.append(here.clock.now())
                here.tables.forgotten_count += 1  # as the connection does over which this is asked
                return first
            return page

        monkeypatch.setattr(here.tables, "pending_page", page_of)
        jobs = await ended_jobs(here, 600)
        await pass_until_told(here, len(jobs), steps=200)
        await here.clock.advance(2_000)

        assert (len(first) > 1, len(crashes)) == (True, 1)
        assert sorted(here.posted) == sorted(jobs)
