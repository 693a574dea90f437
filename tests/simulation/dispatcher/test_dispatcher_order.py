"""Deliveries to an endpoint that is told of one job's events in their order."""

from __future__ import annotations

from libs.domain.endpoints.delivery import delivery_job
from libs.domain.endpoints.endpoint import Endpoint, EndpointConfig
from libs.domain.endpoints.fan_out import JobFacts, told_of
from libs.domain.endpoints.order import LOOK_MS, WAITS
from libs.domain.endpoints.webhook_event import Attempt
from libs.events import JobScheduled
from libs.events.ids import delivery_id, new_endpoint_id, new_job_id
from libs.store.errors import StoreUnavailable
from tests.fakes import events
from tests.simulation.dispatcher.harness import Harness, harness

URL = "http://hooks.example/me"
HOST = "http://hooks.example"


async def told(here: Harness, ordering: str = "job") -> tuple[JobScheduled, JobScheduled]:
    """Append the deliveries of an attempt and of the end of its job to one endpoint, and that both are due."""
    now = here.clock.now()
    job_id = new_job_id(now - 100, 0, b"11111111")
    config = EndpointConfig(url=URL, events=("*",), ordering=ordering)  # type: ignore[arg-type]
    endpoint_id = new_endpoint_id(now, 0, "default", b"only")
    endpoint = Endpoint(
        endpoint_id=endpoint_id, account="default", config=config, version=1, created_at=0, changed_at=0
    )
    here.tables.secrets[endpoint_id] = ("whsec_" + "C" * 32,)
    end = events.ended(job_id, now, account="default", status="failed")
    attempt = Attempt(job_id, 1, False, 500, "HTTP 500", 5, now - 5)
    first, last = (delivery_job(each, 0) for each in told_of(end, JobFacts("default", attempt=attempt), [endpoint]))
    for each in (first, last):
        await here.owner.append(each)
    for each in (last, first):  # an order that nobody may rely on
        await here.owner.due(each)
    await here.settle()
    return first, last


def sent(here: Harness) -> list[str | None]:
    """Return the deliveries whose calls have left, in order."""
    return [call.header("webhook-id") for call in here.egress.calls]


def ids(*deliveries: JobScheduled) -> list[str]:
    return [delivery_id(each.job_id) for each in deliveries]


async def end(here: Harness, delivery: JobScheduled) -> None:
    """Decide that *delivery*, whose call has ended, is at its end."""
    await here.owner.decide(events.ended(delivery.job_id, here.clock.now(), account=delivery.account))
    await here.settle()


async def test_a_later_event_waits_for_a_call_that_is_under_way() -> None:
    """Nothing of it is recorded meanwhile, and it takes no slot; it leaves a moment after the earlier one has ended."""
    async with harness() as here:
        await here.begin()
        here.egress.hang(HOST)
        first, last = await told(here)
        await here.clock.advance(3_000)
        assert (sent(here), here.service.active_count, await here.finished()) == (ids(first), 1, [])

        here.egress.answer(HOST)
        await here.settle()
        await end(here, first)
        await here.clock.advance(3_000)

        assert sent(here) == ids(first, last)
        assert [each.ok for each in await here.finished()] == [True, True]


async def test_without_an_order_both_leave_at_once() -> None:
    """However long the earlier one takes."""
    async with harness() as here:
        await here.begin()
        here.egress.hang(HOST)
        first, last = await told(here, "none")

        assert sorted(map(str, sent(here))) == sorted(ids(first, last))
        here.egress.answer(HOST)
        await here.settle()


async def test_a_later_event_waits_for_the_next_try_of_an_earlier_one() -> None:
    """Its try ends as one that the target put off, which uses up no retry; its next one is due after the earlier one's."""
    async with harness() as here:
        await here.begin()
        here.egress.hang(HOST)
        first, last = await told(here)
        retried_at = here.clock.now() + 300_000
        here.egress.answer(HOST)
        await here.settle()
        await here.owner.decide(events.retried(first.job_id, here.clock.now(), 2, fire_at=retried_at))
        await here.clock.advance(10_000)

        (fact,) = [each for each in await here.finished() if each.job_id == last.job_id]
        assert (fact.error, fact.outcome, sent(here)) == (WAITS, "snoozed", ids(first))
        assert fact.retry_after_ms == retried_at + LOOK_MS - fact.at
        assert here.tally.counts[WAITS] == 1


async def test_while_the_tables_are_away_nothing_overtakes() -> None:
    """The call is kept until they say what is pending."""
    async with harness() as here:
        await here.begin()
        pending_about = here.tables.pending_about

        async def away(endpoint_id: str, job_id: str) -> list[object]:
            raise StoreUnavailable("down, says the test")

        here.tables.pending_about = away  # type: ignore[method-assign,assignment]
        first, last = await told(here)
        await here.clock.advance(2_000)
        assert (sent(here), await here.finished()) == ([], [])

        here.tables.pending_about = pending_about  # type: ignore[method-assign]
        await here.clock.advance(1_000)
        await end(here, first)
        await here.clock.advance(3_000)

        assert sent(here) == ids(first, last)


async def test_another_dispatcher_waits_as_well() -> None:
    """A wait is held in memory only, so the next holder of the lease looks anew."""
    async with harness() as here:
        await here.begin()
        here.egress.hang(HOST)
        first, last = await told(here)
        await here.clock.advance(1_000)
        await here.die()
        await here.begin_anew()
        await here.clock.advance(1_000)
        assert sent(here) == ids(first, first)

        here.egress.answer(HOST)
        await here.settle()
        await end(here, first)
        await here.clock.advance(3_000)
        assert sent(here) == ids(first, first, last)
