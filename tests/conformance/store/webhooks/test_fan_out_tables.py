"""What fan-out reads of jobs, and the positions that it saves."""

from libs.domain.endpoints.webhook_event import Attempt
from libs.events import Response, Spec
from libs.events.ids import new_job_id, new_schedule_id
from libs.store.reads.fan_out_tables import FanOutPositions, ToldJob, ToldJobs, ToldSchedule
from tests.conformance.store.conftest import CLAIM, NOW, Harness
from tests.fakes import events


async def test_a_job_is_read_with_the_attempt_that_is_asked_for(harness: Harness) -> None:
    """The first outcome of the attempt counts; the URL is read only if it is asked for; what does not exist is left out."""
    told = ToldJobs(harness.pool)
    first, second, missing = (new_job_id(NOW, 0, bytes(7) + bytes([number])) for number in range(3))
    spec = Spec(url="https://a.example/x", body='"\\u0000" ' * 10)
    await harness.write(
        0,
        events.asked(first, NOW, account="acme", spec=spec),
        events.asked(second, NOW, account="other", spec=Spec(url="https://b.example/y"), labels={"tenant": "ü"}),
        events.due(first, NOW, account="acme"),
        events.finished(first, NOW, ok=False, status_code=503, error="HTTP 503", duration_ms=7),
        events.finished(first, NOW, ok=True, status_code=200, duration_ms=8),
        events.due(second, NOW, account="other"),
    )

    wanted = [(first, 1), (first, 0), (second, 1), (missing, 1)]
    attempt = Attempt(first, 1, False, 503, "HTTP 503", 7, NOW)

    position, found = await told.jobs_of(0, wanted, with_urls=True)
    assert position == (await harness.tables.progress(0))[0]
    assert found == {
        (first, 1): ToldJob("acme", None, "https://a.example/x", attempt),
        (first, 0): ToldJob("acme", None, "https://a.example/x", None),
        (second, 1): ToldJob("other", None, "https://b.example/y", None, {"tenant": "ü"}),
    }
    assert {job.url for job in (await told.jobs_of(0, wanted, with_urls=False))[1].values()} == {None}
    assert await told.jobs_of(1, wanted, with_urls=True) == (-1, {})


async def test_what_was_kept_of_an_answer_is_read_of_the_attempts_that_are_named(harness: Harness) -> None:
    """As it is stored: sealed, with the id of its key."""
    told = ToldJobs(harness.pool)
    first, second = (new_job_id(NOW + 9, 0, bytes(7) + bytes([number])) for number in range(2))
    kept = Response(data=b"sealed", key="key_01m8mfsb6j000hnbjj6f4rh1ft")
    answered = {"ok": False, "status_code": 503, "error": "HTTP 503", "duration_ms": 7, "response": kept}
    await harness.write(
        0,
        *(events.asked(job, NOW, account="acme") for job in (first, second)),
        *(events.due(job, NOW, account="acme") for job in (first, second)),
        *(events.finished(job, NOW, **answered) for job in (first, second)),
    )

    wanted = [(first, 1), (second, 1), (second, 0)]
    _, found = await told.jobs_of(0, wanted, with_urls=False, answers=[(second, 1), (second, 0)])

    assert {key: job.response for key, job in found.items()} == {(first, 1): None, (second, 1): kept, (second, 0): None}


async def test_a_schedule_is_read_with_the_position_that_changed_it_last(harness: Harness) -> None:
    """Whose it is, and how far it is; what does not exist is left out."""
    told = ToldJobs(harness.pool)
    schedule, other, missing = (new_schedule_id(NOW, 0, bytes(7) + bytes([number])) for number in range(3))
    await harness.write(
        0,
        events.defined(other, NOW, labels={"tenant": "ü"}),
        events.created(schedule, NOW),
        events.ticked(schedule, NOW + 60_000),
    )

    position, found = await told.schedules_of(0, [schedule, other, missing])

    assert found == {
        schedule: ToldSchedule("acme", position),
        other: ToldSchedule("acme", position - 2, {"tenant": "ü"}),
    }
    assert await told.schedules_of(1, [schedule]) == (-1, {})


async def test_a_position_moves_forward_only(harness: Harness) -> None:
    """Of two processes that believe that they serve a partition, the one that is behind changes nothing."""
    positions = FanOutPositions(harness.pool)
    before = await positions.fanned_out(3)
    await positions.save_fan_out(3, 10, CLAIM)
    await positions.save_fan_out(3, 9, None)

    assert before[0] == -1
    assert await positions.fanned_out(3) == (10, CLAIM)
    assert await positions.progress(0) == await harness.tables.progress(0)
