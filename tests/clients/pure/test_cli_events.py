"""`fliq events tail` and `fliq listen` without a Fliq: what is printed, and which call is made instead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from fliq_client import StreamEvent
from fliq_client.cli import options
from fliq_client.cli.events import listen, tail
from fliq_client.cli.exits import UsageError
from fliq_client.contract.models import Job

AT = datetime(2027, 1, 1, tzinfo=UTC)
EVENT = StreamEvent(
    id="evt_1",
    type="sh.fliq.attempt.due.v1",
    source="/v1/jobs",
    subject="job_1",
    time=AT,
    data={"job_id": "job_1", "execution_id": "exec_1", "attempt_num": 2, "schedule_id": None, "labels": {}},
)


def job(**fields: object) -> Job:
    known: dict[str, object] = {
        "id": "job_1",
        "url": "https://app.example.com:8443/charge/a%2Fb?x=1&y=%20",
        "http_method": "PUT",
        "scheduled_at": AT,
        "max_retries": 0,
        "status": "running",
        "created_at": AT,
        "execution_count": 1,
        "headers": {"X-Tenant": "acme", "Host": "other"},
        "body": "ü",
    }
    return Job(**(known | fields))  # type: ignore[arg-type]


def test_a_call_is_made_to_this_machine_instead() -> None:
    """Method, path, query, headers and body are the job's; host and marks are not."""
    with httpx.Client() as http:
        made = listen.forwarded(http, listen.local_url("http://localhost:3000"), job(), EVENT)
    assert (made.method, str(made.url)) == ("PUT", "http://localhost:3000/charge/a%2Fb?x=1&y=%20")
    assert made.content == "ü".encode()
    assert made.headers["Host"] == "localhost:3000"
    assert made.headers["X-Tenant"] == "acme"
    assert made.headers["X-Fliq-Attempt"] == "2"
    assert "X-Fliq-Schedule-Id" not in made.headers
    assert made.headers["X-Forwarded-Host"] == "app.example.com:8443"
    assert made.headers[listen.FORWARDED] == "true"


def test_a_path_of_the_local_application_comes_first() -> None:
    """The job's path is put behind it; a job without headers and body is called without."""
    with httpx.Client() as http:
        made = listen.forwarded(
            http, listen.local_url("localhost:3000/app/"), job(url="https://x.example", headers=None, body=None), EVENT
        )
    assert str(made.url) == "http://localhost:3000/app/"
    assert made.content == b""


@pytest.mark.parametrize("text", ["ftp://localhost", "http://", "http://localhost:3000/?a=b"])
def test_what_is_no_application(text: str) -> None:
    """It is wrong usage."""
    with pytest.raises(UsageError):
        listen.local_url(text)


def test_since_when() -> None:
    """An instant, or a duration ago."""
    assert tail.since(None) is None
    assert tail.since("2027-01-01T00:00:00Z") == AT
    ago = tail.since("10m")
    assert ago is not None
    assert timedelta(minutes=9) < datetime.now(UTC) - ago < timedelta(minutes=11)
    with pytest.raises(UsageError):
        tail.since("yesterday")


def test_labels_on_the_command_line() -> None:
    """Name and value, each name once; shown as they are written."""
    assert options.labels(["tenant:acme", "a:b:c"]) == {"tenant": "acme", "a": "b:c"}
    assert options.shown_labels({"tenant": "acme", "a": "b:c"}) == "tenant:acme a:b:c"
    assert options.shown_labels({}) is None
    for wrong in (["tenant"], [":x"], ["x:"], ["a:b", "a:c"]):
        with pytest.raises(UsageError):
            options.labels(wrong)


def test_a_line_for_people() -> None:
    """When, what, of what, and the short facts."""
    assert tail.line(EVENT) == "2027-01-01T00:00:00Z  attempt.due  job_1  execution_id=exec_1 attempt_num=2"
