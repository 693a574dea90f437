"""When the client sends a call again, and when it gives up. No I/O: the generator is driven by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from fliq_client import (
    ApiError,
    DailyLimitReached,
    JobAlreadyFired,
    NotAnswered,
    NotFound,
    Retries,
    Unavailable,
    UnexpectedAnswer,
)
from fliq_client.call import Answer, Call, Failure, Request
from fliq_client.exchange import Outcome, Wait, exchange

REQUEST = Request(method="POST", path="/v1/jobs", content=b"{}")
RETRIES = Retries(count=3, first_wait_s=1, longest_wait_s=4, total_wait_s=100)
LOST = Failure(reason="connection reset", was_sent=True)
REFUSED = Failure(reason="connection refused", was_sent=False)


def answer(status: int, code: str = "", **headers: str) -> Answer:
    """Return an answer of Fliq, an error if *code* is given."""
    body = {"error": {"code": code, "message": "why"}} if code else {}
    return Answer(
        status=status,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        body=json.dumps(body).encode(),
    )


def call(**options: Any) -> Call[int]:
    return Call(request=REQUEST, read=lambda answer: answer.status, **options)


def play(call: Call[int], outcomes: Iterable[Outcome], retries: Retries = RETRIES, jitter: float = 0.0) -> Any:
    """Drive *call* with *outcomes*; return its result, or the error that it raised, and the waits between."""
    steps, waits = exchange(call, retries, lambda: jitter), []
    following = iter(outcomes)
    step = next(steps)
    while True:
        try:
            if isinstance(step, Wait):
                waits.append(step.seconds)
                step = steps.send(None)
            else:
                assert step is call.request
                step = steps.send(next(following))
        except StopIteration as end:
            assert list(following) == []
            return end.value, waits
        except Exception as error:
            assert list(following) == []
            return error, waits


def test_an_answer_ends_the_call() -> None:
    """A status of 200 to 299 is the result, without a wait."""
    assert play(call(), [answer(201)]) == (201, [])


@pytest.mark.parametrize(
    "trouble", [LOST, REFUSED, answer(503, "unavailable"), answer(502), answer(504), answer(429, "x")]
)
def test_trouble_is_waited_out(trouble: Outcome) -> None:
    """A call that may be repeated is sent again after a while, and its answer is the result."""
    assert play(call(), [trouble, trouble, answer(200)]) == (200, [1, 2])


def test_waits_double_up_to_a_bound() -> None:
    """The n-th wait is twice the one before, at most `longest_wait_s`; chance takes up to a half away."""
    assert play(call(), [LOST] * 4)[1] == [1, 2, 4]
    assert play(call(), [LOST] * 4, jitter=1.0)[1] == [0.5, 1, 2]


def test_repeats_are_counted() -> None:
    """After `count` repeats the last error is raised; `count` 0 sends once."""
    error, waits = play(call(), [LOST, LOST, LOST, answer(503, "unavailable")])
    assert isinstance(error, Unavailable)
    assert len(waits) == 3
    assert isinstance(play(call(), [LOST], Retries(count=0))[0], NotAnswered)


def test_retry_after_is_heeded() -> None:
    """If Fliq says how long to wait, the wait is not shorter."""
    assert play(call(), [answer(503, "unavailable", retry_after="7"), answer(200)]) == (200, [7])
    assert play(call(), [answer(503, "unavailable", retry_after="0"), answer(200)]) == (200, [1])
    limited = answer(429, "rate_limit_exceeded", ratelimit='"requests";r=0;t=9')
    assert play(call(), [limited, answer(200)]) == (200, [9])
    assert play(call(), [answer(503, "unavailable", ratelimit='"requests";r=0;t=9'), answer(200)]) == (200, [1])
    assert play(call(), [answer(503, "unavailable", retry_after="Sun, 29 Nov 2026 21:00:00 GMT"), answer(200)])[1] == [
        1
    ]


def test_nobody_waits_until_midnight() -> None:
    """A wait beyond `total_wait_s` is not begun: the error says how long Fliq asked to wait."""
    error, waits = play(call(), [answer(429, "daily_limit_reached", retry_after="40000")])
    assert isinstance(error, DailyLimitReached)
    assert (error.retry_after_s, waits) == (40000, [])


def test_all_waits_of_a_call_are_bounded() -> None:
    """`total_wait_s` is the sum of them."""
    busy = answer(503, "unavailable", retry_after="60")
    assert play(call(), [busy, busy])[1] == [60]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 500])
def test_a_refusal_is_final(status: int) -> None:
    """What does not change by waiting is raised at once."""
    error, waits = play(call(), [answer(status, "a_new_code")])
    assert isinstance(error, ApiError)
    assert (error.status, error.code, waits) == (status, "a_new_code", [])


@pytest.mark.parametrize("trouble", [LOST, answer(503, "unavailable"), answer(502), answer(504)])
def test_what_has_no_key_is_not_sent_twice(trouble: Outcome) -> None:
    """If a call makes something and has no key, an unknown outcome is raised, not repeated."""
    error, waits = play(call(is_repeatable=False), [trouble])
    assert isinstance(error, NotAnswered | ApiError | UnexpectedAnswer)
    assert waits == []


@pytest.mark.parametrize("trouble", [REFUSED, answer(429, "daily_limit_reached"), answer(408, "request_timeout")])
def test_what_was_not_done_is_sent_again(trouble: Outcome) -> None:
    """If nothing can have happened, such a call is repeated like any other."""
    assert play(call(is_repeatable=False), [trouble, answer(200)]) == (200, [1])


def test_an_error_says_whether_it_may_have_happened() -> None:
    """`may_have_happened` is false only if no request of the call can have reached Fliq."""
    assert play(call(), [REFUSED] * 4)[0].may_have_happened is False
    assert play(call(), [REFUSED, LOST, REFUSED, REFUSED])[0].may_have_happened is True
    assert play(call(), [answer(503, "unavailable"), REFUSED, REFUSED, REFUSED])[0].may_have_happened is True


def test_what_is_gone_was_deleted() -> None:
    """A 404 for the repeat of a delete whose answer was lost means that it was done; a first 404 is an error."""
    assert play(call(gone_is_done=True), [LOST, answer(404, "not_found")])[0] == 404
    assert isinstance(play(call(gone_is_done=True), [answer(404, "not_found")])[0], NotFound)
    assert isinstance(play(call(gone_is_done=True), [REFUSED, answer(404, "not_found")])[0], NotFound)
    assert isinstance(play(call(), [LOST, answer(404, "not_found")])[0], NotFound)


def test_a_decision_is_final() -> None:
    """409 for a repeat is an error of its own class."""
    assert isinstance(play(call(), [LOST, answer(409, "job_already_fired")])[0], JobAlreadyFired)
