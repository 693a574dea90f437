"""What happens to jobs becomes deliveries: to whom, how often, and what a crash repeats."""

from __future__ import annotations

import json
import os

import msgspec
import pytest

from libs.domain.endpoints.endpoint import Filter
from libs.domain.responses.captured import Captured
from libs.domain.responses.captured import encode as encode_captured
from libs.events import JobRetryScheduled, Response, SchedulePaused, encode
from libs.events.ids import new_schedule_id, partition_of, redelivery_account
from libs.sealing.keyring import Keyring
from libs.store.errors import StoreUnavailable
from services.webhooks.fan_out.directory import CHECK_EVERY_MS
from services.webhooks.fan_out.reader import FACTS_MAX
from tests.fakes import events
from tests.fakes.control.account_keys import MASTER, MemoryKeys
from tests.simulation.webhooks.fan_out import harness, told_in


async def test_each_endpoint_that_asks_is_told() -> None:
    """A failed job makes a delivery for each endpoint of its account that asks for failed jobs, and for no other."""
    async with harness() as here:
        mine = await here.endpoint("job.failed")
        every = await here.endpoint("*")
        await here.endpoint("job.completed")
        await here.endpoint("*", account="other")
        await here.begin()

        job = await here.ended_job()

        told = [each for each in await here.deliveries() if told_in(each)["type"] == "job.failed"]
        assert [each.account for each in told] == [mine.endpoint_id, every.endpoint_id]
        assert {each.account for each in await here.deliveries()} == {mine.endpoint_id, every.endpoint_id}
        assert {partition_of(each.job_id) for each in told} == {partition_of(job.job_id)}
        assert [(each.at, each.fire_at) for each in told] == [(job.fire_at + 6,) * 2] * 2
        assert told_in(told[0])["data"]["last_error"] == "HTTP 500"


async def test_an_endpoint_that_cannot_be_opened_is_not_told() -> None:
    """Nobody knows its whole address any more; it holds up no other, and is told again once it can be opened."""
    async with harness() as here:
        lost, other = await here.endpoint("job.failed"), await here.endpoint("job.failed")
        table = here.endpoints.table
        table.by_id[lost.endpoint_id] = msgspec.structs.replace(lost, is_shredded=True)
        await here.begin()
        await here.ended_job()
        assert [each.account for each in await here.deliveries()] == [other.endpoint_id]

        assert table.change(msgspec.structs.replace(lost, version=2))
        await here.pass_time(1_000)
        await here.ended_job()

        assert [each.account for each in await here.deliveries()][1:] == [lost.endpoint_id, other.endpoint_id]


async def test_without_endpoints_the_log_is_not_read() -> None:
    """An installation without endpoints costs a look at one row in a second, and no reading of the log."""
    async with harness() as here:
        await here.begin()
        await here.ended_job()
        before = here.log.reads
        for _ in range(5):
            await here.pass_time(1_000)

        assert here.log.reads == before
        assert await here.told() == []


async def test_an_account_without_endpoints_asks_the_tables_nothing() -> None:
    """Its jobs are looked up in memory, whatever others have."""
    async with harness() as here:
        await here.endpoint("*", account="other")
        await here.begin()
        await here.ended_job()

        assert here.jobs.questions == 0
        assert await here.told() == []


async def test_the_first_endpoint_is_told_of_what_follows() -> None:
    """Also of what happens before its making is seen; and of nothing that happened before it."""
    async with harness() as here:
        await here.begin()
        await here.ended_job()
        await here.pass_time(5_000)
        await here.ended_job()
        await here.pass_time(2_000)
        await here.endpoint("job.failed")
        job = await here.ended_job()
        await here.pass_time(2_000)

        assert await here.told() == [("job.failed", job.job_id)]


@pytest.mark.parametrize("seconds", [5, 20, 35, 50])
async def test_the_first_endpoint_is_told_with_the_look_that_finds_it(seconds: int) -> None:
    """A second after it was made, however long there was none: the readers begin with the look, and not some time later."""
    async with harness() as here:
        look = here.endpoints.changes

        async def slow_look() -> int:
            await here.clock.pause(20)
            return await look()

        here.endpoints.changes = slow_look  # type: ignore[method-assign]
        await here.begin()
        await here.pass_time(seconds * 1_000)
        await here.endpoint("job.failed")
        job = await here.ended_job()
        await here.clock.advance(CHECK_EVERY_MS)
        await here.settle()

        assert await here.told() == [("job.failed", job.job_id)]


async def test_facts_do_not_run_away_from_the_tables() -> None:
    """Forty endpoints of one account: while the tables stand still, a hundred facts at most stand before what others append."""
    async with harness() as here:
        await here.begin()
        for _ in range(40):
            await here.endpoint("job.failed")
        here.tables.freeze()
        for _ in range(5):
            await here.ended_job()
        await here.pass_time(3_000)
        assert len(await here.facts()) == FACTS_MAX

        here.tables.thaw()
        await here.pass_time(3_000)
        assert len(await here.facts()) == len(await here.deliveries()) == 5 * 40


async def test_after_a_crash_nothing_is_lost_and_nothing_is_made_twice() -> None:
    """Whatever was not saved is fanned out again, to deliveries with the same ids."""
    async with harness() as here:
        await here.endpoint("job.failed")
        await here.begin()
        jobs = [await here.ended_job() for _ in range(3)]
        await here.die()
        jobs += [await here.ended_job() for _ in range(3)]
        await here.begin()

        assert await here.told() == [("job.failed", job.job_id) for job in jobs]
        assert len(await here.facts()) == 9
        assert len({msgspec.json.encode(fact) for fact in await here.facts()}) == 6


async def test_what_was_saved_is_not_repeated() -> None:
    """A second after the facts are in the log, the position is saved."""
    async with harness() as here:
        await here.endpoint("job.failed")
        await here.begin()
        await here.ended_job()
        await here.pass_time(1_000)
        await here.die()
        await here.begin()
        await here.pass_time(1_000)

        assert len(await here.facts()) == 1


async def test_an_attempt_is_told_once_with_its_first_outcome() -> None:
    """An attempt whose outcome stands twice in the log counts as the first says, when what follows is decided."""
    async with harness() as here:
        await here.endpoint("attempt.finished")
        await here.begin()
        job = await here.owner.schedule(here.clock.now())
        await here.owner.due(job)
        for ok in (False, True):
            fact = events.finished(
                job.job_id,
                job.fire_at,
                at=job.fire_at + 5,
                ok=ok,
                duration_ms=5,
                status_code=200 if ok else 503,
                error=None if ok else "HTTP 503",
            )
            await here.log.append(0, [encode(fact)])
        await here.settle()
        assert await here.told() == []

        retry = JobRetryScheduled(job_id=job.job_id, at=job.fire_at + 6, attempt=2, fire_at=job.fire_at + 5_000)
        await here.owner.decide(retry)
        await here.settle()

        [told] = await here.deliveries()
        assert told.at == retry.at
        assert told_in(told)["type"] == "attempt.finished"
        assert told_in(told)["data"]["attempt_num"] == 1
        assert told_in(told)["data"]["status_code"] == 503


async def test_a_job_is_told_by_schedule_host_and_status() -> None:
    """A filter's lists are compared with what the tables know of the job."""
    async with harness() as here:
        await here.endpoint("job.failed", wanted=Filter(hosts=("target.example",), status_codes=(500,)))
        await here.begin()
        job = await here.ended_job(url="http://Target.example:8080/x")
        await here.ended_job(url="http://elsewhere.example/x")
        await here.ended_job(status="completed", url="http://target.example/x")

        assert await here.told() == [("job.failed", job.job_id)]


async def test_deliveries_that_failed_for_good_are_counted() -> None:
    """Once each, when the last try failed: not what was taken, what was not sent, or what somebody sent again."""
    async with harness() as here:
        made = await here.endpoint("job.cancelled")
        await here.begin()
        for status in ("failed", "completed", "failed"):
            await here.ended_job(status, account=made.endpoint_id)
        await here.ended_job("failed", account=redelivery_account(made.endpoint_id))
        await here.ended_job("failed")
        expired = await here.owner.schedule(here.clock.now(), account=made.endpoint_id)
        await here.owner.decide(
            events.ended(expired.job_id, here.clock.now(), 0, account=made.endpoint_id, status="failed")
        )
        await here.settle()

        assert here.tally.counts["exhausted: endpoint"] == 2


async def test_a_job_is_told_by_its_labels() -> None:
    """Of each name that the filter has the job has one of the values."""
    async with harness() as here:
        await here.endpoint("job.failed", wanted=Filter(labels=("tenant:acme", "tenant:zeta", "env:prod")))
        await here.begin()
        job = await here.ended_job(labels={"tenant": "zeta", "env": "prod", "more": "x"})
        for labels in (None, {"tenant": "zeta"}, {"tenant": "other", "env": "prod"}, {"tenant": "acme", "env": "dev"}):
            await here.ended_job(labels=labels)

        assert await here.told() == [("job.failed", job.job_id)]


async def test_a_change_is_seen_within_a_second() -> None:
    """What a disabled endpoint would be told is kept and not sent; enabled again, it is told of what happens from then on."""
    async with harness() as here:
        first = await here.endpoint("job.failed")
        await here.begin()
        await here.endpoints.change(msgspec.structs.replace(first, version=2, disabled_reason="requested"))
        await here.pass_time(1_000)
        before = await here.ended_job()
        await here.endpoints.change(msgspec.structs.replace(first, version=3))
        await here.pass_time(3_000)
        job = await here.ended_job()
        await here.pass_time(1_000)

        assert await here.told() == [("job.failed", before.job_id), ("job.failed", job.job_id)]
        kept, sent = await here.deliveries()
        assert (kept.expires_at, sent.expires_at) == (kept.at, None)


async def test_while_the_database_is_away_fan_out_waits() -> None:
    """A copy of the endpoints that cannot be checked is not gone by; afterwards nothing is missing."""
    async with harness() as here:
        await here.endpoint("*")
        await here.begin()
        away = StoreUnavailable("down, says the test")

        async def fails() -> int:
            raise away

        changes, here.endpoints.changes = here.endpoints.changes, fails
        here.jobs.fails = away
        await here.pass_time(5_000)
        job = await here.ended_job()
        await here.endpoint("job.failed")
        await here.pass_time(10_000)
        assert await here.told() == []

        here.endpoints.changes, here.jobs.fails = changes, None
        await here.pass_time(10_000)

        assert sorted(await here.told()) == [
            ("attempt.failed", job.job_id),
            ("job.failed", job.job_id),
            ("job.failed", job.job_id),
        ]


async def test_schedules_are_told_of() -> None:
    """Ticks that were missed or left out, each once; of ticks like any other nothing is said, and nothing is asked."""
    async with harness() as here:
        await here.endpoint("schedule.missed", "schedule.skipped")
        await here.begin()
        now = here.clock.now()
        schedule_id = new_schedule_id(now, 0, bytes(8))
        await here.owner.append(events.created(schedule_id, now, account="default"))
        first = now + 60_000
        await here.owner.decide(events.ticked(schedule_id, first, at=now))
        await here.pass_time(1_000)
        assert here.jobs.questions == 0

        await here.owner.decide(events.ticked(schedule_id, first + 180_000, at=now + 1, missed_count=2))
        await here.pass_time(1_000)
        await here.die()
        await here.begin()
        await here.pass_time(2_000)

        (told,) = await here.deliveries()
        assert told_in(told)["type"] == "schedule.missed"
        assert (told_in(told)["data"]["schedule_id"], told_in(told)["data"]["missed_count"]) == (schedule_id, 2)


async def test_a_tick_that_a_pause_overtook_is_not_told() -> None:
    """It is void, so nothing was missed."""
    async with harness() as here:
        await here.endpoint("*")
        await here.begin()
        now = here.clock.now()
        schedule_id = new_schedule_id(now, 0, bytes(8))
        await here.owner.append(events.created(schedule_id, now, account="default"))
        await here.owner.append(SchedulePaused(schedule_id=schedule_id, at=now))
        await here.owner.decide(events.ticked(schedule_id, now + 60_000, at=now + 1, missed_count=2))
        job = await here.ended_job(status="completed")
        await here.pass_time(1_000)

        assert await here.told() == [("attempt.finished", job.job_id), ("job.completed", job.job_id)]


async def test_a_void_end_is_not_told() -> None:
    """What an owner decides that is not the owner any more never happened."""
    async with harness() as here:
        await here.endpoint("*")
        await here.begin()
        job = await here.owner.schedule(here.clock.now())
        late = here.owner.claim
        here.owner.claim = type(late)(late.epoch + 1, "another0001")
        await here.owner.take_over()
        here.owner.claim = late
        await here.owner.cancel(job)
        await here.settle()

        assert await here.told() == []


async def test_an_endpoint_that_asks_is_shown_what_was_kept_of_the_answer() -> None:
    """With the attempt and with the end of its job; null if nothing was kept; another endpoint is not shown it."""
    kept = Captured(headers={"content-type": "text/plain"}, length=3, sha256="ab", head="no!")
    async with harness() as here:
        shown = await here.endpoint("job.failed", "job.cancelled", "attempt.failed", include_response=True)
        plain = await here.endpoint("job.failed")
        await here.begin()

        await here.ended_job(response=Response(data=encode_captured(kept)))
        await here.ended_job()
        await here.owner.cancel(await here.owner.schedule(here.clock.now() + 60_000))
        await here.settle()

        told = [(each.account, told_in(each)) for each in await here.deliveries()]
        answer = {"status_code": 500, **msgspec.structs.asdict(kept)}
        assert [(each["type"], each["data"]["response"]) for account, each in told if account == shown.endpoint_id] == [
            *(("attempt.failed", answer), ("job.failed", answer)),
            *(("attempt.failed", None), ("job.failed", None)),
            ("job.cancelled", None),
        ]
        assert not any("response" in each["data"] for account, each in told if account == plain.endpoint_id)


async def test_answers_are_read_only_if_an_endpoint_asks_for_them() -> None:
    """Of an account without such an endpoint none is read, whatever others ask for."""
    async with harness() as here:
        await here.endpoint("job.failed", wanted=Filter(hosts=("a.example",)))
        await here.endpoint("job.failed", account="other", include_response=True)
        await here.begin()
        await here.ended_job(response=Response(data=b"{"))

        assert (here.jobs.questions, here.jobs.answers) == (1, 0)


async def test_answers_are_opened_and_one_whose_key_was_deleted_counts_as_not_kept() -> None:
    """What is told is sealed again, as all that callers entrust."""
    table = MemoryKeys()
    keyring = Keyring(lambda: MASTER, table, entropy=os.urandom, steady=lambda: 0.0, away=ConnectionError)
    kept = Captured(headers={}, length=3, sha256="ab", head="no!")
    async with harness() as here:
        await here.endpoint("job.failed", include_response=True)
        here.keyring = keyring
        await here.begin()
        job = await here.owner.schedule(here.clock.now())
        await keyring.ready(job.account)
        response = keyring.sealed_response(encode_captured(kept), account=job.account, job_id=job.job_id, attempt=1)
        await here.owner.finish(job, status="failed", response=response)
        await here.settle()
        await here.ended_job(response=Response(data=response.data, key="key_gone"))

        specs = [(each, each.spec) for each in await here.deliveries()]
        await keyring.load([spec for _, spec in specs])
        bodies = [json.loads(keyring.opened(spec, each.account, each.job_id).body or "") for each, spec in specs]
        assert all(spec.sealed is not None for _, spec in specs)
        assert [body["data"]["response"] and body["data"]["response"]["head"] for body in bodies] == ["no!", None]
