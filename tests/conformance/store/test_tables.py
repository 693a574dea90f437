"""What owners and dispatchers read back."""

from libs.domain import job
from libs.domain import schedule as schedules
from libs.domain.job import JobStatus
from libs.domain.schedule import ScheduleStatus
from libs.events.ids import new_schedule_id
from libs.store.reads.partition_tables import CHUNK
from tests.conformance.store.conftest import CLAIM, NOW, Harness, schedule, state
from tests.fakes import events


async def test_due_jobs_come_in_the_order_of_their_instants_up_to_the_limit(harness: Harness) -> None:
    """Only waiting jobs that are not held, only before the bound, earliest first."""
    await harness.put(
        *[state(n, fire_at=NOW + (n * 37) % 100) for n in range(50)],
        state(60, JobStatus.RETRYING, fire_at=NOW - 1),
        state(61, held=True, fire_at=NOW - 2),
        state(62, JobStatus.RUNNING, fire_at=NOW - 3),
        state(63, JobStatus.CANCELLED, fire_at=NOW - 4),
    )
    due = await harness.tables.load_due(job.KIND, 0, NOW + 50, 10)
    assert [job.fire_at for job in due] == sorted([NOW - 1, *(NOW + (n * 37) % 100 for n in range(50))])[:10]
    assert due[0].status is JobStatus.RETRYING
    everything = await harness.tables.load_due(job.KIND, 0, NOW + 50, 1000)
    assert {job.fire_at < NOW + 50 for job in everything} == {True}
    assert await harness.tables.load_due(job.KIND, 1, NOW + 50, 10) == []
    later = await harness.tables.load_due(job.KIND, 0, NOW + 50, 1000, since=NOW + 20)
    assert later == [job for job in everything if job.fire_at >= NOW + 20]


async def test_one_accounts_jobs_can_be_left_out_or_taken_alone(harness: Harness) -> None:
    """What is loaded without an account and what is loaded of it make up the whole; the bounds are the same."""
    await harness.put(*[state(n, fire_at=NOW + n, account="hog" if n % 3 else "other") for n in range(30)])
    everything = await harness.tables.load_due(job.KIND, 0, NOW + 20, 1000)
    others = await harness.tables.load_due(job.KIND, 0, NOW + 20, 1000, avoid=["hog", "nobody"])
    hogs = await harness.tables.load_backlog(0, "hog", NOW + 20, 1000)
    assert others == [job for job in everything if job.account == "other"]
    assert hogs == [job for job in everything if job.account == "hog"]
    assert await harness.tables.load_backlog(0, "hog", NOW + 20, 3) == hogs[:3]
    assert await harness.tables.load_backlog(1, "hog", NOW + 20, 3) == []


async def test_a_large_load_lets_others_run_in_between(harness: Harness) -> None:
    """States are made in chunks; all of them come, in order."""
    await harness.put(*[state(n, fire_at=NOW + n) for n in range(2 * CHUNK + 1)])
    due = await harness.tables.load_due(job.KIND, 0, NOW * 2, 10_000)
    assert [job.fire_at - NOW for job in due] == list(range(2 * CHUNK + 1))


async def test_open_jobs_are_what_a_new_owner_must_know(harness: Harness) -> None:
    """Running, finishing, and those whose cancel waits for an answer; held ones too."""
    jobs = [
        state(1, JobStatus.RUNNING),
        state(2, JobStatus.FINISHING, held=True),
        state(3, cancel_requested=True),
    ]
    await harness.put(*jobs, state(4), state(5, JobStatus.RETRYING), state(6, JobStatus.FAILED))
    assert {job.job_id: job for job in await harness.tables.load_open(0)} == {job.job_id: job for job in jobs}


async def test_running_attempts_come_with_position_and_claim(harness: Harness) -> None:
    """The snapshot holds the due events of the running jobs, and what position that is the truth of."""
    schedule_id = new_schedule_id(NOW, 0, bytes(8))
    running = state(1, JobStatus.RUNNING, attempt=3, fire_at=NOW + 5, schedule_id=schedule_id, timeout_ms=77)
    await harness.put(running, state(2, JobStatus.FINISHING), state(3, JobStatus.RUNNING, held=True), state(4))
    assert await harness.tables.running(0) == (
        0,
        CLAIM,
        [
            events.due(
                running.job_id,
                NOW + 5,
                3,
                scheduled_at=NOW,
                timeout_ms=77,
                spec_id=schedule_id,
                schedule_id=schedule_id,
            )
        ],
    )


async def test_schedules_that_tick_before_an_instant(harness: Harness) -> None:
    """Only active ones that are not held and run again, earliest first."""
    wanted = [schedule(n) for n in (3, 4, 5)]
    await harness.put(
        *reversed(wanted),
        schedule(1, status=ScheduleStatus.PAUSED),
        schedule(2, held=True),
        schedule(6, next_run_at=None),
        schedule(90),
    )
    assert await harness.tables.load_due(schedules.KIND, 0, NOW + 90, 10) == wanted
    assert await harness.tables.load_due(schedules.KIND, 0, NOW + 90, 2) == wanted[:2]
    assert await harness.tables.load_due(schedules.KIND, 0, NOW + 90, 10, since=NOW + 4) == wanted[1:]


async def test_what_does_not_exist_is_left_out(harness: Harness) -> None:
    """Loading unknown ids gives nothing, and so do ids of another partition."""
    job = state(1)
    await harness.put(job)
    assert await harness.tables.load(0, [job.job_id, new_schedule_id(NOW, 0, bytes(8))]) == [job]
    assert await harness.tables.load(1, [job.job_id]) == []
    assert await harness.tables.load(0, []) == []
    assert await harness.tables.stored_specs([job.job_id], size_max=None) == {}
    assert await harness.tables.progress(77) == (-1, None)
