"""
Retry policy: what a try's result means, whether another try follows, and when. Pure; jobs and webhooks use the same rules.

Three steps, each a function:

    classify(result)      -> success | failure | free | snoozed | stopped | not_retryable, and the wait that the target asked for
    ended_by(outcome)     -> the reason for the end, or None: another try follows
    delay_ms(policy, n)   -> the wait before it, n = failures that were charged

A try has an ordinal and may cost one unit of the budget (`max_retries`). These are two numbers: `free` and `snoozed` tries have
an ordinal and cost nothing.

Back-off after n charged failures, d the policy's delay: fixed d; linear d·n; exponential d·factor^(n-1); list the n-th delay, then
the last. It is cut to the policy's longest delay. Then a delay is drawn evenly from the jitter's window around that back-off b:
none b; proportional ±25 % of b; full 0..b; equal b/2..b. The window ends at the longest delay as well. So delays that have
reached it stay spread, instead of all being equal.

None as a policy is what a job has that gave no `retry` object: exponential from the operator's base, at most an hour, every
failure charged; a 429's or 503's `Retry-After` takes the place of the back-off, also if it is shorter.

Source: docs/retries.md.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from libs.events.retry_policy import HOUR_MS, EndedBy, Outcome, RetryPolicy

DELAY_MAX_MS: Final = HOUR_MS  # of a job without a policy, for back-off and Retry-After alike; docs/api.md, "Retries"
JITTER_SHARE: Final = 0.25  # ±, of the back-off; the same
SNOOZES_MAX: Final = 100  # later ones are failures: a target that only snoozes must not keep a job for ever
FREE_MAX: Final = 1_000  # later ones are charged, for the same reason
SNOOZED_TOO_OFTEN: Final = "snoozed_too_often"  # the error of such a failure

_EXPONENT_MAX: Final = 250  # 10^250 is a float still; a policy has at most 100 retries
_ASKS: Final = (429, 503)
_GONE: Final = 410
# Error words of a call without an answer -> the classes besides `network` that name them.
_TIMEOUT: Final = "timeout"
_CLASS_OF_ERROR: Final = {"dns_error": "dns", "tls_error": "tls"}
_SEED: Final = RetryPolicy()


class Result(NamedTuple):
    """
    What one try brought.

    Args:
        status: the answer's status; None if no head arrived.
        no_answer: why there is no whole answer, as an error word (`libs.egress.outcome.NO_ANSWER`); None if there is one.
        asked_ms: the wait that the answer asked for (`Retry-After` and its like), as it was read.
        snooze_ms: the wait that `Fliq-Snooze` asked for.
        is_final: the answer said that it must not be repeated.
    """

    status: int | None
    no_answer: str | None = None
    asked_ms: int | None = None
    snooze_ms: int | None = None
    is_final: bool = False


class Classified(NamedTuple):
    """The outcome of one try, and the wait before the next one that the target asked for, cut to the policy's limit."""

    outcome: Outcome
    asked_ms: int | None = None


def classify(policy: RetryPolicy | None, success_on: tuple[str, ...] | None, result: Result) -> Classified:
    """
    Return what *result* means.

    Args:
        policy: the `retry` object, None if none was given.
        success_on: classes and statuses that count as success; None means 2xx.
    """
    status = result.status
    if result.no_answer is not None or status is None:
        return Classified("failure" if _is_listed(policy, _classes_of(result)) else "not_retryable")
    is_good = is_success(success_on, status)
    if result.is_final and not is_good:
        return Classified("stopped")
    if result.snooze_ms is not None and not result.is_final:
        return Classified("snoozed", result.snooze_ms)
    if is_good:
        return Classified("success")
    if policy is not None:
        is_named = policy.retry_on is not None and str(status) in policy.retry_on
        if status == _GONE and not is_named:
            return Classified("stopped")
        if not _is_listed(policy, _classes_of(result)):
            return Classified("not_retryable")
    asked_ms = _asked_ms(policy, result)
    is_free = asked_ms is not None and policy is not None and policy.retry_after_is_free
    return Classified("free" if is_free else "failure", asked_ms)


def is_success(success_on: tuple[str, ...] | None, status: int) -> bool:
    """Say whether *status* counts as success; *success_on* as in `classify`."""
    return 200 <= status <= 299 if success_on is None else _is_in(success_on, status)


def counted(outcome: Outcome, *, free_count: int, snooze_count: int) -> Outcome:
    """Return *outcome*, or a failure if there were as many free tries or snoozes before it as there may be."""
    is_spent = (outcome == "free" and free_count >= FREE_MAX) or (outcome == "snoozed" and snooze_count >= SNOOZES_MAX)
    return "failure" if is_spent else outcome


def ended_by(outcome: Outcome, *, charged: int, max_retries: int) -> EndedBy | None:
    """
    Return why nothing follows a try, or None if another try does.

    Args:
        outcome: after `counted`.
        charged: failures that were charged so far, this one included.
        max_retries: how many charged failures may be followed by another try.
    """
    match outcome:
        case "success":
            return "success"
        case "stopped":
            return "stopped_by_target"
        case "not_retryable":
            return "not_retryable"
        case "failure" if charged > max_retries:
            return "exhausted"
        case _:
            return None


def delay_ms(
    policy: RetryPolicy | None,
    *,
    charged: int,
    base_s: float,
    jitter: float,
    asked_ms: int | None,
    snoozed: bool = False,
) -> int:
    """
    Return the wait before the next try, in ms.

    Args:
        policy: the `retry` object, None if none was given.
        charged: failures that were charged so far; 0 counts as 1.
        base_s: the operator's delay after the first failure, in seconds (`FLIQ_RETRY_BASE_SECONDS`).
        jitter: fraction in [0, 1), drawn by the caller so that this stays pure; 0.5 gives the middle of the window.
        asked_ms: the wait that the target asked for, as `classify` returned it. With a policy the back-off stands if it is longer.
        snoozed: the target asked for exactly this wait.

    Raises:
        ValueError: *charged* < 0, *jitter* outside [0, 1), *base_s* negative or not finite.
    """
    if charged < 0:
        raise ValueError(f"charged is a number of failures, not {charged}")
    if not 0 <= jitter < 1:
        raise ValueError(f"jitter is a fraction in [0, 1), not {jitter}")
    if not (math.isfinite(base_s) and base_s >= 0):
        raise ValueError(f"base_s is a number of seconds from 0, not {base_s}")
    if asked_ms is not None and snoozed:
        return max(asked_ms, 0)
    if asked_ms is not None and policy is None:
        return min(max(asked_ms, 0), DELAY_MAX_MS)
    shortest_ms, longest_ms = window_ms(policy, charged=charged, base_s=base_s)
    drawn_ms = round(shortest_ms + (longest_ms - shortest_ms) * jitter)
    return drawn_ms if asked_ms is None else max(asked_ms, drawn_ms)


def window_ms(policy: RetryPolicy | None, *, charged: int, base_s: float) -> tuple[float, float]:
    """Return the shortest and the longest delay that jitter may give after *charged* failures."""
    policy = policy or _SEED
    longest_ms = float(policy.max_delay_ms)
    backoff_ms = min(_backoff_ms(policy, max(charged, 1), base_s), longest_ms)
    match policy.jitter:
        case "none":
            return backoff_ms, backoff_ms
        case "full":
            return 0.0, backoff_ms
        case "equal":
            return backoff_ms / 2, backoff_ms
        case _:
            return backoff_ms * (1 - JITTER_SHARE), min(backoff_ms * (1 + JITTER_SHARE), longest_ms)


def too_late_at(policy: RetryPolicy | None, *, first_at: int | None, expires_at: int | None) -> int | None:
    """
    Return the instant at or after which no try may start; None if there is none.

    Args:
        first_at: the instant of the first try, if there was one.
        expires_at: as the caller gave it.
    """
    if policy is None or policy.max_elapsed_ms is None or first_at is None:
        return expires_at
    elapsed_at = first_at + policy.max_elapsed_ms + 1  # a try may start at the last instant itself
    return elapsed_at if expires_at is None else min(elapsed_at, expires_at)


def _backoff_ms(policy: RetryPolicy, n: int, base_s: float) -> float:
    if policy.backoff == "list" and policy.delays_ms:
        return float(policy.delays_ms[min(n, len(policy.delays_ms)) - 1])
    # The first delay is cut before it grows, too, so that no product overflows.
    first_ms = min(base_s * 1000 if policy.delay_ms is None else policy.delay_ms, float(policy.max_delay_ms))
    match policy.backoff:
        case "linear":
            return first_ms * min(n, 1_000_000)
        case "exponential":
            return first_ms * policy.factor ** min(n - 1, _EXPONENT_MAX)
        case _:
            return first_ms


def _asked_ms(policy: RetryPolicy | None, result: Result) -> int | None:
    asked_ms = result.asked_ms
    if asked_ms is None or result.status not in _ASKS or (policy is not None and not policy.heeds_retry_after):
        return None
    return min(asked_ms, DELAY_MAX_MS if policy is None else policy.retry_after_max_ms)


def _classes_of(result: Result) -> tuple[str, ...]:
    """Return the names under which `retry_on` may list the failure *result*."""
    word = result.no_answer
    if word is None and result.status is not None:
        return (f"{result.status // 100}xx", str(result.status))
    if word == _TIMEOUT:
        return (_TIMEOUT,)
    return ("network", _CLASS_OF_ERROR.get(word or "", "network"))


def _is_listed(policy: RetryPolicy | None, classes: tuple[str, ...]) -> bool:
    return policy is None or policy.retry_on is None or any(each in policy.retry_on for each in classes)


def _is_in(listed: tuple[str, ...], status: int) -> bool:
    return f"{status // 100}xx" in listed or str(status) in listed
