"""
Histories: what a partition of a log may hold after a while, made up from a seed, every kind of event and of life in it.

Jobs that succeed, fail, are tried again, cancelled, told of, or wait for a far day; schedules that tick, pause, go on and end;
owners that follow each other and leave decisions behind that do not count; facts said twice; records that cannot be read or that a
newer build wrote. All of it interleaved as it would be.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import msgspec

from libs.events import (
    AttemptDue,
    AttemptFinished,
    Claim,
    Envelope,
    Event,
    HistoryForgotten,
    JobCancelRequested,
    JobChanged,
    JobChangeRefused,
    JobChangeRequested,
    JobFinished,
    JobMerged,
    JobMergeRequested,
    JobScheduled,
    JobStopRequested,
    LogBarrier,
    LogCarried,
    RowsCarried,
    RunPolicy,
    ScheduleAutopaused,
    ScheduleChanged,
    ScheduleDeleted,
    SchedulePaused,
    ScheduleRealigned,
    ScheduleResumed,
    ScheduleRule,
    ScheduleRunStopped,
    ScheduleSpawned,
    Spec,
    WebhookAttempted,
    WebhookFinished,
    WebhookRedeliverRequested,
    encode,
)
from libs.events.codec import kind_of
from libs.events.ids import delivery_id, new_job_id, new_schedule_id, partition_of
from libs.events.retry_policy import Outcome, RetryPolicy
from tests.fakes import events

NOW = 1_790_000_000_000
DAY_MS = 86_400_000
OPEN_MAX = 200  # lives under way at the same time
NEW_OWNER_EVERY = 400  # records
LAST_ERROR = "500 Internal Server Error"
HOOK_RETRIES = RetryPolicy(max_retries=2, delay_ms=5_000)


def history(partition: int, *, lives: int, seed: int = 1) -> Iterator[Envelope]:
    """Yield the records of *partition* in which *lives* jobs and schedules came and, most of them, went."""
    chance = random.Random(f"{seed} {partition}")
    claim = Claim(1, f"{'a' * 15}{partition % 10}")
    yield encode(events.claimed(claim, NOW, node="n1"))
    yield encode(LogBarrier(min_version=1, at=NOW))
    started, count = 0, 2
    running: list[Iterator[Event | Envelope]] = []
    while running or started < lives:
        if started < lives and (len(running) < OPEN_MAX or not running):
            running.append(_life(partition, started, chance))
            started += 1
        which = chance.randrange(len(running))
        said = next(running[which], None)
        if said is None:
            running[which] = running[-1]
            running.pop()
            continue
        envelope = said if isinstance(said, Envelope) else _seal(said, claim)
        yield envelope
        count += 1
        if chance.random() < 0.01:
            yield envelope  # said twice: a fact changes nothing, a decision is illegal and counted
            count += 1
        if count % NEW_OWNER_EVERY == 0:
            old, claim = claim, Claim(claim.epoch + 1, f"{claim.epoch + 1:016d}")
            yield encode(events.claimed(claim, NOW, node="n2"))
            yield encode(events.claimed(Claim(old.epoch, "late000000000000"), NOW, node="n3"))
            if envelope.claim is not None:
                yield envelope  # what the owner before had on its way
            yield Envelope("job.teleported", 1, False, None, envelope.key, b"{}")
            yield _seal(HistoryForgotten(through=count, success_before=NOW + started * 7, at=NOW), claim)
            yield _seal(RowsCarried(begin=0, table="over", rows=(msgspec.Raw(b'"job_of_before"'),), at=NOW), claim)
            yield _seal(LogCarried(begin=0, rows=1, at=NOW + count), claim)
            count += 7


def _seal(event: Event, claim: Claim) -> Envelope:
    return encode(event, claim if kind_of(event).role == "decision" else None)


def _spec(number: int, webhook: bool) -> Spec:
    return Spec(
        url=f"https://example.com/api/charge/{number}",
        headers={"Content-Type": "application/json", "Authorization": f"Bearer secret-{number:010d}"},
        body=f'{{"order": {number}, "note": "{"x" * 130}"}}',
        webhook_url="https://example.com/hook" if webhook else None,
        webhook_headers={"X-Key": "hook-secret"} if webhook else None,
        webhook_retry=HOOK_RETRIES if webhook and number % 2 else None,
    )


def _life(partition: int, number: int, chance: random.Random) -> Iterator[Event | Envelope]:
    at = NOW + number * 7
    if chance.random() < 0.02:
        return _schedule(partition, number, at, chance)
    return _job(partition, number, at, chance)


def _job(partition: int, number: int, at: int, chance: random.Random) -> Iterator[Event | Envelope]:
    job_id = new_job_id(at, partition, chance.randbytes(8))
    account = f"account{number % 7}"
    webhook = chance.random() < 0.2
    fire_at = at + chance.randrange(1_000, 3_600_000)
    kind = chance.choices(("done", "far", "cancelled", "torn", "open", "stopped"), (76, 8, 6, 1, 5, 4))[0]
    policy: dict[str, Any] = {}
    if kind == "stopped":
        policy = {"retry": RetryPolicy(max_retries=3), "expires_at": at + DAY_MS, "singleton_key": f"one {number}"}
    elif kind == "far" and number % 2 == 0:
        policy = {"waiting_key": f"many {number}"}
    if number % 4 == 1:
        policy["labels"] = {"kind": f"ü {number % 3}", "tenant": account}
    yield JobScheduled(
        job_id=job_id,
        account=account,
        at=at,
        spec=_spec(number, webhook),
        fire_at=fire_at if kind != "far" else at + 30 * DAY_MS,
        max_retries=3,
        idempotency_key=f"key {number}" if number % 5 == 0 else None,
        **policy,
    )
    if kind == "far":
        yield from _far(partition, job_id, number, at, webhook)
        return
    if kind == "cancelled":
        yield JobCancelRequested(job_id=job_id, at=at + 5)
        yield events.cancelled(job_id, at + 9, account=account, has_webhook=webhook, spec_id=job_id)
    else:
        tries = chance.choices((1, 2, 3), (85, 10, 5))[0]
        for attempt in range(1, tries + 1):
            yield _due(job_id, account, attempt, fire_at)
            if kind == "open":
                return
            if kind == "stopped":
                yield JobStopRequested(job_id=job_id, at=fire_at + 20)
                yield events.ended(
                    job_id,
                    fire_at + 25,
                    account=account,
                    status="failed",
                    last_error="stopped",
                    spec_id=job_id,
                    ended_by="stopped",
                )
                return
            if kind == "torn":
                yield Envelope("attempt.finished", 1, True, None, job_id, b'{"job_id":"job_01')
                return
            ok = attempt == tries and number % 9 != 0
            yield _finished(job_id, attempt, fire_at, ok=ok)
            if attempt < tries:
                yield events.retried(job_id, fire_at + 150, attempt + 1, fire_at=fire_at + 30_000)
                fire_at += 30_000
        yield _end(job_id, account, tries, fire_at, ok=number % 9 != 0, webhook=webhook)
    if webhook and number % 2:
        yield from _delivery(job_id, account, fire_at + 400, chance)
    elif webhook:
        yield WebhookFinished(job_id=job_id, at=fire_at + 400, ok=True, duration_ms=31, status_code=204)


def _far(partition: int, job_id: str, number: int, at: int, webhook: bool) -> Iterator[Event]:
    """Yield what becomes of a job that waits for a far day: it is changed, or other requests are merged into it."""
    if number % 2 == 0:
        yield from _merges(partition, job_id, number, at, _spec(number + 1, webhook))
    else:
        asked = JobChangeRequested(
            job_id=job_id,
            at=at + 3,
            request_id=f"{number:016x}",
            version=number % 3,
            fire_at=at + 31 * DAY_MS,
            spec=_spec(number, webhook),
            new_spec_id=new_job_id(at + 3, partition, number.to_bytes(8, "big")),
        )
        yield asked
        if number % 3:
            yield JobChangeRefused(job_id=job_id, at=at + 4, request_id=asked.request_id)
        else:
            yield JobChanged(job_id=job_id, at=at + 4, request_id=asked.request_id, fire_at=asked.fire_at)


def _merges(partition: int, job_id: str, number: int, at: int, spec: Spec) -> Iterator[Event]:
    """Yield requests to merge, one of them or two before the answer, and maybe one that has none."""
    fire_at = at + 32 * DAY_MS
    yield JobMergeRequested(
        job_id=job_id,
        at=at + 3,
        request_id=f"{number:016x}",
        how="replace",
        fire_at=fire_at,
        spec=spec,
        new_spec_id=new_job_id(at + 3, partition, number.to_bytes(8, "big")),
    )
    if number % 4:
        yield JobMergeRequested(
            job_id=job_id, at=at + 3, request_id=f"a{number:015x}", how="extend", fire_at=fire_at + DAY_MS
        )
    yield JobMerged(job_id=job_id, at=at + 4)
    if number % 3 == 0:
        yield JobMergeRequested(job_id=job_id, at=at + 5, request_id=f"b{number:015x}", how="extend", fire_at=fire_at)


def _delivery(job_id: str, account: str, at: int, chance: random.Random) -> Iterator[Event | Envelope]:
    told = delivery_id(job_id)
    for attempt in range(1, chance.randrange(2, 5)):
        outcome: Outcome = chance.choice(("success", "failure", "failure", "free"))
        yield WebhookAttempted(
            delivery_id=told,
            account=account,
            at=at,
            attempt=attempt,
            outcome=outcome,
            duration_ms=31,
            status_code=204 if outcome == "success" else 503,
            error=None if outcome == "success" else "HTTP 503",
            asked_ms=2_000 if outcome == "free" else None,
            job_id=job_id,
            event="job.completed",
            retry=HOOK_RETRIES if attempt == 1 else None,
            spec_id=job_id if attempt == 1 else None,
        )
        at += 20_000
        if outcome == "success":
            break
    if chance.random() < 0.3:
        yield WebhookRedeliverRequested(delivery_id=told, at=at, request_id=f"{chance.getrandbits(64):016x}")
    if chance.random() < 0.1:
        yield Envelope("webhook.attempted", 1, True, None, told, b'{"delivery_id":"whd_01')


def _schedule(partition: int, number: int, at: int, chance: random.Random) -> Iterator[Event]:
    schedule_id = new_schedule_id(at, partition, chance.randbytes(8))
    account, tick_at = f"account{number % 7}", at - at % 60_000 + 60_000
    later: dict[str, Any] = {}
    if chance.random() < 0.5:
        rule = ScheduleRule(cron="* * * * *", zone="Asia/Kolkata", exclude=("2026-12-24",), spread_s=20)
        yield events.defined(
            schedule_id,
            at,
            account=account,
            spec=_spec(number, False),
            rule=rule,
            next_run_at=tick_at + 7_000,
            next_tick_at=tick_at,
            zone_data="2026f",
            labels={"tenant": account} if number % 2 else None,
        )
        later = {"zone_data": "2026f", "version": 1}
    else:
        yield events.created(schedule_id, at, account=account, spec=_spec(number, False), next_run_at=tick_at)
    for tick in range(chance.randrange(1, 6)):
        if later and tick == 1:
            yield ScheduleRealigned(
                schedule_id=schedule_id,
                at=tick_at,
                was_tick_at=tick_at,
                was_zone_data="2026f",
                next_run_at=tick_at + 67_000,
                next_tick_at=tick_at + 60_000,
                zone_data="2026g",
                version=1,
            )
            tick_at += 60_000
            later |= {"zone_data": "2026g"}
        if later:
            later |= {"fire_at": tick_at + 7_000, "next_run_at": tick_at + 67_000, "next_tick_at": tick_at + 60_000}
        if later and tick == 3:
            yield events.ticked(schedule_id, tick_at, action="skipped", missed=(tick_at,), missed_count=1, **later)
            tick_at += 60_000
            continue
        yield (ticked := events.ticked(schedule_id, tick_at, at=tick_at - 2_000, missed_count=tick % 2, **later))
        job_id = ticked.job_id
        yield _due(job_id, account, 1, tick_at)
        yield _finished(job_id, 1, tick_at, ok=True)
        yield _end(job_id, account, 1, tick_at, ok=True, webhook=False)
        tick_at += 60_000
    if later:
        yield ScheduleChanged(
            schedule_id=schedule_id,
            at=tick_at,
            version=2,
            change_id=f"{number:016x}",
            rule=ScheduleRule(every_s=600),
            spec=_spec(number + 1, True),
            after_at=tick_at,
            next_run_at=tick_at + 600_000,
        )
        yield SchedulePaused(
            schedule_id=schedule_id, at=tick_at, note="later", until=tick_at, next_run_at=tick_at + 1_200_000, version=2
        )
        yield from _runs_that_meet(schedule_id, account, tick_at + 1_200_000)
    yield SchedulePaused(schedule_id=schedule_id, at=tick_at)
    if chance.random() < 0.7:
        version = 3 if later else 0
        yield ScheduleResumed(schedule_id=schedule_id, at=tick_at + 9, next_run_at=tick_at + 120_000, version=version)
    if chance.random() < 0.5:
        yield ScheduleDeleted(schedule_id=schedule_id, at=tick_at + 10)


def _runs_that_meet(schedule_id: str, account: str, at: int) -> Iterator[Event]:
    """Ticks of an interval of 10 minutes that wait for the end of a run, or take its place; then the runs fail."""
    runs = RunPolicy(overlap="replace", pause_after_failures=1)
    rule, later = ScheduleRule(every_s=600), {"version": 3}
    yield ScheduleChanged(schedule_id=schedule_id, at=at - 9, version=3, change_id="runs", rule=rule, runs=runs)
    yield (first := events.ticked(schedule_id, at, next_run_at=at + 600_000, **later))
    yield _due(first.job_id, account, 1, at)
    waits = {"action": "buffered", "reason": "overlap"}
    yield (second := events.ticked(schedule_id, at + 600_000, next_run_at=at + 1_200_000, **waits, **later))
    yield ScheduleRunStopped(schedule_id=schedule_id, at=at + 600_001, job_id=first.job_id)
    end = {"account": account, "status": "failed", "schedule_id": schedule_id}
    yield events.ended(first.job_id, at + 600_002, last_error="replaced", ended_by="replaced", **end)
    yield ScheduleSpawned(
        schedule_id=schedule_id, at=at + 600_003, tick_at=second.tick_at, job_id=second.job_id, fire_at=at + 600_003
    )
    yield _due(second.job_id, account, 1, at + 600_003)
    yield JobScheduled(
        job_id=new_job_id(at + 600_004, partition_of(schedule_id), bytes(8)),
        account=account,
        at=at + 600_004,
        spec=_spec(1, False),
        fire_at=at + 9_000_000,
        schedule_id=schedule_id,
        is_tracked=True,
    )
    yield _finished(second.job_id, 1, at + 600_003, ok=False)
    yield events.ended(second.job_id, at + 600_200, last_error=LAST_ERROR, status_code=500, **end)
    yield ScheduleAutopaused(schedule_id=schedule_id, account=account, at=at + 600_300, failures=1, version=3)


def _due(job_id: str, account: str, attempt: int, fire_at: int) -> AttemptDue:
    return events.due(job_id, fire_at, attempt, account=account, at=fire_at - 75)


def _finished(job_id: str, attempt: int, fire_at: int, *, ok: bool) -> AttemptFinished:
    return events.finished(
        job_id,
        fire_at + 1,
        attempt,
        at=fire_at + 145,
        ok=ok,
        duration_ms=143,
        status_code=200 if ok else 500,
        error=None if ok else LAST_ERROR,
    )


def _end(job_id: str, account: str, attempt: int, fire_at: int, *, ok: bool, webhook: bool) -> JobFinished:
    return events.ended(
        job_id,
        fire_at + 150,
        attempt,
        account=account,
        status="completed" if ok else "failed",
        status_code=200 if ok else 500,
        last_error=None if ok else LAST_ERROR,
        has_webhook=webhook,
        spec_id=job_id,
    )
