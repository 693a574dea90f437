"""Sums that prove ended jobs whose records were trimmed."""

from __future__ import annotations

import msgspec
import pytest

from libs.domain.history.floors import Floors
from libs.domain.job import JobState, JobStatus
from libs.domain.ledger import Applied, Verdict
from libs.events import LogCarried, RowsCarried
from libs.store.carried import seals
from libs.store.carried.seals import FAILED, HOUR_MS, MARGIN_MS, SUCCESS, USAGE, Apart, Ended, Seals, Sum
from libs.store.projection.changes import ExecutionRow

HOUR = 500_000 * HOUR_MS
JOB = JobState(
    job_id="job_01mcc5rm3v001h4d2pf28aqkff",
    account="acme",
    schedule_id=None,
    max_retries=1,
    scheduled_at=HOUR,
    fire_at=HOUR,
    created_at=HOUR - 5,
    has_webhook=True,
    status=JobStatus.COMPLETED,
    attempt=1,
    completed_at=HOUR + 17,
    offsets=(3, 4, 5),
)
TRY = ExecutionRow(JOB.job_id, 1, HOUR, ok=True, status_code=200)
SPEC = b'{"url":"https://example.com/"}'


def hash_of(job: JobState = JOB, executions: tuple[ExecutionRow, ...] = (TRY,), spec: bytes = SPEC) -> int:
    """Return the hash of the job, of which something may be said to be otherwise."""
    return seals.hash_of(job, executions, spec)


def test_a_hash_is_the_same_whatever_build_makes_it() -> None:
    """It stands in the log for as long as the history is kept, so it must not change; nor with what comes after the end."""
    assert hash_of() == 915_592_592_351_420_271
    assert hash_of(msgspec.structs.replace(JOB, webhook_at=HOUR + 99, offsets=(3, 4, 5, 9))) == hash_of()


@pytest.mark.parametrize(
    "changed",
    [
        hash_of(msgspec.structs.replace(JOB, last_error="x")),
        hash_of(msgspec.structs.replace(JOB, completed_at=HOUR + 18)),
        hash_of(msgspec.structs.replace(JOB, status=JobStatus.CANCELLED)),
        hash_of(executions=()),
        hash_of(executions=(TRY._replace(duration_ms=1),)),
        hash_of(spec=SPEC + b" "),
    ],
)
def test_everything_else_is_hashed(changed: int) -> None:
    """The row, the attempts, and what was called."""
    assert changed != hash_of()


def test_an_hour_is_sealed_long_after_its_end() -> None:
    """No owner decides an end in it any more."""
    assert seals.sealed_until(HOUR + MARGIN_MS) == HOUR
    assert seals.sealed_until(HOUR + MARGIN_MS - 1) == HOUR - HOUR_MS
    assert seals.sealed_until(0) == 0


def test_successes_and_failures_are_summed_apart() -> None:
    """They are forgotten at different times."""
    failed = msgspec.structs.replace(JOB, status=JobStatus.FAILED, completed_at=HOUR + HOUR_MS - 1)
    cancelled = msgspec.structs.replace(JOB, status=JobStatus.CANCELLED)

    found = seals.summed(Ended(each, 7, 0) for each in (JOB, failed, cancelled))

    assert found == {(SUCCESS, HOUR): Sum(2, 14), (FAILED, HOUR): Sum(1, 7)}


def test_sums_stay_within_63_bits() -> None:
    """They are kept as signed numbers of 64 bits."""
    most = (1 << 63) - 1
    assert Sum(1, most).plus(2) == Sum(2, 1)
    sums = {(SUCCESS, HOUR): Sum(1, most)}
    seals.add(sums, {(SUCCESS, HOUR): Sum(1, 2), (FAILED, HOUR): Sum(1, 1)})
    assert sums == {(SUCCESS, HOUR): Sum(2, 1), (FAILED, HOUR): Sum(1, 1)}


def test_what_differs_is_named() -> None:
    """Rows that are gone, that came, or that were changed; not in an hour with which the janitor may have begun."""
    sealed = {(SUCCESS, HOUR): Sum(2, 9), (FAILED, HOUR): Sum(1, 5), (USAGE, HOUR): Sum(1, 3)}
    stored = {(SUCCESS, HOUR): Sum(2, 8), (FAILED, HOUR): Sum(1, 5), (FAILED, HOUR + HOUR_MS): Sum(1, 1)}

    found = list(seals.apart(sealed, stored, Floors(success_before=HOUR)))

    assert found == [
        Apart((FAILED, HOUR + HOUR_MS), Sum(1, 1), Sum()),
        Apart((SUCCESS, HOUR), Sum(2, 8), Sum(2, 9)),
        Apart((USAGE, HOUR), Sum(), Sum(1, 3)),
    ]
    forgetting = Floors(success_before=HOUR + 1, failed_before=HOUR + 2 * HOUR_MS)
    assert [each.key for each in seals.apart(sealed, stored, forgetting)] == [(USAGE, HOUR)]


def test_the_newest_seals_count_once_they_are_whole() -> None:
    """Each end of what is carried replaces the seals of before; what is void, or has no end yet, changes nothing."""
    found = Seals()

    def take(event: RowsCarried | LogCarried, verdict: Verdict = Verdict.APPLIED) -> None:
        found.take(Applied(verdict, event))

    def rows(begin: int, count: int) -> RowsCarried:
        row = seals.seal_row((SUCCESS, HOUR), Sum(count, 1))
        return RowsCarried(begin=begin, table="seals", rows=(msgspec.Raw(msgspec.json.encode(row)),), at=HOUR)

    take(rows(5, 1))
    assert found.known == {}
    take(LogCarried(begin=5, rows=1, sealed_before=HOUR, at=HOUR))
    assert (found.known, found.before) == ({(SUCCESS, HOUR): Sum(1, 1)}, HOUR)
    take(rows(9, 2), Verdict.VOID)
    take(LogCarried(begin=9, rows=1, sealed_before=HOUR + 1, at=HOUR), Verdict.VOID)
    take(rows(9, 3))
    take(LogCarried(begin=9, rows=1, sealed_before=HOUR + HOUR_MS, at=HOUR))
    assert (found.known, found.before) == ({(SUCCESS, HOUR): Sum(3, 1)}, HOUR + HOUR_MS)
