"""Retry fields: each limit of `retry`, `webhook_retry` and `success_on` at its edge."""

from __future__ import annotations

from typing import Any

import pytest

from libs.events.retry_policy import RetryPolicy
from services.api.contract.api_error import ApiError
from services.api.contract.field import Fields, Rules
from services.api.contract.fields.retry_fields import WEBHOOK_MAXIMA, retry_field, shown_policy, success_field

TABLE = Fields(retry_field(rule=""), success_field(), retry_field("webhook_retry", WEBHOOK_MAXIMA, rule=""))
RULES = Rules(str)


def policy(asked: Any, name: str = "retry") -> RetryPolicy:
    found: RetryPolicy = TABLE.read({name: asked}, RULES)[name]
    return found


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, RetryPolicy()),
        ({"max_retries": 100}, RetryPolicy(max_retries=100)),
        ({"max_retries": 3.0}, RetryPolicy(max_retries=3)),
        ({"backoff": "fixed", "delay_seconds": 0.1}, RetryPolicy(backoff="fixed", delay_ms=100)),
        ({"delay_seconds": 86400}, RetryPolicy(delay_ms=86_400_000)),
        ({"delay_seconds": 0.1001}, RetryPolicy(delay_ms=101)),
        ({"factor": 1}, RetryPolicy(factor=1.0)),
        ({"factor": 10}, RetryPolicy(factor=10.0)),
        ({"backoff": "list", "delays_seconds": [0, 604800]}, RetryPolicy(backoff="list", delays_ms=(0, 604_800_000))),
        ({"max_delay_seconds": 1}, RetryPolicy(max_delay_ms=1_000)),
        ({"max_delay_seconds": 604800}, RetryPolicy(max_delay_ms=604_800_000)),
        ({"jitter": "full"}, RetryPolicy(jitter="full")),
        ({"max_elapsed_seconds": 31536000}, RetryPolicy(max_elapsed_ms=31_536_000_000)),
        ({"retry_on": ["5xx", 429, "timeout", "429"]}, RetryPolicy(retry_on=("5xx", "429", "timeout"))),
        ({"retry_after": {}}, RetryPolicy()),
        ({"retry_after": {"honour": False}}, RetryPolicy(heeds_retry_after=False)),
        (
            {"retry_after": {"free": False, "max_seconds": 86400}},
            RetryPolicy(retry_after_is_free=False, retry_after_max_ms=86_400_000),
        ),
        (
            dict.fromkeys(("max_retries", "delay_seconds", "factor", "delays_seconds", "retry_on", "retry_after")),
            RetryPolicy(),
        ),
    ],
)
def test_a_policy_is_read(asked: dict[str, Any], expected: RetryPolicy) -> None:
    """Each field at its edge; seconds become milliseconds, parts of one are rounded up; null is the default."""
    assert policy(asked) == expected


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ([], "retry must be an object"),
        ("5", "retry must be an object"),
        ({"max_retries": 101}, "retry.max_retries must be an integer from 0 to 100"),
        ({"max_retries": -1}, "retry.max_retries"),
        ({"max_retries": True}, "retry.max_retries"),
        ({"max_retries": 1.5}, "retry.max_retries"),
        ({"backoff": "fibonacci"}, "retry.backoff must be one of exponential, fixed, linear, list"),
        ({"backoff": None}, "retry.backoff"),
        ({"delay_seconds": 0.09}, "retry.delay_seconds must be a number from 0.1 to 86,400"),
        ({"delay_seconds": 86400.1}, "retry.delay_seconds"),
        ({"delay_seconds": "5"}, "retry.delay_seconds"),
        ({"delay_seconds": True}, "retry.delay_seconds"),
        ({"factor": 0.9}, "retry.factor must be a number from 1 to 10"),
        ({"factor": 10.1}, "retry.factor"),
        ({"backoff": "fixed", "factor": 2}, "retry.factor is only for retry.backoff `exponential`"),
        ({"backoff": "list"}, "belong together"),
        ({"delays_seconds": [1]}, "belong together"),
        ({"backoff": "list", "delays_seconds": []}, "retry.delays_seconds must be a list of 1 to 50"),
        ({"backoff": "list", "delays_seconds": [1] * 51}, "retry.delays_seconds"),
        ({"backoff": "list", "delays_seconds": [604801]}, "retry.delays_seconds"),
        ({"backoff": "list", "delays_seconds": [1], "delay_seconds": 1}, "retry.delay_seconds is not for"),
        ({"max_delay_seconds": 0.5}, "retry.max_delay_seconds must be a number from 1 to 604,800"),
        ({"max_delay_seconds": 604801}, "retry.max_delay_seconds"),
        ({"jitter": "some"}, "retry.jitter must be one of proportional, none, full, equal"),
        ({"max_elapsed_seconds": 0}, "retry.max_elapsed_seconds must be a number from 1 to 31,536,000"),
        ({"max_elapsed_seconds": 31536001}, "retry.max_elapsed_seconds"),
        ({"retry_on": []}, "retry.retry_on must be a list of 1 to 20"),
        ({"retry_on": [500 + n for n in range(21)]}, "retry.retry_on"),
        ({"retry_on": ["1xx"]}, "retry.retry_on"),
        ({"retry_on": [99]}, "retry.retry_on"),
        ({"retry_on": ["٤٠٤"]}, "retry.retry_on"),
        ({"retry_on": [["5xx"]]}, "retry.retry_on"),
        ({"retry_after": True}, "retry.retry_after must be an object"),
        ({"retry_after": {"honour": 1}}, "retry.retry_after.honour must be true or false"),
        ({"retry_after": {"max_seconds": 86401}}, "retry.retry_after.max_seconds must be a number from 1 to 86,400"),
    ],
)
def test_what_is_beyond_a_limit_is_refused(asked: Any, says: str) -> None:
    """The code is the object's, the message names the field and the remedy."""
    with pytest.raises(ApiError) as refusal:
        policy(asked)
    assert refusal.value.code == "invalid_retry"
    assert says in refusal.value.message


def test_unknown_and_doubled_names_are_refused() -> None:
    """As everywhere in a request."""
    with pytest.raises(ApiError, match=r"unknown field 'retry\.retries'"):
        policy({"retries": 1})


def test_webhooks_have_maxima_of_their_own() -> None:
    """At most 20 retries in seven days; the code names the object."""
    assert policy({"max_retries": 20, "max_elapsed_seconds": 604800}, "webhook_retry").max_retries == 20
    for asked in ({"max_retries": 21}, {"max_elapsed_seconds": 604801}):
        with pytest.raises(ApiError) as refusal:
            policy(asked, "webhook_retry")
        assert refusal.value.code == "invalid_webhook_retry"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [(["2xx"], None), (None, None), ([404], ("404",)), (["2xx", "3xx", "404", 404], ("2xx", "3xx", "404"))],
)
def test_success_is_read(asked: Any, expected: tuple[str, ...] | None) -> None:
    """Classes and statuses, numbers or texts; the default is kept as nothing."""
    assert TABLE.read({"success_on": asked}, RULES)["success_on"] == expected


@pytest.mark.parametrize("asked", [[], "2xx", ["network"], ["timeout"], ["1xx"], [1000], [True], [200] * 21])
def test_other_successes_are_refused(asked: Any) -> None:
    """What is no answer is never a success."""
    with pytest.raises(ApiError) as refusal:
        TABLE.read({"success_on": asked}, RULES)
    assert refusal.value.code == "invalid_success_on"


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"backoff": "list", "delays_seconds": [1, 2.5]},
        {"retry_on": [429], "retry_after": {"free": False}},
        {"max_retries": 7, "factor": 3, "jitter": "none", "max_elapsed_seconds": 90},
    ],
)
def test_a_policy_that_is_shown_can_be_sent_again(asked: dict[str, Any]) -> None:
    """What GET shows is a request for the same policy."""
    assert policy(shown_policy(policy(asked))) == policy(asked)
