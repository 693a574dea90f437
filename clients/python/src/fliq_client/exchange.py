"""
Exchange: when a call is sent, sent again, and given up. Pure.

`exchange` is a generator that both edges drive. It yields a request to be sent, and is sent its answer or failure back; or it
yields how long to wait, and is sent None. It returns the result of the call, or raises.

A call is sent again

* if the request did not reach Fliq: nobody listens there;
* if it may have reached Fliq but its answer is unknown (the connection broke; 502, 503 or 504): only if repeating it is safe.
  Creates are safe because each carries a key;
* if Fliq refused it for now (408, 429).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

import msgspec

from fliq_client.answers import refusal, retry_after_s
from fliq_client.call import Answer, Call, Failure, Request
from fliq_client.errors import FliqError, NotAnswered, UnexpectedAnswer

T = TypeVar("T")

_NOT_NOW: Final = frozenset({408, 429})
_UNKNOWN: Final = frozenset({502, 503, 504})
_NOT_FOUND: Final = 404


@dataclass(frozen=True, kw_only=True, slots=True)
class Retries:
    """
    How often a call is sent again, and how long it waits for that.

    The n-th wait is `first_wait_s` × 2^(n−1), at most `longest_wait_s`, of which up to a half is left away by chance; if Fliq says
    `Retry-After`, it is not shorter than that. A wait that would exceed `total_wait_s` is not begun: the error is raised.

    Args:
        count: at most so many repeats; 0 for none.
        first_wait_s, longest_wait_s: of one wait, in seconds.
        total_wait_s: of all waits of one call, in seconds.
    """

    count: int = 3
    first_wait_s: float = 0.25
    longest_wait_s: float = 8.0
    total_wait_s: float = 30.0

    def wait_s(self, number: int, jitter: float) -> float:
        """Return the wait before repeat *number* (from 1); *jitter* is from 0 to 1."""
        doubled = self.first_wait_s * 2.0 ** min(number - 1, 30)
        return min(doubled, self.longest_wait_s) * (1 - jitter / 2)


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait so long, in seconds."""

    seconds: float


Step: TypeAlias = Request | Wait
Outcome: TypeAlias = Answer | Failure
Exchange: TypeAlias = Generator[Step, Outcome | None, T]


def exchange(call: Call[T], retries: Retries, jitter: Callable[[], float]) -> Exchange[T]:
    """
    Send *call* until it is answered for good.

    Args:
        retries: the bounds.
        jitter: gives a number from 0 to 1.

    Raises:
        ApiError: Fliq refused it.
        NotAnswered: there was no answer.
        UnexpectedAnswer: the answer is not Fliq's.
    """
    waited_s = 0.0
    may_have_happened = False
    for number in range(1, retries.count + 2):
        outcome = yield call.request
        if outcome is None:
            raise TypeError("a request is answered by an answer or a failure")
        if isinstance(outcome, Answer):
            if 200 <= outcome.status < 300:
                return _read(call, outcome)
            if outcome.status == _NOT_FOUND and call.gone_is_done and may_have_happened:
                return _read(call, outcome)
            may_have_happened = may_have_happened or outcome.status in _UNKNOWN
            error: FliqError = refusal(outcome)
            asked_s = retry_after_s(outcome) or 0.0
            again = outcome.status in _NOT_NOW or (outcome.status in _UNKNOWN and call.is_repeatable)
        else:
            may_have_happened = may_have_happened or outcome.was_sent
            error = NotAnswered(outcome.reason, may_have_happened)
            asked_s = 0.0
            again = call.is_repeatable or not outcome.was_sent
        wait_s = max(retries.wait_s(number, jitter()), asked_s)
        if not again or number > retries.count or waited_s + wait_s > retries.total_wait_s:
            raise error
        waited_s += wait_s
        yield Wait(wait_s)
    raise AssertionError("unreachable: the last turn returns or raises")


def _read(call: Call[T], answer: Answer) -> T:
    try:
        return call.read(answer)
    except msgspec.DecodeError as error:  # ValidationError is one
        raise UnexpectedAnswer(f"the answer has another shape than this client knows: {error}", answer.status) from None
