"""The decider and an account's daily limit: what waits, what does not, and what stays in memory."""

from __future__ import annotations

from libs.domain.instants import DAY_MS, day_of, next_midnight
from libs.events import AttemptDue, Claim, Event, OwnerClaimed
from services.scheduler.daily.daily_permits import DailyPermits
from services.scheduler.decider import REFUSED_LEAST
from tests.fakes import events
from tests.unit.scheduler.harness import NOW, OURS, Harness, asked, cancel, finished, job

TOMORROW = next_midnight(NOW)


def limited(limit: int) -> tuple[Harness, DailyPermits]:
    """A decider for which the account `acme` has a daily limit."""
    harness = Harness()
    harness.decider.extend(TOMORROW + DAY_MS)
    permits = harness.decider.permits = DailyPermits(lambda account: limit if account == "acme" else 0)
    return harness, permits


def answer(harness: Harness, number: int, *, now: int = NOW, also_refused: bool = False) -> None:
    """Grant the only thing that is asked for up to *number*."""
    (ask,) = harness.decider.asks(now, also_refused=also_refused)
    harness.decider.granted(ask, number)


def jobs_of(decisions: list[Event]) -> list[str]:
    """Return the jobs that are due."""
    return [each.job_id for each in decisions if isinstance(each, AttemptDue)]


def test_a_job_waits_for_its_permit_and_others_do_not() -> None:
    """The jobs of an account without a limit pass; the others follow when they are granted, and no more than that."""
    harness, _ = limited(5)
    harness.read(
        *[asked(job(n), in_ms=-1) for n in range(3)],
        asked(job(9), in_ms=-1, account="free"),
        claim=harness.decider.claim,
    )

    assert jobs_of(harness.decide()) == [job(9)]
    answer(harness, 2)
    assert jobs_of(harness.decide()) == [job(0), job(1)]


def test_a_job_that_waits_for_its_permit_has_not_fired() -> None:
    """It can be cancelled; the permit is given back."""
    harness, permits = limited(5)
    harness.read(asked(job(1), in_ms=-1))
    harness.decide()
    answer(harness, 1)
    harness.read(cancel(job(1)))
    assert harness.kinds() == ["job.cancelled"]
    harness.decide()
    (back,) = harness.decider.asks(NOW, also_refused=False)
    assert (back.used, back.need) == (0, 0)
    assert permits.is_open is False


def test_retries_count_and_wait_like_first_attempts() -> None:
    """Every attempt uses one execution."""
    harness, permits = limited(1)
    harness.read(asked(job(1), in_ms=-1, retries=3))
    harness.decide()
    answer(harness, 1)
    due = harness.decide()
    harness.read(*due, finished(job(1), ok=False))
    retry = harness.decide()
    harness.read(*retry)
    later = NOW + 60_000

    assert harness.decide(later) == []
    assert permits.wanted == {"acme": day_of(later)}


def test_a_job_counts_on_the_day_of_its_call() -> None:
    """What is due just after midnight is decided before it, and uses an execution of the new day."""
    harness, _ = limited(5)
    harness.read(asked(job(1), in_ms=TOMORROW - NOW))

    assert harness.decide(TOMORROW - 50) == []
    (ask,) = harness.decider.asks(TOMORROW - 50, also_refused=False)
    assert ask.day == day_of(TOMORROW)


def test_what_waited_for_the_limit_is_not_late() -> None:
    """The due event says when the wait ended, so that no alert takes it for Fliq's; the next job has its own instant again."""
    harness, _ = limited(1)
    harness.read(asked(job(1), in_ms=-1))
    harness.decide()
    answer(harness, 0)
    assert harness.decide() == []
    answer(harness, 2, now=TOMORROW, also_refused=True)
    (due,) = harness.decide(TOMORROW)
    harness.read(due, asked(job(2), in_ms=TOMORROW - NOW + 10))
    (next_due,) = harness.decide(TOMORROW)

    assert isinstance(due, AttemptDue)
    assert due.not_before == TOMORROW
    assert isinstance(next_due, AttemptDue)
    assert next_due.not_before == TOMORROW + 10


def test_dues_of_an_owner_before_us_count() -> None:
    """What it decided between the tables' position and our claim was read, not decided, here; what came later is void."""
    harness = Harness(decide=False)
    permits = harness.decider.permits = DailyPermits(lambda _: 5)
    before = Claim(1, "b" * 16)
    harness.read(OwnerClaimed(epoch=1, nonce=before.nonce, node="n", at=NOW))
    harness.read(*[asked(job(n), in_ms=-1) for n in range(3)])
    harness.read(events.due(job(0), NOW), claim=before)
    harness.read(OURS)
    harness.read(events.due(job(1), NOW), claim=before)

    assert harness.decide() == []
    (ask,) = harness.decider.asks(NOW, also_refused=False)
    assert (ask.used, ask.need) == (1, 2)
    assert permits.wanted == {"acme": day_of(NOW)}


def test_an_account_that_is_refused_keeps_few_jobs_in_memory() -> None:
    """The rest stays in the tables until its day begins, and is not recalled before."""
    harness, _ = limited(1)
    harness.read(*[asked(job(n), in_ms=-1) for n in range(100)])
    harness.decide()
    answer(harness, 0)
    harness.decide()
    harness.decider.evict(())

    assert harness.decider.state_count == REFUSED_LEAST
    assert harness.decider.backlog == {"acme"}
    assert harness.decider.needs_recall() == []
    harness.read(asked(job(200), in_ms=-1))
    harness.decide()
    harness.decider.evict(())
    assert harness.decider.state_count == REFUSED_LEAST

    answer(harness, 1_000, now=NOW + DAY_MS, also_refused=True)
    assert len(jobs_of(harness.decide(NOW + DAY_MS))) == REFUSED_LEAST
    assert harness.decider.needs_recall() == ["acme"]
