"""
Random histories of one partition: a list of records as a log may hold them.

Decisions of the owner and of others, facts once and again, too early and too late, records that cannot be read, records of what
does not exist.
"""

from __future__ import annotations

from hypothesis import strategies as st

from libs.events import (
    AttemptDue,
    AttemptFinished,
    Claim,
    Envelope,
    Event,
    JobCancelRequested,
    JobChanged,
    JobChangeRefused,
    JobChangeRequested,
    JobScheduled,
    JobStopRequested,
    ScheduleChanged,
    ScheduleCreated,
    ScheduleDefined,
    ScheduleDeleted,
    SchedulePaused,
    ScheduleResumed,
    ScheduleRule,
    ScheduleTicked,
    Spec,
    WebhookFinished,
    encode,
)
from libs.events.ids import new_job_id, new_schedule_id, tick_job_id
from tests.fakes import events

NOW = 1_800_000_000_000
MINUTE = 60_000
CLAIMS = (Claim(1, "a" * 16), Claim(1, "b" * 16), Claim(2, "c" * 16))
JOBS = [new_job_id(NOW, 0, bytes([n]) * 8) for n in range(2)]
SCHEDULE = new_schedule_id(NOW, 0, bytes(8))
TICK_JOBS = [tick_job_id(SCHEDULE, NOW + n * MINUTE) for n in (1, 2)]
jobs = st.sampled_from([*JOBS, *TICK_JOBS])
attempts = st.integers(1, 3)
instants = st.integers(0, 5).map(lambda n: NOW + n * MINUTE)


def due(job_id: str, attempt: int) -> AttemptDue:
    return events.due(job_id, NOW, attempt, timeout_ms=1_000)


def finished(job_id: str, attempt: int, ok: bool) -> AttemptFinished:
    return events.finished(job_id, NOW, attempt, ok=ok)


def tick(minute: int, step: int, version: int, spread: int) -> ScheduleTicked:
    next_run_at = NOW + (minute + step) * MINUTE if step else None
    changes = {"next_run_at": next_run_at, "version": version}
    if spread and next_run_at:
        changes |= {
            "next_run_at": next_run_at + spread,
            "next_tick_at": next_run_at,
            "fire_at": NOW + minute * MINUTE + spread,
        }
    if spread and step == 2:
        changes |= {"action": "skipped", "fire_at": None, "missed": (NOW + minute * MINUTE,), "missed_count": 1}
    return events.ticked(SCHEDULE, NOW + minute * MINUTE, at=NOW, **changes)


def scheduled(job_id: str, at: int, retries: int) -> JobScheduled:
    spec = Spec(url="https://example.com/", webhook_url=None if retries else "https://example.com/hook")
    return events.asked(job_id, at, spec=spec, max_retries=retries)


def created(at: int) -> ScheduleCreated:
    return events.created(SCHEDULE, at, next_run_at=NOW + MINUTE)


def changed(version: int, after: int, moves: bool, spec: bool) -> ScheduleChanged:
    after_at = NOW + after * MINUTE if moves else None
    return ScheduleChanged(
        schedule_id=SCHEDULE,
        at=NOW,
        version=version,
        change_id=f"{version}{after}",
        rule=ScheduleRule(every_s=60),
        spec=Spec(url="https://example.com/changed") if spec else None,
        after_at=after_at,
        next_run_at=NOW + (after + 1) * MINUTE if moves else None,
    )


def paused_until(minute: int, version: int) -> SchedulePaused:
    at = NOW + minute * MINUTE
    return SchedulePaused(schedule_id=SCHEDULE, at=NOW, note="n", until=at, next_run_at=at, version=version)


def defined(at: int, spread: int) -> ScheduleDefined:
    next_tick_at = NOW + MINUTE if spread else None
    return events.defined(SCHEDULE, at, next_run_at=NOW + MINUTE + spread, next_tick_at=next_tick_at, max_runs=3)


def changing(job_id: str, at: int, version: int, name: str) -> JobChangeRequested:
    return JobChangeRequested(job_id=job_id, at=NOW, request_id=name, version=version, fire_at=at)


facts: st.SearchStrategy[Event] = st.one_of(
    st.builds(scheduled, st.sampled_from(JOBS), instants, st.integers(0, 2)),
    st.builds(lambda job_id, at: JobCancelRequested(job_id=job_id, at=at), jobs, instants),
    st.builds(changing, jobs, instants, st.integers(0, 2), st.sampled_from("ab")),
    st.builds(lambda job_id, at: JobStopRequested(job_id=job_id, at=at), jobs, instants),
    st.builds(finished, jobs, attempts, st.booleans()),
    st.builds(lambda job_id, ok: WebhookFinished(job_id=job_id, at=NOW, ok=ok, duration_ms=1), jobs, st.booleans()),
    st.builds(created, instants),
    st.builds(defined, instants, st.sampled_from([0, 500])),
    st.just(SchedulePaused(schedule_id=SCHEDULE, at=NOW)),
    st.just(SchedulePaused(schedule_id=SCHEDULE, at=NOW, note="closed", version=1)),
    st.builds(paused_until, st.integers(1, 4), st.integers(0, 2)),
    st.builds(changed, st.integers(1, 3), st.integers(0, 3), st.booleans(), st.booleans()),
    st.builds(
        lambda at, version: ScheduleResumed(schedule_id=SCHEDULE, at=NOW, next_run_at=at, version=version),
        instants,
        st.sampled_from([0, 1, 1, 2]),
    ),
    st.just(ScheduleDeleted(schedule_id=SCHEDULE, at=NOW)),
)
decisions: st.SearchStrategy[Event] = st.one_of(
    st.builds(
        lambda job_id, at, name: JobChanged(job_id=job_id, at=NOW, request_id=name, fire_at=at),
        jobs,
        instants,
        st.sampled_from("ab"),
    ),
    st.builds(
        lambda job_id, name: JobChangeRefused(job_id=job_id, at=NOW, request_id=name), jobs, st.sampled_from("ab")
    ),
    st.builds(due, jobs, attempts),
    st.builds(lambda job_id, attempt: events.retried(job_id, NOW, attempt + 1), jobs, attempts),
    st.builds(lambda job_id: events.cancelled(job_id, NOW), jobs),
    st.builds(
        lambda job_id, status, attempt: events.ended(job_id, NOW, attempt, status=status),
        jobs,
        st.sampled_from(["completed", "failed"]),
        attempts,
    ),
    st.builds(tick, st.integers(1, 4), st.integers(0, 2), st.sampled_from([0, 1, 1, 2]), st.sampled_from([0, 500])),
)
claims = st.sampled_from(CLAIMS).map(lambda claim: events.claimed(claim, NOW))
sealed: st.SearchStrategy[Envelope] = st.one_of(
    facts.map(encode),
    st.builds(encode, decisions, st.sampled_from([CLAIMS[0], CLAIMS[0], CLAIMS[0], CLAIMS[2]])),
    claims.map(encode),
)
strange: st.SearchStrategy[Envelope] = st.one_of(
    st.builds(lambda each, size: each._replace(value=each.value[:size]), sealed, st.integers(0, 20)),
    sealed.map(lambda each: each._replace(type="quota.granted", must_understand=False)),
)
histories = st.lists(st.one_of(sealed, sealed, sealed, sealed, strange), max_size=40).map(
    lambda rest: [encode(events.claimed(CLAIMS[0], NOW)), *rest]
)
