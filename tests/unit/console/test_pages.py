"""The pure parts of the pages: routes, groups of failures, the picture of a job, forms."""

from __future__ import annotations

from typing import Any

import pytest

from services.console.api_calls import ApiRefused
from services.console.http_messages import Request
from services.console.pages.form_fields import call_fields, headers_of, replaced_headers, rule_fields
from services.console.pages.jobs.failure_groups import failed_by_host, groups_of
from services.console.pages.jobs.job_filters import Filters, filters_of
from services.console.pages.jobs.job_picture import picture_of, why
from services.console.pages.login import _is_own
from services.console.pages.routes import ROUTES, find

JOB: dict[str, Any] = {
    "id": "job_1", "url": "https://a.example/x", "status": "scheduled", "created_at": "2026-11-30T00:00:00Z",
    "scheduled_at": "2026-11-30T01:00:00Z", "next_attempt_at": "2026-11-30T01:00:00Z", "started_at": None, "completed_at": None,
    "execution_count": 0, "last_status_code": None, "last_error": None, "idempotency_key": None,
}  # fmt: skip
NOW = 1_795_996_800_000  # 2026-11-30T00:00:00Z


def job(**changes: Any) -> dict[str, Any]:
    return {**JOB, **changes}


def failed(url: str, code: int | None, error: str, at: str) -> dict[str, Any]:
    return job(url=url, status="failed", last_status_code=code, last_error=error, completed_at=at)


def form(**fields: str) -> Request:
    return Request("POST", "/", (), tuple(fields.items()), {})


def test_every_write_needs_a_scope_and_no_read_does() -> None:
    """A row that changes something is refused without its scope before anything is asked of the API."""
    assert [path for method, path, scope, _ in ROUTES if (method == "POST") != scope.startswith("write:")] == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_a_route_is_found_by_its_path(method: str) -> None:
    """Ids are decoded, fixed words win, and an empty id is none."""
    at = find(method, "/jobs/job_1/act" if method == "POST" else "/jobs/job%5f1")
    assert at is not None
    assert at[2] == ("job_1",)
    assert find(method, "/jobs/") is None
    assert find(method, "/nothing") is None
    assert find(method, "/jobs/a/b/c") is None


@pytest.mark.parametrize(
    ("place", "expected"),
    [("/jobs?status=failed", True), ("//evil.example/", False), ("https://evil.example", False), ("/\\evil", False),
     ("", False), ("/a\r\nSet-Cookie: x", False)],
)  # fmt: skip
def test_the_log_in_leads_to_pages_of_ours_only(place: str, expected: bool) -> None:
    """Whatever the address says."""
    assert _is_own(place) is expected


def test_failures_alike_are_one_group() -> None:
    """By host, answer and error; the largest first, with the first and the last instant."""
    jobs = [
        failed("https://a.example/1", 503, "HTTP 503", "2026-11-30T02:00:00Z"),
        failed("https://a.example/2", 503, "HTTP 503", "2026-11-30T01:00:00Z"),
        failed("https://b.example/", None, "timeout", "2026-11-30T03:00:00Z"),
    ]

    first, second = groups_of(jobs)

    assert (first.host, first.code, first.error, len(first.jobs)) == ("a.example", 503, "HTTP 503", 2)
    assert (first.first_at, first.last_at) == ("2026-11-30T01:00:00Z", "2026-11-30T02:00:00Z")
    assert sum(first.bars) == 2
    assert (second.host, sum(second.bars), second.bars[-1]) == ("b.example", 1, 1)
    assert failed_by_host(jobs) == [("a.example", 2), ("b.example", 1)]
    assert groups_of([]) == []


def test_filters_are_the_address() -> None:
    """They are read from it, judge jobs, and make it again."""
    asked = filters_of(Request("GET", "/jobs", (("status", "failed"), ("host", "a.example"), ("code", "503")), (), {}))

    assert asked == Filters(status="failed", host="a.example", code="503")
    assert asked.takes(failed("https://a.example/", 503, "HTTP 503", "2026-11-30T02:00:00Z"))
    assert not asked.takes(failed("https://a.example/", 500, "HTTP 500", "2026-11-30T02:00:00Z"))
    assert not asked.takes(failed("https://b.example/", 503, "HTTP 503", "2026-11-30T02:00:00Z"))
    assert asked.query(cursor="c&d") == "?status=failed&host=a.example&code=503&cursor=c%26d"
    assert filters_of(Request("GET", "/jobs", (("status", "odd"),), (), {})) == Filters()
    assert not Filters(status="failed", schedule="sched_1").must_look


@pytest.mark.parametrize(
    ("changes", "now", "retrying", "said"),
    [
        ({}, ["scheduled"], "open", "It waits for its instant, in 1 h."),
        ({"waiting_for": {"blocked_on": "daily_limit"}}, ["scheduled"], "open", "It is due, and waits because of the daily limit."),
        ({"status": "running", "next_attempt_at": None, "started_at": "2026-11-30T01:00:00Z", "execution_count": 1},
         ["running"], "open", "Attempt 1 is under way."),
        ({"status": "running", "started_at": "2026-11-30T00:00:00Z", "execution_count": 1, "last_error": "HTTP 503",
          "last_status_code": 503}, ["retrying"], "now",
         "Attempt 1 failed (HTTP 503). It waits for attempt 2, in 1 h."),
        ({"status": "success", "next_attempt_at": None, "execution_count": 1, "last_status_code": 200}, ["success"], "open",
         "The target answered 200 to attempt 1."),
        ({"status": "failed", "next_attempt_at": None, "execution_count": 2, "last_error": "timeout", "ended_by": "exhausted"},
         ["failed"], "open", "It failed: the last of 2 attempts ended with timeout. No retry was left."),
        ({"status": "failed", "next_attempt_at": None, "ended_by": "expired"}, ["failed"], "open",
         "It failed without an attempt. Its expiry came before an attempt could start."),
        ({"status": "cancelled", "next_attempt_at": None}, ["cancelled"], "open",
         "It was cancelled before its first attempt, and never fires."),
    ],
)  # fmt: skip
def test_the_picture_says_where_a_job_is_and_the_sentence_why(
    changes: dict[str, Any], now: list[str], retrying: str, said: str
) -> None:
    """Exactly one state is the one of now."""
    shown = job(**changes)
    picture = picture_of(shown, [])

    steps = [picture.scheduled, picture.running, picture.retrying, *picture.ends]
    assert [step.name for step in steps if step.how == "now"] == now
    assert picture.retrying.how == retrying
    assert why(shown, NOW) == said


def test_a_form_says_what_the_api_is_asked_for() -> None:
    """Empty fields are left out, lines of headers become an object, and the body keeps its blanks and lines."""
    fields = call_fields(
        form(url=" https://a.example ", body=" a\r\nb ", headers="X-A: 1\n\nX-B:2", max_retries="3", webhook_url="")
    )

    assert fields == {
        "url": "https://a.example", "headers": {"X-A": "1", "X-B": "2"}, "body": " a\nb ", "max_retries": 3,
    }  # fmt: skip
    assert rule_fields(form(kind="cron", cron="0 8 * * *", timezone="")) == {"cron": "0 8 * * *"}
    assert rule_fields(form(kind="every", seconds="30")) == {"every": {"seconds": 30}}


def test_a_form_that_makes_no_sense_is_refused_with_the_field() -> None:
    """As the API refuses a request."""
    with pytest.raises(ApiRefused, match="headers: the line 'odd'"):
        headers_of("odd")
    with pytest.raises(ApiRefused, match="max_retries is not a whole number"):
        call_fields(form(max_retries="many"))
    with pytest.raises(ApiRefused, match="every: say how many"):
        rule_fields(form(kind="every", seconds=""))


def test_headers_that_a_form_no_longer_names_are_taken_out() -> None:
    """A merge patch keeps what it does not name, so the old ones are named as null."""
    assert replaced_headers(form(old_headers="A: 1\nB: 2", headers="B: 3")) == {"A": None, "B": "3"}
    assert replaced_headers(form(old_headers="A: 1", headers="")) is None
