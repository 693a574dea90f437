"""How things read for a person, and how calls read for a shell."""

from __future__ import annotations

import shlex

import pytest

from services.console.api_calls import Call, curl
from services.console.showing import call_of, duration, host, relative, short, utc

NOW = 1_796_000_000_000  # 2026-11-29T...


@pytest.mark.parametrize(
    ("ms", "text"),
    [(143, "143 ms"), (2500, "2.5 s"), (3000, "3 s"), (59_000, "59 s"), (240_000, "4 min"), (12_000_000, "3 h 20 min"),
     (90_000_000, "1 d 1 h"), (86_400_000, "1 d")],
)  # fmt: skip
def test_a_length_of_time_reads_in_its_two_largest_units(ms: float, text: str) -> None:
    """And not in more."""
    assert duration(ms) == text


def test_an_instant_reads_from_now_on() -> None:
    """Before and after."""
    assert utc("2026-11-30T03:22:35.123Z") == "2026-11-30 03:22:35 UTC"
    assert relative("1970-01-01T00:04:00Z", 0) == "in 4 min"
    assert relative("1970-01-01T00:00:00Z", 240_000) == "4 min ago"
    assert relative("1970-01-01T00:00:00.5Z", 0) == "now"


@pytest.mark.parametrize(
    ("url", "expected"),
    [("https://a.example:8443/x?y", "a.example:8443"), ("http://[::1]:80/", "[::1]:80"), ("no url", "no url"),
     ("http://[", "http://[")],
)  # fmt: skip
def test_the_host_of_a_url(url: str, expected: str) -> None:
    """With its port; what is none stays as it is."""
    assert host(url) == expected


def test_an_id_is_short_and_can_still_be_told_from_others() -> None:
    """Its kind, its beginning, its end; a short one stays."""
    assert short("job_01m8n4eezh000m83nde1vvd91r") == "job_01m8…vd91r"[:9] + "vvd91r"
    assert short("abc") == "abc"


def test_what_a_shell_is_given_is_what_was_meant() -> None:
    """Quotes, dollars and newlines of a job mean nothing to the shell."""
    evil = '\'; rm -rf ~; echo "$(id)" `id`\n'
    job = {"http_method": "POST", "url": f"https://e.example/{evil}", "headers": {"X-A": evil}, "body": evil}

    assert shlex.split(call_of(job)) == [
        "curl", "-i", "-X", "POST", f"https://e.example/{evil}", "-H", f"X-A: {evil}", "--data-binary", evil,
    ]  # fmt: skip


def test_a_call_of_the_api_can_be_pasted() -> None:
    """The token and the address are variables; POST with a body needs no -X."""
    assert curl(Call("DELETE", "/v1/jobs/job_1")) == (
        'curl -s "$FLIQ"/v1/jobs/job_1 -H "Authorization: Bearer $TOKEN" -X DELETE'
    )
    words = shlex.split(curl(Call("POST", "/v1/jobs", {"body": "it's"}, {"Idempotency-Key": "k"})))
    assert words[-4:] == ["-H", "Content-Type: application/json", "-d", '{"body":"it\'s"}']
    assert "-X" not in words
    assert curl(Call("POST", "/v1/jobs", {"body": "x" * 5000})).endswith("-d @body.json")
