"""Jobs with a retry policy: their whole lives, against a reference that was written separately."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from libs.domain import job as job_fold
from libs.domain.job import JobState, JobStatus
from libs.domain.jobs.optional_state import JobMore
from libs.domain.retry_policy import Result, classify
from libs.events import AttemptDue, JobCancelRequested, JobFinished, JobRetryScheduled, JobStopRequested
from libs.events.ids import new_job_id
from libs.events.retry_policy import RetryPolicy, StopReason
from tests.fakes import events
from tests.unit.domain.retry_reference import life

START = 1_800_000_000_000
JOB = new_job_id(START, 0, bytes(8))
WORDS = {"timeout": "timeout", "dns": "dns_error", "network": "connection_refused"}
LIVES_MAX = 1_500  # tries


def policy_of(asked: dict[str, Any]) -> RetryPolicy | None:
    """Return the struct for a request's object, without the code that reads requests."""
    if "retry" not in asked:
        return None
    retry = asked["retry"]
    after = retry.get("retry_after", {})
    ms = {
        name: round(retry[f"{name}_seconds"] * 1000)
        for name in ("delay", "max_delay", "max_elapsed")
        if f"{name}_seconds" in retry
    }
    return RetryPolicy(
        max_retries=asked.get("max_retries", 0),
        backoff=retry.get("backoff", "exponential"),
        factor=float(retry.get("factor", 2)),
        delays_ms=tuple(round(each * 1000) for each in retry["delays_seconds"]) if "delays_seconds" in retry else None,
        jitter=retry.get("jitter", "proportional"),
        retry_on=tuple(retry["retry_on"]) if "retry_on" in retry else None,
        heeds_retry_after=after.get("honour", True),
        retry_after_max_ms=after.get("max_seconds", 3600) * 1000,
        retry_after_is_free=after.get("free", True),
        **{f"{name}_ms": value for name, value in ms.items()},
    )


def new_job(asked: dict[str, Any]) -> JobState:
    success_on = tuple(asked["success_on"]) if "success_on" in asked else None
    expires_at = START + asked["expires_in_seconds"] * 1000 if "expires_in_seconds" in asked else None
    event = events.asked(
        JOB,
        START,
        max_retries=asked.get("max_retries", 0),
        retry=policy_of(asked),
        success_on=success_on,
        expires_at=expires_at,
    )
    return job_fold.create(event, 0)


def play(
    asked: dict[str, Any], answers: list[dict[str, Any]], *, jitter: float = 0.5
) -> tuple[list[float], str, JobState]:
    """Play *answers* to the fold and its decisions; return the instants of the calls, the reason for the end, and the end."""
    state, calls, now = new_job(asked), [], START
    for position in range(1, LIVES_MAX * 3):
        owed_at = job_fold.owed_at(state, 0)
        assert owed_at is not None
        now = max(now, owed_at)
        decision = job_fold.decide(state, now, jitter, 30.0)
        state = job_fold.evolve(state, decision, position)
        if isinstance(decision, JobFinished):
            assert state.is_terminal
            return calls, state.ended_by or "", state
        if isinstance(decision, AttemptDue):
            calls.append((decision.not_before - START) / 1000)
            answer = answers[min(len(calls), len(answers)) - 1]
            now = decision.not_before + 1_000
            word, asked_ms = classify(decision.retry, decision.success_on, _result(answer))
            fact = events.finished(
                JOB,
                now,
                decision.attempt,
                ok=word == "success",
                status_code=answer.get("status"),
                error=None if word == "success" else "failed",
                retry_after_ms=asked_ms,
                outcome=None if word in ("success", "failure") else word,
            )
            state = job_fold.evolve(state, fact, position)
    raise AssertionError("the job does not end")


def _result(answer: dict[str, Any]) -> Result:
    def ms(name: str) -> int | None:
        return answer[name] * 1000 if name in answer else None

    no_answer = WORDS[answer["error"]] if "error" in answer else None
    return Result(answer.get("status"), no_answer, ms("retry_after"), ms("snooze"), answer.get("stop", False))


def random_case(seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    chance = random.Random(seed)

    def maybe(share: float, **fields: Any) -> dict[str, Any]:
        return fields if chance.random() < share else {}

    asked: dict[str, Any] = {"max_retries": chance.choice((0, 1, 3, 8))}
    if chance.random() < 0.85:
        backoff = chance.choice(("fixed", "linear", "exponential", "list"))
        retry: dict[str, Any] = {"backoff": backoff, "jitter": chance.choice(("none", "proportional", "full", "equal"))}
        if backoff == "list":
            retry["delays_seconds"] = [chance.choice((0, 1.5, 10, 400)) for _ in range(chance.randint(1, 4))]
        else:
            retry |= maybe(0.6, delay_seconds=chance.choice((0.1, 2, 60, 5_000)))
        if backoff == "exponential":
            retry |= maybe(0.5, factor=chance.choice((1, 1.5, 3, 10)))
        retry |= maybe(0.4, max_delay_seconds=chance.choice((1, 30, 604_800)))
        retry |= maybe(0.3, max_elapsed_seconds=chance.choice((1, 60, 5_000)))
        retry |= maybe(0.4, retry_on=chance.sample(["network", "timeout", "dns", "2xx", "4xx", "5xx", "429", "410"], 4))
        retry |= maybe(0.5, retry_after={"honour": chance.random() < 0.8, "free": chance.random() < 0.5})
        asked["retry"] = retry
    asked |= maybe(0.3, success_on=chance.choice((["404"], ["2xx", "3xx"], ["2xx", "410"])))
    asked |= maybe(0.3, expires_in_seconds=chance.choice((1, 45, 4_000)))
    answers = []
    for _ in range(chance.randint(1, 6)):
        if chance.random() < 0.2:
            answers.append({"error": chance.choice(("timeout", "dns", "network"))})
            continue
        status = chance.choice((200, 302, 404, 410, 429, 429, 500, 503, 503))
        answer = {"status": status}
        answer |= maybe(0.5, retry_after=chance.choice((1, 7, 90_000)))
        answer |= maybe(0.1, snooze=chance.choice((1, 600)))
        answer |= maybe(0.05, stop=True)
        answers.append(answer)
    if answers[-1].get("snooze") or answers[-1].get("retry_after"):
        answers.append({"status": 500})
    return asked, answers


@pytest.mark.parametrize("seed", range(200))
def test_a_life_is_what_the_documentation_says(seed: int) -> None:
    """The calls leave at the instants of the reference, and the job ends for its reason."""
    asked, answers = random_case(seed)
    calls, reason, _ = play(asked, answers)
    expected_calls, expected_reason = life(asked, answers)

    assert (reason, len(calls)) == (expected_reason, len(expected_calls)), (asked, answers, expected_calls, calls)
    assert calls == pytest.approx(expected_calls, abs=0.01), (asked, answers)


@pytest.mark.parametrize("seed", range(200))
def test_no_call_starts_too_late(seed: int) -> None:
    """Whatever the jitter: none at or after expires_at, none later than max_elapsed after the first."""
    asked, answers = random_case(seed)
    for jitter in (0.0, 0.999):
        calls, _, state = play(asked, answers, jitter=jitter)
        elapsed_s = asked.get("retry", {}).get("max_elapsed_seconds")
        assert all(call < asked.get("expires_in_seconds", 10**9) for call in calls)
        assert elapsed_s is None or calls[-1] <= calls[0] + elapsed_s
        assert state.charged <= asked["max_retries"] + 1


def test_a_storm_of_429_leaves_the_budget() -> None:
    """After 500 answers of 429 with Retry-After all three retries are left."""
    storm = [{"status": 429, "retry_after": 1}] * 500
    calls, reason, state = play({"max_retries": 3, "retry": {"delay_seconds": 0.1}}, [*storm, {"status": 500}])

    assert (len(calls), reason, state.attempt, state.charged) == (504, "exhausted", 504, 4)


def test_free_tries_and_snoozes_end() -> None:
    """A target that only ever asks to wait uses up the budget after 1,000 free tries, one that only snoozes after 100."""
    asked: dict[str, Any] = {"max_retries": 2, "retry": {}}
    calls, reason, _ = play(asked, [{"status": 503, "retry_after": 1}])
    assert (len(calls), reason) == (1003, "exhausted")

    calls, reason, state = play(asked, [{"status": 200, "snooze": 1}])
    assert (len(calls), reason, state.last_error) == (103, "exhausted", "snoozed_too_often")


def test_a_snooze_of_30_days_is_one_call_then() -> None:
    """The job waits as long as the target said, and costs nothing: a plain job, too."""
    calls, reason, state = play({}, [{"status": 202, "snooze": 30 * 86_400}, {"status": 200}])

    assert (calls, reason) == ([0.0, 30 * 86_400 + 1], "success")
    assert (state.attempt, state.charged, state.more) == (2, 1, JobMore(snooze_count=1))


def test_a_job_that_waited_too_long_is_not_called() -> None:
    """An outage of two hours: a job that expires after one ends without a call."""
    state = new_job({"expires_in_seconds": 3600})
    decision = job_fold.decide(state, START + 7_200_000, 0.5, 30.0)
    ended = job_fold.evolve(state, decision, 1)

    assert isinstance(decision, JobFinished)
    assert (decision.attempt, decision.last_error, decision.ended_by) == (0, "expired", "expired")
    assert (ended.status, ended.attempt, ended.last_error, ended.ended_by) == (
        JobStatus.FAILED,
        0,
        "expired",
        "expired",
    )
    on_time = job_fold.decide(state, START + 3_599_999, 0.5, 30.0)
    assert isinstance(on_time, AttemptDue)
    assert on_time.too_late_at == START + 3_600_000


def test_a_dispatcher_that_comes_too_late_ends_the_job() -> None:
    """The try is not made, whatever is left of the budget, and the bound that was reached is the reason."""
    for asked, reason in (
        ({"max_retries": 3, "expires_in_seconds": 5}, "expired"),
        ({"max_retries": 3, "retry": {"max_elapsed_seconds": 5}}, "max_elapsed"),
        ({"max_retries": 3, "retry": {"max_elapsed_seconds": 5}, "expires_in_seconds": 4}, "expired"),
    ):
        state = new_job(asked)
        state = job_fold.evolve(state, events.due(JOB, START), 1)
        state = job_fold.evolve(state, events.finished(JOB, START, ok=False, error="too_late", outcome="too_late"), 2)
        decision = job_fold.decide(state, START + 6_000, 0.5, 30.0)
        assert isinstance(decision, JobFinished)
        assert (decision.status, decision.ended_by, decision.last_error) == ("failed", reason, "too_late")


def test_a_due_says_by_what_it_is_judged() -> None:
    """Only for a job that has more than a plain one: the due of a plain job has none of it."""
    state = new_job({"max_retries": 3, "retry": {}, "success_on": ["404"]})
    state = job_fold.evolve(state, events.due(JOB, START), 1)
    state = job_fold.evolve(state, events.finished(JOB, START, ok=False, status_code=500, error="HTTP 500"), 2)
    retried = job_fold.decide(state, START, 0.5, 30.0)
    assert isinstance(retried, JobRetryScheduled)
    state = job_fold.evolve(state, retried, 3)
    due = job_fold.decide(state, retried.fire_at, 0.5, 30.0)

    assert isinstance(due, AttemptDue)
    assert (due.attempt, due.max_attempts, due.previous_status_code) == (2, 4, 500)
    assert (due.retry, due.success_on, due.too_late_at) == (RetryPolicy(max_retries=3), ("404",), None)
    plain = job_fold.decide(new_job({}), START, 0.5, 30.0)
    assert isinstance(plain, AttemptDue)
    assert (plain.retry, plain.success_on, plain.max_attempts) == (None, None, None)


def test_what_is_not_known_any_more_leaves_nothing() -> None:
    """A plain job that was stopped has more; a policy's outcome goes with the next try."""
    state = new_job({"max_retries": 3})
    state = job_fold.evolve(state, events.due(JOB, START), 1)
    stopped = job_fold.evolve(state, events.finished(JOB, START, ok=False, outcome="stopped"), 2)
    assert stopped.more == JobMore(outcome="stopped")
    assert stopped.ended_by is None
    ended = job_fold.evolve(stopped, job_fold.decide(stopped, START, 0.5, 30.0), 3)
    assert (ended.ended_by, ended.status) == ("stopped_by_target", JobStatus.FAILED)
    late = msgspec.structs.replace(state, more=JobMore(outcome="free"))
    assert job_fold.evolve(late, events.finished(JOB, START), 2).more is None


def stop(state: JobState, reason: StopReason = "stopped") -> JobState:
    return job_fold.evolve(state, JobStopRequested(job_id=JOB, at=START, reason=reason), 7)


def running(asked: dict[str, Any]) -> JobState:
    return job_fold.evolve(new_job(asked), events.due(JOB, START), 1)


def ended(state: JobState) -> JobState:
    assert job_fold.owed_at(state, 0) == 0
    return job_fold.evolve(state, job_fold.decide(state, START, 0.5, 30.0), 9)


def test_a_stop_ends_whatever_the_job_does() -> None:
    """Before the first attempt it is a cancel; under way and between attempts the job fails, and says why."""
    assert ended(stop(new_job({}))).status == JobStatus.CANCELLED
    for reason in ("stopped", "replaced"):
        found = ended(stop(running({"max_retries": 3}), reason))
        assert (found.status, found.ended_by, found.last_error) == (JobStatus.FAILED, reason, reason)
        assert (found.cancel_requested, found.more) == (False, JobMore(ended_by=reason))
    failed = job_fold.evolve(running({"max_retries": 3}), events.finished(JOB, START, ok=False, error="timeout"), 2)
    assert (ended(stop(failed)).ended_by, ended(stop(failed)).last_error) == ("stopped", "timeout")
    waiting = job_fold.evolve(failed, job_fold.decide(failed, START, 0.5, 30.0), 3)
    assert (ended(stop(waiting)).ended_by, ended(stop(waiting)).last_error) == ("stopped", "timeout")


def test_a_stop_does_not_undo_a_success() -> None:
    """A try that has succeeded ends its job as it would have, and so does the last failure."""
    for ok, reason in ((True, "success"), (False, "exhausted")):
        state = job_fold.evolve(running({}), events.finished(JOB, START, ok=ok), 2)
        assert ended(stop(state)).ended_by == reason


def test_a_stop_outlives_a_due_that_was_on_its_way() -> None:
    """The owner decided the due before it read the stop: the job then ends as one under way."""
    state = job_fold.evolve(stop(new_job({"max_retries": 3})), events.due(JOB, START), 8)
    assert (ended(state).status, ended(state).ended_by) == (JobStatus.FAILED, "stopped")
    cancelled = job_fold.evolve(new_job({}), JobCancelRequested(job_id=JOB, at=START), 1)
    assert job_fold.owed_at(job_fold.evolve(cancelled, events.due(JOB, START), 2), 0) is None


def test_the_first_stop_counts() -> None:
    """A second one changes nothing, and none is taken at the end; a held job can be stopped."""
    state = stop(running({}))
    assert stop(state, "replaced") is state
    assert stop(ended(state)) == ended(state)
    held = msgspec.structs.replace(state, held=True)
    assert ended(held).ended_by == "stopped"


def test_the_result_of_a_stopped_job_comes_too_late() -> None:
    """What the dispatcher reports of the call that it cut off changes nothing."""
    state = ended(stop(running({})))
    assert job_fold.evolve(state, events.finished(JOB, START), 10) is state


def test_a_job_never_succeeds_without_a_try() -> None:
    """Before its first try, or while it waits, a job can only end as failed: another end changes nothing."""
    state = new_job({})
    assert job_fold.evolve(state, events.ended(JOB, START, status="completed"), 1) is state
