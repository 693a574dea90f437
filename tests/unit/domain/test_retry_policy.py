"""Retry policy: the tables of delays and of outcomes."""

from __future__ import annotations

import pytest

from libs.domain.retry_policy import Classified, Result, classify, counted, delay_ms, ended_by, too_late_at, window_ms
from libs.egress import outcome as words
from libs.events.retry_policy import Jitter, RetryPolicy

HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("charged", "shortest_s", "middle_s", "longest_s"),
    [
        (1, 22.5, 30, 37.5),
        (2, 45, 60, 75),
        (3, 90, 120, 150),
        (7, 1440, 1920, 2400),
        (8, 2700, 3150, 3600),  # 3,840 s, capped: spread between 45 and 60 minutes
        (21, 2700, 3150, 3600),
        (10**9, 2700, 3150, 3600),
    ],
)
def test_delay_doubles_up_to_an_hour(charged: int, shortest_s: float, middle_s: float, longest_s: float) -> None:
    """The delay is 30 s × 2^(n−1) ± 25 %, never more than an hour."""

    def delay_s(jitter: float) -> float:
        return delay_ms(None, charged=charged, base_s=30, jitter=jitter, asked_ms=None) / 1000

    assert delay_s(0.0) == shortest_s
    assert delay_s(0.5) == middle_s
    assert delay_s(1 - 2**-53) == pytest.approx(longest_s, abs=0.001)


@pytest.mark.parametrize(
    ("asked_ms", "expected_ms"),
    [(10_000, 10_000), (0, 0), (-5, 0), (HOUR_MS, HOUR_MS), (HOUR_MS + 1, HOUR_MS), (99_999_999_000, HOUR_MS)],
)
def test_retry_after_replaces_the_backoff(asked_ms: int, expected_ms: int) -> None:
    """What the target asks for is honoured exactly, between nothing and an hour."""
    assert delay_ms(None, charged=3, base_s=30, jitter=0.9, asked_ms=asked_ms) == expected_ms


@pytest.mark.parametrize(("base_s", "expected_ms"), [(0, 0), (0.05, 50), (7200, 3_150_000), (1e308, 3_150_000)])
def test_base_is_any_number_of_seconds(base_s: float, expected_ms: int) -> None:
    """A base of nothing retries at once; one beyond the cap behaves like the cap."""
    assert delay_ms(None, charged=1, base_s=base_s, jitter=0.5, asked_ms=None) == expected_ms


def test_arguments_outside_their_range_are_refused() -> None:
    """A defect of the caller is an error, not a strange delay; also when Retry-After would hide it."""
    for asked_ms in (None, 1000):
        with pytest.raises(ValueError, match="charged"):
            delay_ms(None, charged=-1, base_s=30, jitter=0.5, asked_ms=asked_ms)
        for jitter in (-0.1, 1.0, float("nan")):
            with pytest.raises(ValueError, match="jitter"):
                delay_ms(None, charged=1, base_s=30, jitter=jitter, asked_ms=asked_ms)
        for base_s in (-1, float("nan"), float("inf")):
            with pytest.raises(ValueError, match="base_s"):
                delay_ms(None, charged=1, base_s=base_s, jitter=0.5, asked_ms=asked_ms)


@pytest.mark.parametrize(
    ("policy", "delays_s"),
    [
        (RetryPolicy(jitter="none"), [30, 60, 120, 240]),
        (RetryPolicy(jitter="none", backoff="fixed", delay_ms=5_000), [5, 5, 5, 5]),
        (RetryPolicy(jitter="none", backoff="linear", delay_ms=5_000), [5, 10, 15, 20]),
        (RetryPolicy(jitter="none", delay_ms=100, factor=10.0, max_delay_ms=50_000), [0.1, 1, 10, 50]),
        (RetryPolicy(jitter="none", backoff="list", delays_ms=(0, 7_000, 3_000)), [0, 7, 3, 3]),
        (RetryPolicy(jitter="none", backoff="list", delays_ms=(604_800_000,)), [3600, 3600, 3600, 3600]),
    ],
)
def test_each_backoff_grows_as_it_says(policy: RetryPolicy, delays_s: list[float]) -> None:
    """Without jitter the n-th delay is the back-off after n charged failures, cut to the longest delay."""
    found = [delay_ms(policy, charged=n, base_s=30, jitter=0.5, asked_ms=None) / 1000 for n in (1, 2, 3, 4)]
    assert found == delays_s


@pytest.mark.parametrize(
    ("jitter", "window_s"),
    [("none", (40, 40)), ("proportional", (30, 50)), ("full", (0, 40)), ("equal", (20, 40))],
)
def test_each_jitter_has_its_window(jitter: Jitter, window_s: tuple[int, int]) -> None:
    """Around a back-off of 40 s."""
    shortest_ms, longest_ms = window_ms(RetryPolicy(jitter=jitter, delay_ms=40_000), charged=1, base_s=30)
    assert (shortest_ms / 1000, longest_ms / 1000) == window_s


def test_a_shorter_retry_after_does_not_shorten_the_backoff() -> None:
    """With a policy the longer one of back-off and Retry-After counts; a snooze counts exactly."""
    policy = RetryPolicy(jitter="none", backoff="fixed", delay_ms=10_000)
    assert delay_ms(policy, charged=1, base_s=30, jitter=0.5, asked_ms=1_000) == 10_000
    assert delay_ms(policy, charged=1, base_s=30, jitter=0.5, asked_ms=11_000) == 11_000
    assert delay_ms(policy, charged=1, base_s=30, jitter=0.5, asked_ms=1_000, snoozed=True) == 1_000
    assert delay_ms(None, charged=1, base_s=30, jitter=0.5, asked_ms=5 * HOUR_MS, snoozed=True) == 5 * HOUR_MS


PLAIN = RetryPolicy()
LISTED = RetryPolicy(retry_on=("5xx", "timeout", "dns", "418"))


@pytest.mark.parametrize(
    ("policy", "success_on", "result", "expected"),
    [
        # Without a policy: as it always was, except for what the target says by Fliq's own signals.
        (None, None, Result(204), Classified("success")),
        (None, None, Result(301), Classified("failure")),
        (None, None, Result(410), Classified("failure")),
        (None, None, Result(429, asked_ms=2_000), Classified("failure", 2_000)),
        (None, None, Result(503, asked_ms=9 * HOUR_MS), Classified("failure", HOUR_MS)),
        (None, None, Result(500, asked_ms=2_000), Classified("failure")),
        (None, None, Result(None, words.TIMEOUT), Classified("failure")),
        (None, None, Result(200, words.INCOMPLETE_ANSWER), Classified("failure")),
        (None, None, Result(500, is_final=True), Classified("stopped")),
        (None, None, Result(200, is_final=True), Classified("success")),
        (None, None, Result(200, snooze_ms=5_000), Classified("snoozed", 5_000)),
        (None, None, Result(500, snooze_ms=5_000), Classified("snoozed", 5_000)),
        (None, None, Result(500, snooze_ms=5_000, is_final=True), Classified("stopped")),
        (None, None, Result(500, words.INCOMPLETE_ANSWER, snooze_ms=5_000, is_final=True), Classified("failure")),
        # success_on
        (None, ("404",), Result(404), Classified("success")),
        (None, ("404",), Result(200), Classified("failure")),
        (None, ("2xx", "3xx"), Result(302), Classified("success")),
        (None, ("404",), Result(404, words.TIMEOUT), Classified("failure")),
        # With a policy
        (PLAIN, None, Result(410), Classified("stopped")),
        (PLAIN, ("410",), Result(410), Classified("success")),
        (RetryPolicy(retry_on=("410",)), None, Result(410), Classified("failure")),
        (PLAIN, None, Result(429, asked_ms=2_000), Classified("free", 2_000)),
        (PLAIN, None, Result(429), Classified("failure")),
        (PLAIN, None, Result(500, asked_ms=2_000), Classified("failure")),
        (RetryPolicy(retry_after_is_free=False), None, Result(503, asked_ms=1), Classified("failure", 1)),
        (RetryPolicy(heeds_retry_after=False), None, Result(503, asked_ms=1), Classified("failure")),
        (RetryPolicy(retry_after_max_ms=9), None, Result(503, asked_ms=10), Classified("free", 9)),
        # retry_on
        (LISTED, None, Result(500), Classified("failure")),
        (LISTED, None, Result(418), Classified("failure")),
        (LISTED, None, Result(404), Classified("not_retryable")),
        (LISTED, None, Result(429, asked_ms=2_000), Classified("not_retryable")),
        (LISTED, None, Result(None, words.TIMEOUT), Classified("failure")),
        (LISTED, None, Result(None, words.DNS_ERROR), Classified("failure")),
        (LISTED, None, Result(None, words.TLS_ERROR), Classified("not_retryable")),
        (LISTED, None, Result(None, words.CONNECTION_REFUSED), Classified("not_retryable")),
        (LISTED, None, Result(500, words.INCOMPLETE_ANSWER), Classified("not_retryable")),
        (RetryPolicy(retry_on=("network",)), None, Result(None, words.DNS_ERROR), Classified("failure")),
        (RetryPolicy(retry_on=("network",)), None, Result(None, words.TIMEOUT), Classified("not_retryable")),
        (RetryPolicy(retry_on=("tls",)), None, Result(None, words.TLS_ERROR), Classified("failure")),
        (LISTED, ("404",), Result(204), Classified("not_retryable")),
    ],
)
def test_a_result_means(
    policy: RetryPolicy | None, success_on: tuple[str, ...] | None, result: Result, expected: Classified
) -> None:
    """A row: policy, success_on, what the target did, what it means and which wait counts."""
    assert classify(policy, success_on, result) == expected


def test_only_charged_failures_use_up_the_budget() -> None:
    """After 500 free tries the whole budget is left; an end has its reason."""
    assert ended_by("free", charged=0, max_retries=0) is None
    assert ended_by("snoozed", charged=3, max_retries=3) is None
    assert ended_by("failure", charged=3, max_retries=3) is None
    assert ended_by("failure", charged=4, max_retries=3) == "exhausted"
    assert ended_by("stopped", charged=1, max_retries=3) == "stopped_by_target"
    assert ended_by("not_retryable", charged=1, max_retries=3) == "not_retryable"
    assert ended_by("success", charged=0, max_retries=3) == "success"


def test_free_tries_and_snoozes_are_bounded() -> None:
    """The 1,001st free try and the 101st snooze are failures."""
    assert counted("free", free_count=999, snooze_count=0) == "free"
    assert counted("free", free_count=1000, snooze_count=0) == "failure"
    assert counted("snoozed", free_count=0, snooze_count=99) == "snoozed"
    assert counted("snoozed", free_count=0, snooze_count=100) == "failure"
    assert counted("success", free_count=1000, snooze_count=100) == "success"


def test_no_try_starts_after_the_earlier_bound() -> None:
    """A try may start max_elapsed after the first one, not later, and before expires_at."""
    bounded = RetryPolicy(max_elapsed_ms=10)
    assert too_late_at(None, first_at=5, expires_at=None) is None
    assert too_late_at(bounded, first_at=None, expires_at=7) == 7
    assert too_late_at(bounded, first_at=5, expires_at=None) == 16
    assert too_late_at(bounded, first_at=5, expires_at=12) == 12
    assert too_late_at(bounded, first_at=5, expires_at=20) == 16
