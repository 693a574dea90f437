"""The rules that judge the records of a log: quiet about a good one, and each breach has the name of its invariant."""

from __future__ import annotations

from typing import Any

from libs.events import (
    AttemptDue,
    Claim,
    Event,
    JobScheduled,
    OwnerClaimed,
    RunPolicy,
    ScheduleDefined,
    ScheduleRule,
    ScheduleTicked,
    Spec,
    encode,
)
from libs.events.ids import execution_id, new_job_id, new_schedule_id, tick_job_id
from tests.chaos.judging.log_rules import LogRules
from tests.fakes.running.sink import Arrival

AT = 1_700_000_000_000
CLAIM = Claim(1, "0123456789abcdef")
SCHEDULE = new_schedule_id(AT, 0, b"12345678")
JOB = new_job_id(AT, 0, b"87654321")
SPEC = Spec(url="http://127.0.0.1:1/ok/a")


def broken(*events: Event, arrivals: tuple[Arrival, ...] = ()) -> list[str]:
    """Return the names of what is broken in a log of *events*."""
    rules = LogRules(0)
    claimed = OwnerClaimed(epoch=CLAIM.epoch, nonce=CLAIM.nonce, node="n", at=AT)
    for position, event in enumerate((claimed, *events)):
        is_decision = isinstance(event, ScheduleTicked | AttemptDue)
        envelope = encode(event, CLAIM) if is_decision else encode(event)
        rules.take(position, envelope)
    return [name for name, _ in rules.broken(arrivals, "http://127.0.0.1:1", [])]


def defined(runs: RunPolicy | None) -> ScheduleDefined:
    rule = ScheduleRule(every_s=2)
    return ScheduleDefined(
        schedule_id=SCHEDULE, account="a", at=AT, spec=SPEC, rule=rule, next_run_at=AT + 2_000, runs=runs
    )


def ticked(number: int, **more: Any) -> ScheduleTicked:
    at = AT + number * 2_000
    job_id = tick_job_id(SCHEDULE, at)
    fields = {"at": at - 50, "tick_at": at, "job_id": job_id, "next_run_at": at + 2_000, "version": 1, **more}
    return ScheduleTicked(schedule_id=SCHEDULE, **fields)


def test_runs_that_meet_are_found() -> None:
    """Two ticks of a schedule that allows it are in order; of one that does not, the second is a breach."""
    assert broken(defined(None), ticked(1), ticked(2)) == []
    assert broken(defined(RunPolicy(overlap="skip")), ticked(1), ticked(2)) == ["overlap_broken"]


def test_a_tick_with_two_jobs_is_found() -> None:
    """A back-fill gave the tick a job of another id."""
    other = JobScheduled(
        job_id=JOB, account="a", at=AT + 3_000, spec=SPEC, fire_at=AT + 3_000, schedule_id=SCHEDULE, tick_at=AT + 2_000
    )
    assert broken(defined(None), ticked(1), other) == ["tick_doubled"]


def test_a_call_after_the_expiry_is_found() -> None:
    """By the arrival: the log itself says that the attempt was due in time."""
    job = JobScheduled(job_id=JOB, account="a", at=AT, spec=SPEC, fire_at=AT + 100, expires_at=AT + 1_000)
    due = AttemptDue(
        job_id=JOB,
        at=AT + 50,
        attempt=1,
        execution_id=execution_id(JOB, 1),
        not_before=AT + 100,
        scheduled_at=AT + 100,
        too_late_at=AT + 1_000,
        timeout_ms=30_000,
        account="a",
        spec_id=JOB,
    )

    def arrived(at: float) -> Arrival:
        headers = {"X-Fliq-Job-Id": JOB, "X-Fliq-Attempt": "1"}
        return Arrival(at=at, method="POST", path="/ok/a", query="", headers=headers, raw_headers=(), body=b"a")

    assert broken(job, due, arrivals=(arrived(AT + 101),)) == []
    assert broken(job, due, arrivals=(arrived(AT + 2_000),)) == ["policy_ignored"]
