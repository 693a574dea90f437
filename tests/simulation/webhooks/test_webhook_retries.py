"""Webhooks that are repeated if they fail: when, under which id, and what a crash or an outage changes."""

from __future__ import annotations

import pytest

from libs.domain.jobs.delivery import DeliveryState, DeliveryStatus
from libs.egress.outcome import Outcome
from libs.events import WebhookAttempted, WebhookFinished, WebhookRedeliverRequested, encode
from libs.events.ids import delivery_id
from libs.events.retry_policy import RetryPolicy
from tests.simulation.webhooks.harness import HOST, Harness, harness

FIXED = RetryPolicy(max_retries=3, backoff="fixed", delay_ms=10_000, jitter="none")


def answer(status: int, retry_after_ms: int | None = None) -> Outcome:
    """Return what a receiver answers with."""
    return Outcome(
        ok=status < 300,
        status_code=status,
        error=None if status < 300 else f"HTTP {status}",
        duration_ms=1,
        retry_after_ms=retry_after_ms,
        sent_at=0,
    )


async def attempts(here: Harness) -> list[WebhookAttempted]:
    return await here.facts(WebhookAttempted)


async def deliveries(here: Harness) -> list[DeliveryState]:
    return list((await here.tables.fold(0)).states.of(DeliveryState).values())


async def pass_seconds(here: Harness, seconds: int) -> None:
    for _ in range(seconds):
        await here.clock.advance(1_000)


async def test_a_webhook_that_is_answered_writes_one_record() -> None:
    """As one without retries does; its id is that of a delivery, which is at its end."""
    async with harness() as here:
        await here.begin()
        job = await here.job(webhook_retry=FIXED)
        await here.owner.finish(job)
        await here.settle()

        (only,) = await attempts(here)
        assert (only.attempt, only.outcome, only.job_id, only.event) == (1, "success", job.job_id, "job.completed")
        assert here.posted == [only.delivery_id] == [delivery_id(job.job_id)]
        assert [each.status for each in await deliveries(here)] == [DeliveryStatus.DELIVERED]
        assert await here.facts(WebhookFinished) == []


async def test_a_webhook_that_fails_is_tried_again_at_its_instants_under_one_id() -> None:
    """Never before; each failure uses up a retry; after the last one the delivery is exhausted, and the job is what it was."""
    async with harness() as here:
        await here.begin()
        here.egress.answers[HOST] = answer(500)
        job = await here.job(webhook_retry=FIXED)
        await here.owner.finish(job)
        await pass_seconds(here, 60)

        tries = await attempts(here)
        assert [each.attempt for each in tries] == [1, 2, 3, 4]
        assert len({*here.posted}) == 1
        for before, after in zip(here.egress.calls, here.egress.calls[1:], strict=False):
            assert 10_000 <= after.at - before.at <= 12_500
        (delivery,) = await deliveries(here)
        assert (delivery.status, delivery.charged, delivery.next_at) == (DeliveryStatus.EXHAUSTED, 4, None)
        assert here.tally.counts["exhausted: webhook_url"] == 1
        assert (await here.tables.fold(0)).states[job.job_id].status.name == "COMPLETED"


async def test_an_answer_that_asks_for_a_delay_uses_up_no_retry() -> None:
    """429 and 503 with Retry-After: called again then, as often as the receiver asks."""
    async with harness() as here:
        await here.begin()
        here.egress.answers[HOST] = answer(429, retry_after_ms=30_000)
        await here.owner.finish(await here.job(webhook_retry=FIXED))
        for _ in range(14):
            await here.clock.advance(32_000)
        (delivery,) = await deliveries(here)

        assert delivery.is_pending
        assert (delivery.charged, delivery.free_count >= 10) == (0, True)


@pytest.mark.parametrize("moment", ["before it is recorded", "while it waits"])
async def test_a_crash_loses_no_retry(moment: str) -> None:
    """What waits stands in the table; what was under way is made again, as the same try."""
    async with harness() as here:
        await here.begin()
        here.egress.answers[HOST] = answer(500)
        await here.owner.finish(await here.job(webhook_retry=FIXED))
        await here.settle()
        if moment == "before it is recorded":
            here.egress.hang(HOST)
            await pass_seconds(here, 13)
            assert len(here.posted) == 2
        await here.die()
        if moment == "before it is recorded":
            here.egress.answer(HOST)
        del here.egress.answers[HOST]
        await here.begin_anew()
        await pass_seconds(here, 13)

        assert [each.attempt for each in await attempts(here)] == [1, 2]
        assert [each.status for each in await deliveries(here)] == [DeliveryStatus.DELIVERED]
        assert len({*here.posted}) == 1


async def test_the_first_contracts_webhook_keeps_its_one_try_and_its_record() -> None:
    """Without `webhook_retry` nothing is repeated, and the id is the job's."""
    async with harness() as here:
        await here.begin()
        here.egress.answers[HOST] = answer(500)
        job = await here.ended_job()
        await pass_seconds(here, 120)

        assert here.posted == [job.job_id]
        assert len(await here.facts(WebhookFinished)) == 1
        assert await attempts(here) == []


async def test_the_operator_may_have_every_webhook_repeated() -> None:
    """FLIQ_WEBHOOK_RETRIES is for jobs that say nothing; its delays begin with FLIQ_RETRY_BASE_SECONDS."""
    async with harness(retries=1, retry_base_s=5.0) as here:
        await here.begin()
        here.egress.answers[HOST] = answer(500)
        await here.ended_job()
        await here.ended_job(webhook_retry=RetryPolicy())
        await pass_seconds(here, 30)

        assert sorted(each.attempt for each in await deliveries(here)) == [1, 2]
        assert {each.status for each in await deliveries(here)} == {DeliveryStatus.EXHAUSTED}


async def test_a_redelivery_is_one_try_at_once() -> None:
    """Of a delivery at its end: a failure leaves it as it was and is not repeated, a success makes it delivered."""
    async with harness() as here:
        await here.begin()
        here.egress.answers[HOST] = answer(500)
        await here.ended_job(webhook_retry=RetryPolicy(max_retries=0, delay_ms=1_000))
        await here.settle()
        (delivery,) = await deliveries(here)

        async def ask(request_id: str) -> DeliveryState:
            event = WebhookRedeliverRequested(
                delivery_id=delivery.delivery_id, at=here.clock.now(), request_id=request_id
            )
            await here.log.append(0, [encode(event), encode(event)])
            await pass_seconds(here, 3)
            return (await deliveries(here))[0]

        failed = await ask("first")
        assert (failed.status, failed.attempt, failed.next_at) == (DeliveryStatus.EXHAUSTED, 2, None)
        del here.egress.answers[HOST]
        assert (await ask("second")).status is DeliveryStatus.DELIVERED
        assert len(here.posted) == 3
        assert {*here.posted} == {delivery.delivery_id}


async def test_an_endpoint_whose_retries_hang_delays_no_other_webhook() -> None:
    """What is due again and finds no room is left in the tables, as first tries are."""
    async with harness(places=60) as here:
        await here.begin()
        here.egress.answers[HOST] = answer(500)
        policy = RetryPolicy(max_retries=5, backoff="fixed", delay_ms=5_000, jitter="none")
        for _ in range(80):
            await here.ended_job(webhook_retry=policy)
            await here.settle()
        await pass_seconds(here, 3)
        here.egress.hang(HOST)
        await pass_seconds(here, 10)
        other = await here.ended_job(webhook_url="http://other.example/")
        began_at = here.clock.now()
        for _ in range(10):
            await here.clock.advance(100)
        told_at = {call.header("webhook-id"): call.at for call in here.egress.calls}
        assert told_at[other.job_id] - began_at <= 1_000

        del here.egress.answers[HOST]
        here.egress.answer(HOST)
        await pass_seconds(here, 60)
        assert {each.status for each in await deliveries(here)} == {DeliveryStatus.DELIVERED}
