"""Generated rows for the store's tests: any state that the tables must carry, whether or not a log could lead to it."""

from hypothesis import strategies as st

from libs.domain.job import MAX_OFFSETS, JobState, JobStatus
from libs.domain.jobs.delivery import DeliveryState, DeliveryStatus
from libs.domain.jobs.optional_state import JobChange, JobMore
from libs.domain.schedule import ScheduleState, ScheduleStatus
from libs.domain.schedules.optional_state import ScheduleMore
from libs.events import RunPolicy, SchedulePolicy, ScheduleRule
from libs.events.fields import MAX_INSTANT
from libs.events.ids import delivery_id, new_job_id, new_schedule_id
from libs.events.retry_policy import JobTerms, RetryPolicy
from libs.store.projection.changes import ExecutionRow

instants = st.integers(0, MAX_INSTANT)
durations = st.integers(0, 10 * 366 * 86_400_000)
positions = st.integers(0, 2**62)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)
accounts = st.text("abcXYZ019_.-", min_size=1, max_size=64)


def job_ids(partition: int) -> st.SearchStrategy[str]:
    """Ids of jobs that live in *partition*."""
    return st.builds(new_job_id, instants, st.just(partition), st.binary(min_size=8, max_size=8))


def schedule_ids(partition: int) -> st.SearchStrategy[str]:
    """Ids of schedules that live in *partition*."""
    return st.builds(new_schedule_id, instants, st.just(partition), st.binary(min_size=8, max_size=8))


job_mores = st.builds(
    JobMore,
    retry=st.none()
    | st.builds(RetryPolicy, delay_ms=st.none() | durations, retry_on=st.none() | st.just(("5xx", "429"))),
    success_on=st.none() | st.just(("2xx", "404")),
    expires_at=st.none() | instants,
    free_count=st.integers(0, 1_000),
    snooze_count=st.integers(0, 100),
    outcome=st.none() | st.sampled_from(["free", "snoozed", "stopped"]),
    stop=st.none() | st.just("stopped"),
    version=st.integers(0, 10**12),
    changes=st.lists(
        st.builds(JobChange, request_id=texts, version=st.integers(0, 9), fire_at=instants), max_size=3
    ).map(tuple),
    changed_ids=st.lists(texts, max_size=8).map(tuple),
    ended_by=st.none() | st.sampled_from(["expired", "stopped_by_target"]),
    trigger=st.none() | st.sampled_from(["catchup", "manual"]),
    local_time=st.none() | texts,
    is_tracked=st.booleans(),
)


def job_states(partition: int) -> st.SearchStrategy[JobState]:
    """Job states with every field drawn freely within its bounds."""
    return st.builds(
        JobState,
        job_id=job_ids(partition),
        account=accounts,
        schedule_id=st.none() | schedule_ids(partition),
        status=st.sampled_from(JobStatus),
        attempt=st.integers(0, 1000),
        max_retries=st.integers(0, 999),
        timeout_ms=durations,
        has_webhook=st.booleans(),
        cancel_requested=st.booleans(),
        held=st.booleans(),
        scheduled_at=instants,
        fire_at=instants,
        created_at=instants,
        started_at=st.none() | instants,
        completed_at=st.none() | instants,
        last_ok=st.none() | st.booleans(),
        last_status_code=st.none() | st.integers(0, 99_999),
        last_error=st.none() | texts,
        retry_after_ms=st.none() | durations,
        idempotency_key=st.none() | texts,
        replay_of=st.none() | job_ids(partition),
        shared_spec_id=st.none() | job_ids(partition),
        webhook_at=st.none() | instants,
        offsets=st.lists(positions, max_size=MAX_OFFSETS).map(tuple),
        more=st.none() | job_mores,
    )


rules = st.builds(
    ScheduleRule,
    cron=st.none() | texts,
    every_s=st.none() | st.integers(1, 31_536_000),
    anchor_at=instants,
    zone=st.sampled_from(["UTC", "Europe/Berlin"]),
    exclude=st.lists(st.just("2026-12-24/2026-12-26"), max_size=2).map(tuple),
    spread_s=st.none() | st.integers(1, 86_400),
)
mores = st.builds(
    ScheduleMore,
    rule=rules,
    version=st.integers(1, 10**12),
    next_tick_at=st.none() | instants,
    zone_data=texts,
    max_runs=st.none() | st.integers(1, 10**9),
    terms=st.none() | st.builds(JobTerms, expires_in_ms=st.none() | durations),
    run_count=st.integers(0, 10**12),
    missed_count=st.integers(0, 10**12),
    change_ids=st.lists(texts, max_size=8).map(tuple),
    paused_until=st.none() | instants,
    note=st.none() | texts,
    key=st.none() | texts,
    policy=st.none() | st.builds(SchedulePolicy, misfire=st.sampled_from(["skip", "fire_all"])),
    is_catching_up=st.booleans(),
    runs=st.none() | st.builds(RunPolicy, overlap=st.sampled_from(["skip", "replace"]), buffer_max=st.integers(1, 100)),
    grace_until=st.none() | instants,
    active=st.lists(job_ids(0), max_size=3).map(tuple),
    buffered=st.lists(instants, max_size=3).map(tuple),
    skipped_count=st.integers(0, 10**12),
    failures_in_row=st.integers(0, 100),
    owes_now=st.booleans(),
    offsets=st.lists(positions, max_size=4).map(tuple),
)


def schedule_states(partition: int) -> st.SearchStrategy[ScheduleState]:
    """Schedule states with every field drawn freely within its bounds."""
    return st.builds(
        ScheduleState,
        schedule_id=schedule_ids(partition),
        account=accounts,
        status=st.sampled_from(ScheduleStatus),
        cron=texts,
        max_retries=st.integers(0, 999),
        timeout_ms=durations,
        has_webhook=st.booleans(),
        held=st.booleans(),
        created_at=instants,
        next_run_at=st.none() | instants,
        last_run_at=st.none() | instants,
        changed_at=positions,
        more=st.none() | mores,
        changed_spec_id=st.none() | job_ids(partition),
    )


policies = st.builds(
    RetryPolicy,
    max_retries=st.integers(0, 999),
    backoff=st.sampled_from(["fixed", "linear", "exponential"]),
    delay_ms=st.none() | st.integers(0, 604_800_000),
    max_elapsed_ms=st.none() | st.integers(0, 604_800_000),
    retry_on=st.none() | st.just(("5xx", "timeout")),
)


def delivery_states(partition: int) -> st.SearchStrategy[DeliveryState]:
    """Delivery states with every field drawn freely within its bounds."""
    return st.builds(
        DeliveryState,
        delivery_id=st.builds(delivery_id, job_ids(partition)),
        account=accounts,
        job_id=job_ids(partition),
        event=texts,
        status=st.sampled_from(DeliveryStatus),
        held=st.booleans(),
        attempt=st.integers(0, 1000),
        charged=st.integers(0, 1000),
        free_count=st.integers(0, 1000),
        snooze_count=st.integers(0, 1000),
        created_at=instants,
        next_at=st.none() | instants,
        last_at=instants,
        last_status_code=st.none() | st.integers(0, 99_999),
        last_error=st.none() | texts,
        policy=policies,
        spec_id=st.none() | texts,
        last_request_id=st.none() | texts,
        offsets=st.lists(positions, max_size=MAX_OFFSETS).map(tuple),
    )


def execution_rows(partition: int) -> st.SearchStrategy[ExecutionRow]:
    """Execution rows with every field drawn freely within its bounds."""
    return st.builds(
        ExecutionRow,
        job_id=job_ids(partition),
        attempt=st.integers(1, 1000),
        executed_at=instants,
        ok=st.none() | st.booleans(),
        status_code=st.none() | st.integers(0, 99_999),
        error=st.none() | texts,
        duration_ms=st.none() | durations,
        error_detail=st.none() | texts,
        resent=st.none() | st.just(True),
    )
