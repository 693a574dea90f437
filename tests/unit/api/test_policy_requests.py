"""Jobs with a delay, a retry policy or an expiry, as requests."""

from __future__ import annotations

from typing import Any

import pytest

from services.api.contract import requests
from services.api.contract.api_error import ApiError
from services.api.contract.field import Rules
from tests.unit.api.test_requests import CHECK, JOB, NOW, job, refusal

PLAIN_HASH = "5247d28f379478145d1922bc228664a9"  # of JOB, by the build before policies


def delayed(**fields: Any) -> requests.JobRequest:
    return requests.job_request({"url": JOB["url"]} | fields, Rules(CHECK))


def test_the_hash_of_a_plain_request_stays_what_it_was() -> None:
    """Reservations of an older build still know their requests."""
    assert requests.request_hash(job()).hex() == PLAIN_HASH


def test_a_delay_counts_from_the_request() -> None:
    """delay_seconds takes the place of scheduled_at; a repeat of the request means the same, whenever it comes."""
    request = delayed(delay_seconds=1.5, expires_in_seconds=60)
    requests.check_schedulable(request, NOW)
    found = requests.resolved(request, NOW)

    assert (found.fire_at, found.expires_at) == (NOW + 1_500, NOW + 61_500)
    assert requests.request_hash(request) == requests.request_hash(delayed(delay_seconds=1.5, expires_in_seconds=60))
    assert requests.request_hash(request) != requests.request_hash(delayed(delay_seconds=1.6, expires_in_seconds=60))
    assert requests.resolved(job(), NOW) == job()


@pytest.mark.parametrize(("seconds", "delay_ms"), [(0.001, 1), (0.0015, 2), (315_576_000, 315_576_000_000), (1, 1_000)])
def test_delays_at_their_limits(seconds: float, delay_ms: int) -> None:
    """0.001 to ten years; what is finer than a millisecond is rounded up."""
    assert delayed(delay_seconds=seconds).delay_ms == delay_ms


@pytest.mark.parametrize("seconds", [0, 0.0009, -1, 315_576_000.1, "5", True, None, [1]])
def test_other_delays_are_refused(seconds: Any) -> None:
    """With the field's own code."""
    with pytest.raises(ApiError) as refused:
        delayed(delay_seconds=seconds)
    assert refused.value.code == "invalid_delay_seconds"
    assert "0.001 to 315,576,000" in refused.value.message


def test_exactly_one_of_instant_and_delay() -> None:
    """Both, or none of them, is invalid_scheduled_at, and the message says what to do."""
    for fields, says in (
        ({}, "scheduled_at is required, or delay_seconds instead"),
        (JOB | {"delay_seconds": 1}, "not both"),
    ):
        with pytest.raises(ApiError, match=says) as refused:
            requests.job_request({"url": JOB["url"]} | fields, Rules(CHECK))
        assert refused.value.code == "invalid_scheduled_at"


def test_both_ways_to_say_how_often_agree() -> None:
    """max_retries and retry.max_retries are one number."""
    assert job(retry={"max_retries": 7}).max_retries == 7
    assert job(max_retries=7, retry={"max_retries": 7}).max_retries == 7
    found = job(max_retries=7, retry={})
    assert (found.max_retries, found.retry and found.retry.max_retries) == (7, 7)
    assert refusal(max_retries=7, retry={"max_retries": 6}) == "invalid_retry"
    assert refusal(max_retries=0, retry={"max_retries": 6}) == "invalid_retry"
    assert job(retry=None).retry is None


def test_a_job_expires_after_its_instant() -> None:
    """expires_at is after scheduled_at; it and expires_in_seconds exclude each other."""
    assert job(expires_at="2030-01-01T00:00:00.001Z").expires_at == job().fire_at + 1
    assert requests.resolved(job(expires_in_seconds=31_536_000), NOW).expires_at == job().fire_at + 31_536_000_000
    assert refusal(expires_at=JOB["scheduled_at"]) == "invalid_expires_at"
    assert refusal(expires_at="soon") == "invalid_expires_at"
    assert refusal(expires_at="2031-01-01T00:00:00Z", expires_in_seconds=1) == "invalid_expires_at"
    for seconds in (0, 0.9, 31_536_001, "1", False):
        assert refusal(expires_in_seconds=seconds) == "invalid_expires_at"
    late = delayed(delay_seconds=10, expires_at="2030-01-01T00:00:00Z")
    requests.check_schedulable(late, (late.expires_at or 0) - 10_001)
    with pytest.raises(ApiError, match="after the instant that delay_seconds gives"):
        requests.check_schedulable(late, (late.expires_at or 0) - 10_000)
